//! What the other parts of Sluice ask the directory by.
//!
//! In this file the questions, and whom they go to: a directory of ours over NATS or HTTP (`transport`), one of another make
//! (`foreign.rs`), or nobody (`standalone.rs`). In debug builds also one in memory, for simulations (`memory.rs`).

mod foreign;
#[cfg(debug_assertions)]
pub mod memory;
mod standalone;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use sluice_model::{CustomerId, Position};
use sluice_service::tokens::Token;
use sluice_shard::{CustomerColumn, ShardAddress};

use self::{foreign::Foreign, standalone::Standalone};
use crate::{
    api::{
        At, Pool, ReadQuestions, Route, RouteAnswer, Routes, ShardCredentials, ShardState, Shards, WriteQuestion,
        WriteQuestions,
    },
    args::{DirectoryArgs, Mode},
    transport::{Asked, DirectoryError, Http, Transport},
};

/// A client of the directory; clones share its connections. Nothing is cached here: how long an answer holds is for
/// the asker to know.
#[derive(Debug, Clone)]
pub struct Client {
    source: Source,
    /// What the customer's column is called in every shard: no directory says that.
    customer_column: CustomerColumn,
}

/// Whoever knows. A closed set.
#[derive(Debug, Clone)]
enum Source {
    Directory(Transport),
    /// Over HTTP: ours or another's, as it turns out at the first question.
    Api(Arc<Api>),
    Standalone(Arc<Standalone>),
    /// Only in a simulation.
    #[cfg(debug_assertions)]
    Memory(Arc<memory::Link>),
}

/// An endpoint, and what was found out about it.
#[derive(Debug)]
struct Api {
    ours: Transport,
    foreign: Foreign,
    is_foreign: OnceLock<bool>,
}

impl Api {
    /// Whether it is a directory of another make: one without the questions that only ours answers.
    async fn is_foreign(&self) -> Result<bool, DirectoryError> {
        if let Some(known) = self.is_foreign.get() {
            return Ok(*known);
        }
        let asked: Result<Shards<ShardCredentials>, _> = self.ours.ask(Asked::Credentials, Vec::new()).await;
        let found = match asked {
            Ok(_) => false,
            Err(DirectoryError::Problem(problem)) if matches!(problem.status, 404 | 405 | 501) => true,
            Err(error) => return Err(error),
        };
        if found {
            tracing::info!(
                "the endpoint is no directory of Sluice's: it is asked by GET /write/ID, customer by customer"
            );
        }
        Ok(*self.is_foreign.get_or_init(|| found))
    }
}

/// A registered shard with all that is needed to write to it. `Debug` leaves the password out.
#[derive(Debug, Clone)]
pub struct ShardEntry {
    /// Its name.
    pub name: String,
    /// Engine, place and credentials.
    pub address: ShardAddress,
    /// Which customers it takes.
    pub pool: Pool,
    /// Whether it takes new ones.
    pub state: ShardState,
    /// Of two entries of a shard, the one with the greater version is the newer.
    pub version: u64,
}

impl From<ShardCredentials> for ShardEntry {
    fn from(shard: ShardCredentials) -> Self {
        let ShardCredentials { name, flavor, host, port, user, password, database, pool, state, version } = shard;
        let customer_column = CustomerColumn::default();
        let address = ShardAddress { flavor, host, port, user, password, database, customer_column };
        Self { name, address, pool, state, version }
    }
}

impl Client {
    /// Asks over NATS; each request may take `timeout`.
    pub fn over_nats(client: async_nats::Client, timeout: Duration) -> Self {
        Self::of(Source::Directory(Transport::Nats { client, timeout }))
    }

    /// Asks over HTTP at `http://host:port`, with a token where one is wanted; each request may take `timeout`. There may be a directory of another make, which answers
    /// `GET /write/{customer}` with the original's six fields.
    ///
    /// # Errors
    /// Where the endpoint is none.
    pub fn over_http(endpoint: &str, timeout: Duration, token: Option<Token>) -> Result<Self, DirectoryError> {
        let http = Http::new(endpoint, timeout)?.with(token);
        let (ours, foreign) = (Transport::Http(http.clone()), Foreign::new(http));
        Ok(Self::of(Source::Api(Arc::new(Api { ours, foreign, is_foreign: OnceLock::new() }))))
    }

    /// Asks nobody: one database for all.
    fn standalone(one: Standalone) -> Self {
        Self::of(Source::Standalone(Arc::new(one)))
    }

    /// As the environment or the command line says.
    ///
    /// # Errors
    /// Where what the mode wants is missing or wrong.
    pub fn from_args(args: &DirectoryArgs, nats: &async_nats::Client) -> anyhow::Result<Self> {
        let client = match (args.sharding_mode, &args.sharding_api_endpoint) {
            (Mode::Nats, _) => Self::over_nats(nats.clone(), args.timeout()),
            (Mode::Standalone, _) => Self::standalone(Standalone::new(&args.standalone)?),
            (Mode::Api, Some(endpoint)) => Self::over_http(endpoint, args.timeout(), args.token()?)?,
            (Mode::Api, None) => anyhow::bail!(
                "sharding mode api needs --sharding-api-endpoint (SHARDING_API_ENDPOINT), such as http://127.0.0.1:7070"
            ),
        };
        Ok(Self { customer_column: args.sharding_identifier_field.clone(), ..client })
    }

