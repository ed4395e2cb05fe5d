//! Connections of a database in memory: their transactions, and the locks that they wait for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sluice_failpoint::simulated::{self, note, turn};
use sluice_model::Partition;
use tokio::time::{Instant, timeout_at};

use super::{Memory, MemoryDatabase, Row, Trouble, database::State};
use crate::{Class, Identity, StoredPosition, fault::Fault};

/// How late a commit may arrive whose client has given up, in milliseconds.
const LATE_MS: u64 = 4_000;

/// What a statement has to lock before it does anything.
#[derive(Debug, Clone)]
pub(super) enum Want {
    Nothing,
    /// These position rows, one after the other.
    Positions(Vec<Partition>),
    /// The whole database.
    Everything,
}

/// The locks of a session.
#[derive(Debug)]
pub(super) enum Locks {
    Positions(BTreeSet<Partition>),
    Everything,
}

/// A connection, as the database sees it.
pub(super) struct Session {
    pub(super) process: String,
    pub(super) transaction: Option<Transaction>,
    pub(super) locks: Option<Locks>,
    /// A commit is on its way.
    pub(super) is_committing: bool,
    /// Its client has gone, and the commit is still on its way.
    is_left: bool,
    heard: Instant,
}

/// What a session has changed and not committed.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) positions: BTreeMap<Partition, StoredPosition>,
    pub(super) rows: Vec<Row>,
    pub(super) identity: Option<Identity>,
    /// How many rows there were at the savepoint.
    pub(super) savepoint: Option<usize>,
    /// A statement has failed since.
    pub(super) is_broken: bool,
    /// Whether the table took no row when a search began, which keeps it as it is.
    pub(super) table_is_wrong: Option<bool>,
}

impl Session {
    pub(super) fn new(process: &str) -> Self {
        Self {
            process: process.to_owned(),
            transaction: None,
            locks: None,
            is_committing: false,
            is_left: false,
            heard: Instant::now(),
        }
    }
}

impl State {
    /// The commit has been sent.
    pub(super) fn is_committing(&mut self, session: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.is_committing = true;
        }
    }

    pub(super) fn roll_back(&mut self, session: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            (session.transaction, session.locks, session.is_committing) = (None, None, false);
        }
        self.changed.notify_waiters();
    }

    /// Ends a session; what it has not committed is gone.
    pub(super) fn close(&mut self, session: u64) {
        self.sessions.remove(&session);
        self.changed.notify_waiters();
    }

    /// Its client is gone. A commit that is on its way may arrive all the same.
    pub(super) fn leave(&mut self, session: u64) {
        match self.sessions.get_mut(&session) {
            Some(left) if left.is_committing && left.is_left => {}
            _ => self.close(session),
        }
    }

    /// Takes the locks that are free, in order; gives the session that holds the first one that is not.
    fn lock(&mut self, id: u64, want: &Want) -> Option<u64> {
        let holds = |locks: &Locks, want: Option<Partition>| match (locks, want) {
            (Locks::Everything, _) | (_, None) => true,
            (Locks::Positions(held), Some(partition)) => held.contains(&partition),
        };
        let holder = |sessions: &BTreeMap<u64, Session>, want: Option<Partition>| {
            let mut others = sessions.iter().filter(|(other, _)| **other != id);
            others.find(|(_, other)| other.locks.as_ref().is_some_and(|locks| holds(locks, want))).map(|(id, _)| *id)
        };
        match want {
            Want::Nothing => None,
            Want::Everything => {
                if let Some(holder) = holder(&self.sessions, None) {
                    return Some(holder);
                }
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.locks = Some(Locks::Everything);
                }
                None
            }
            Want::Positions(partitions) => {
                for partition in partitions {
                    if let Some(holder) = holder(&self.sessions, Some(*partition)) {
                        return Some(holder);
                    }
                    if let Some(session) = self.sessions.get_mut(&id)
                        && let Locks::Positions(held) =
                            session.locks.get_or_insert_with(|| Locks::Positions(BTreeSet::new()))
                    {
                        held.insert(*partition);
                    }
                }
                None
            }
        }
    }
}

impl MemoryDatabase {
    /// A commit arrives after some time, unless the session has been ended by then.
    pub(super) fn commit_late(&self, session: u64, actor: String) {
        if let Some(session) = self.state().sessions.get_mut(&session) {
            session.is_left = true;
        }
        let late = simulated::current().map_or(0, |simulation| simulation.random() % LATE_MS);
        let database = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(late)).await;
            turn(&format!("database of {actor}"), || "late commit".to_owned()).await;
            let committed = database.state().commit(session);
            note(&actor, || format!("late commit: {}", if committed.is_ok() { "committed" } else { "gone" }));
            database.state().close(session);
        });
    }
}

impl Memory {
    /// Waits until the database answers, and until the locks are there; for the locks no longer than the limit.
    pub(super) async fn wait(&self, want: Want) -> Result<(), Fault> {
        let until = Instant::now() + self.limits.lock();
        loop {
            let mut change = std::pin::pin!(self.database.changed().notified());
            change.as_mut().enable();
            let is_frozen = {
                let mut state = self.database.state();
                let Some(session) = state.sessions.get_mut(&self.session) else {
                    return Err(Fault::new(Class::Transient, "the connection is gone"));
                };
                session.heard = Instant::now();
                match state.trouble {
                    Some(Trouble::Frozen) => true,
                    Some(Trouble::Away) => return Err(Fault::new(Class::Transient, "nobody listens there")),
                    Some(Trouble::Locked) if !matches!(want, Want::Nothing) => false,
                    _ => match state.lock(self.session, &want) {
                        None => return Ok(()),
                        Some(holder) => {
                            let abandoned = state
                                .sessions
                                .get(&holder)
                                .is_some_and(|holder| holder.heard.elapsed() > self.limits.abandoned());
                            if abandoned {
                                state.close(holder);
                                continue;
                            }
                            false
                        }
                    },
                }
            };
            if is_frozen {
                change.await;
            } else if timeout_at(until, change).await.is_err() {
                return Err(Fault::new(Class::Transient, "a lock was waited for in vain"));
            }
        }
    }
}
