//! A directory in memory, for simulations: the real placement, on a store that forgets nothing. In debug builds only.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use sluice_failpoint::simulated::{Outcome, note, turn};
use sluice_model::{CustomerId, Position};
use sluice_shard::{CustomerColumn, Flavor, ShardAddress, Size};

use super::{Client, ShardEntry, Source};
use crate::{
    DirectoryError, Pool, Route, RouteAnswer, ShardState,
    placement::{Known, Load, Policy, Question, resolve},
};

/// How long a caller waits for an answer that does not come: the default of the real client.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The directory. Clones are the same one.
#[derive(Clone)]
pub struct MemoryDirectory(Arc<Mutex<State>>);

struct State {
    policy: Policy,
    is_up: bool,
    version: u64,
    shards: BTreeMap<String, Registered>,
    known: HashMap<CustomerId, Known>,
}

struct Registered {
    version: u64,
    state: ShardState,
    customers: u64,
}

impl fmt::Debug for MemoryDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryDirectory")
    }
}

impl MemoryDirectory {
    /// One that knows nothing.
    pub fn new(policy: Policy) -> Self {
        let state = State { policy, is_up: true, version: 0, shards: BTreeMap::new(), known: HashMap::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A process' client. The addresses that it gives name the process as their host, and the shard as their database.
    pub fn client(&self, process: &str) -> Client {
        let link = Link { directory: self.clone(), process: process.to_owned(), actor: format!("{process} directory") };
        Client::of(Source::Memory(Arc::new(link)))
    }

    /// Whether it answers.
    pub fn set_up(&self, up: bool) {
        self.state().is_up = up;
    }

    /// Adds a shard whose database is prepared.
    pub fn add(&self, shard: &str) {
        let mut state = self.state();
        state.version += 1;
        let registered = Registered { version: state.version, state: ShardState::Open, customers: 0 };
        state.shards.insert(shard.to_owned(), registered);
    }

    /// Changes a shard's entry, as where its password was changed: its lanes connect anew.
    pub fn touch(&self, shard: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        if let Some(shard) = state.shards.get_mut(shard) {
            shard.version = version;
        }
    }

    /// Takes a shard out, on which nobody is; false where somebody is.
    pub fn remove(&self, shard: &str) -> bool {
        let mut state = self.state();
        if state.shards.get(shard).is_some_and(|shard| shard.customers > 0) {
            return false;
        }
        state.shards.remove(shard).is_some()
    }

    /// The names of its shards.
    pub fn names(&self) -> Vec<String> {
        self.state().shards.keys().cloned().collect()
    }

    /// Places a customer by hand, where it is placed nowhere.
    pub fn place(&self, customer: &CustomerId, shard: &str) {
        let mut state = self.state();
        let known = state.known.entry(customer.clone()).or_default();
        if known.routes.is_empty() {
            let from = known.counts_from();
            known.routes.push(Route { shard: shard.to_owned(), from });
            if let Some(shard) = state.shards.get_mut(shard) {
                shard.customers += 1;
            }
        }
    }

    /// What is known of a customer.
    pub fn known(&self, customer: &CustomerId) -> Known {
        self.state().known.get(customer).cloned().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn write(&mut self, questions: &[Question]) -> Result<Vec<RouteAnswer>, DirectoryError> {
        let open = self.shards.iter().filter(|(_, shard)| shard.state == ShardState::Open);
        let load = |(name, shard): (&String, &Registered)| Load {
            shard: name.clone(),
            weight: 1,
            customers: shard.customers,
            size: Size::default(),
            newcomers: 0,
            answers: true,
        };
        let mut open: Vec<Load> = open.map(load).collect();
        let resolved = resolve(questions, &mut self.known, &mut open, self.policy);
        let (answers, _) = resolved.map_err(|error| DirectoryError::Unreachable(error.into()))?;
        for load in open {
            if let Some(shard) = self.shards.get_mut(&load.shard) {
                shard.customers = load.customers;
            }
        }
        Ok(answers)
    }

    fn entries(&self, process: &str) -> Vec<ShardEntry> {
        let entry = |(name, shard): (&String, &Registered)| ShardEntry {
            name: name.clone(),
            address: address(process, name),
            pool: Pool::Shared,
            state: shard.state,
            version: shard.version,
        };
        self.shards.iter().map(entry).collect()
    }
}

/// Where a process finds a shard's database in memory.
pub fn address(process: &str, shard: &str) -> ShardAddress {
    ShardAddress {
        flavor: Flavor::Postgres,
        host: process.to_owned(),
        port: 0,
        user: String::new(),
        password: String::new().into(),
        database: shard.to_owned(),
        customer_column: CustomerColumn::default(),
    }
}

/// One process' way to the directory.
#[derive(Debug)]
pub(super) struct Link {
    directory: MemoryDirectory,
    process: String,
    actor: String,
}

impl Link {
    pub(super) async fn write_routes(
        &self,
        questions: &[(CustomerId, Position)],
    ) -> Result<Vec<RouteAnswer>, DirectoryError> {
        let question = |(customer, at): &(CustomerId, Position)| Question { customer: customer.clone(), at: Some(*at) };
        let questions: Vec<Question> = questions.iter().map(question).collect();
        let names = questions.iter().map(|question| question.customer.as_str()).collect::<Vec<_>>().join(" ");
        self.ask(format!("write routes of {names}"), |state| state.write(&questions)).await
    }

    pub(super) async fn read_routes(&self, customers: &[CustomerId]) -> Result<Vec<Option<Route>>, DirectoryError> {
        let read = |state: &mut State| {
            let newest = |customer| state.known.get(customer).and_then(|known: &Known| known.routes.last().cloned());
            Ok(customers.iter().map(newest).collect())
        };
        self.ask("read routes".to_owned(), read).await
    }

    pub(super) async fn shards(&self) -> Result<Vec<ShardEntry>, DirectoryError> {
        self.ask("list shards".to_owned(), |state| Ok(state.entries(&self.process))).await
    }

    async fn ask<T: fmt::Debug>(
        &self,
        what: String,
        act: impl FnOnce(&mut State) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        let verdict = turn(&self.actor, || what.clone()).await;
        let outcome = if self.directory.state().is_up { verdict.outcome } else { Outcome::Lost };
        let answer = match outcome {
            Outcome::Done | Outcome::AnswerLost | Outcome::Cut => act(&mut self.directory.state()),
            Outcome::Refused | Outcome::Lost => Err(DirectoryError::Unreachable("nobody listens".into())),
        };
        note(&self.actor, || {
            let answered = if answer.is_ok() { "answered" } else { "no answer" };
            format!("{what}: {outcome:?} {answered}")
        });
        match outcome {
            Outcome::Done => {
                if verdict.slow {
                    turn(&self.actor, || format!("hear of {what}")).await;
                }
                answer
            }
            Outcome::Refused => answer,
            Outcome::Cut => Err(DirectoryError::Unreachable("the connection is gone".into())),
            Outcome::Lost | Outcome::AnswerLost => {
                tokio::time::sleep(REQUEST_LIMIT).await;
                Err(DirectoryError::Unreachable("no answer in time".into()))
            }
        }
    }
}