    fn of(source: Source) -> Self {
        Self { source, customer_column: CustomerColumn::default() }
    }

    /// Whether there is nobody who makes databases shards: then whoever writes to them has to.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`].
    pub async fn registers_nothing(&self) -> Result<bool, DirectoryError> {
        match &self.source {
            Source::Directory(_) => Ok(false),
            #[cfg(debug_assertions)]
            Source::Memory(_) => Ok(false),
            Source::Api(api) => api.is_foreign().await,
            Source::Standalone(_) => Ok(true),
        }
    }

    /// Whether there may be shards that [`Client::shards`] does not name yet, although customers are on them already.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`].
    pub async fn names_shards_late(&self) -> Result<bool, DirectoryError> {
        match &self.source {
            Source::Api(api) => api.is_foreign().await,
            _ => Ok(false),
        }
    }

    /// Where each event belongs; places unknown customers by policy. One answer per question, in order.
    ///
    /// Up to 1,000 questions go in one request, fewer where NATS takes smaller messages, and are
    /// decided in one transaction.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`]. Answers of an earlier request are then lost, what was placed stays placed.
    pub async fn write_routes(&self, questions: &[(CustomerId, Position)]) -> Result<Vec<RouteAnswer>, DirectoryError> {
        let transport = match &self.source {
            #[cfg(debug_assertions)]
            Source::Memory(memory) => return memory.write_routes(questions).await,
            Source::Standalone(one) => return Ok(questions.iter().map(|_| RouteAnswer::Placed(one.route())).collect()),
            Source::Api(api) if api.is_foreign().await? => {
                let customers: Vec<_> = questions.iter().map(|(customer, _)| customer.clone()).collect();
                let answers = api.foreign.write(&customers).await?.into_iter();
                return Ok(answers.map(|route| route.map_or(RouteAnswer::Refused, RouteAnswer::Placed)).collect());
            }
            Source::Api(api) => &api.ours,
            Source::Directory(transport) => transport,
        };
        let mut answers = Vec::with_capacity(questions.len());
        for chunk in questions.chunks(transport.most_questions()) {
            let question = |(customer, at): &(CustomerId, Position)| WriteQuestion {
                customer: customer.clone(),
                at: Some(At(*at)),
            };
            let asked = WriteQuestions { customers: chunk.iter().map(question).collect() };
            answers.extend(routes(transport, Asked::WriteMany, &asked, chunk.len()).await?);
        }
        Ok(answers)
    }

    /// Where each customer's rows are, `None` for one that is not placed; places nobody.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`].
    pub async fn read_routes(&self, customers: &[CustomerId]) -> Result<Vec<Option<Route>>, DirectoryError> {
        let transport = match &self.source {
            #[cfg(debug_assertions)]
            Source::Memory(memory) => return memory.read_routes(customers).await,
            Source::Standalone(one) => return Ok(customers.iter().map(|_| Some(one.route())).collect()),
            Source::Api(api) if api.is_foreign().await? => return api.foreign.read(customers).await,
            Source::Api(api) => &api.ours,
            Source::Directory(transport) => transport,
        };
        let mut answers = Vec::with_capacity(customers.len());
        for chunk in customers.chunks(transport.most_questions()) {
            let asked = ReadQuestions { customers: chunk.to_vec() };
            answers.extend(routes(transport, Asked::ReadMany, &asked, chunk.len()).await?);
        }
        Ok(answers)
    }

    /// Every registered shard with its credentials; of a directory of another make, those that some answer has led to.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`].
    pub async fn shards(&self) -> Result<Vec<ShardEntry>, DirectoryError> {
        let mut entries = self.entries().await?;
        for entry in &mut entries {
            entry.address.customer_column.clone_from(&self.customer_column);
        }
        Ok(entries)
    }

    async fn entries(&self) -> Result<Vec<ShardEntry>, DirectoryError> {
        let transport = match &self.source {
            #[cfg(debug_assertions)]
            Source::Memory(memory) => return memory.shards().await,
            Source::Standalone(one) => return Ok(vec![one.entry().await?]),
            Source::Api(api) if api.is_foreign().await? => return Ok(api.foreign.shards()),
            Source::Api(api) => &api.ours,
            Source::Directory(transport) => transport,
        };
        let answer: Shards<ShardCredentials> = transport.ask(Asked::Credentials, Vec::new()).await?;
        Ok(answer.shards.into_iter().map(Into::into).collect())
    }
}

async fn routes<T: DeserializeOwned>(
    transport: &Transport,
    asked: Asked,
    questions: &impl Serialize,
    wanted: usize,
) -> Result<Vec<T>, DirectoryError> {
    let body = serde_json::to_vec(questions).expect("questions have only texts and numbers");
    let answer: Routes<T> = transport.ask(asked, body).await?;
    if answer.routes.len() == wanted {
        return Ok(answer.routes);
    }
    let what = format!("{} answers to {wanted} questions", answer.routes.len());
    Err(DirectoryError::Unreadable(what.into()))
}
