//! What a database in memory holds, and what is wrong with it.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use sluice_model::{Partition, Rows};
use tokio::sync::Notify;

use super::session::{Session, Transaction};
use crate::{Advance, Class, Identity, StoredPosition, fault::Fault};

/// How a database does things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As PostgreSQL: a small batch is one statement.
    AtOnce,
    /// As MySQL.
    StepByStep,
    /// As SQLite: one transaction at a time.
    OneWriter,
}

/// What may be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody gets in.
    Away,
    /// It does not answer.
    Frozen,
    /// Somebody holds a lock that every transaction wants.
    Locked,
    /// It takes no change.
    ReadOnly,
    /// Its disk takes no row.
    Full,
    /// Its table has a column that nobody fills, or something else for which it refuses every row.
    WrongTable,
}

/// A row of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub customer: String,
    /// Its event's id.
    pub id: i64,
    /// The person's name.
    pub name: String,
    /// The person's address.
    pub address: String,
}

/// All that a database holds: what a copy of it is.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Who it says it is.
    pub identity: Option<Identity>,
    /// How far it has read each partition.
    pub positions: BTreeMap<Partition, StoredPosition>,
    /// Its rows, by id.
    pub rows: BTreeMap<i64, Row>,
}

/// What one transaction changes.
#[derive(Debug)]
pub struct Commit<'a> {
    /// What the database held before.
    pub before: &'a Contents,
    /// The positions that it sets.
    pub positions: &'a BTreeMap<Partition, StoredPosition>,
    /// The rows that it adds.
    pub rows: &'a [Row],
}

/// Sees each commit, in the moment before it takes effect.
pub trait Witness: Send + Sync {
    /// A database commits.
    fn committing(&self, database: &str, commit: &Commit<'_>);
}

/// A database. Clones are the same one.
#[derive(Clone)]
pub struct MemoryDatabase(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Arc<Notify>,
}

pub(super) struct State {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) contents: Contents,
    pub(super) trouble: Option<Trouble>,
    pub(super) sessions: BTreeMap<u64, Session>,
    last_session: u64,
    witness: Arc<dyn Witness>,
    pub(super) changed: Arc<Notify>,
}

thread_local! {
    static INSTALLED: RefCell<BTreeMap<String, MemoryDatabase>> = const { RefCell::new(BTreeMap::new()) };
}

impl fmt::Debug for MemoryDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryDatabase({})", self.state().name)
    }
}

impl MemoryDatabase {
    /// An empty database.
    pub fn new(name: &str, kind: Kind, witness: Arc<dyn Witness>) -> Self {
        let changed = Arc::new(Notify::new());
        let state = State {
            name: name.to_owned(),
            kind,
            contents: Contents::default(),
            trouble: None,
            sessions: BTreeMap::new(),
            last_session: 0,
            witness,
            changed: Arc::clone(&changed),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed }))
    }

    /// From now on addresses with its name lead to it, on this thread.
    pub fn install(&self) {
        let name = self.state().name.clone();
        INSTALLED.with_borrow_mut(|installed| installed.insert(name, self.clone()));
    }

    /// No address leads to a database in memory any more, on this thread.
    pub fn uninstall_all() {
        INSTALLED.with_borrow_mut(BTreeMap::clear);
    }

    pub(super) fn find(name: &str) -> Option<Self> {
        INSTALLED.with_borrow(|installed| installed.get(name).cloned())
    }

    /// What it holds now.
    pub fn contents(&self) -> Contents {
        self.state().contents.clone()
    }

    /// How far it has read each partition.
    pub fn positions(&self) -> BTreeMap<Partition, StoredPosition> {
        self.state().contents.positions.clone()
    }

    /// Ends every connection, and puts a copy in the place of what it holds.
    pub fn restore(&self, copy: Contents) {
        self.cut();
        self.state().contents = copy;
    }

    /// Ends every connection.
    pub fn cut(&self) {
        let mut state = self.state();
        let open: Vec<u64> = state.sessions.keys().copied().collect();
        open.into_iter().for_each(|session| state.close(session));
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state().trouble
    }

    /// From now on this is wrong with it, or nothing.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        if trouble == Some(Trouble::Away) {
            self.cut();
        }
        self.state().trouble = trouble;
        self.0.changed.notify_waiters();
    }

    /// A process is gone: its transactions are rolled back; one whose commit was on its way is committed where `arrives`.
    pub fn process_died(&self, process: &str, arrives: bool) {
        let mut state = self.state();
        let of_it = state.sessions.iter().filter(|(_, session)| session.process == process);
        let of_it: Vec<(u64, bool)> = of_it.map(|(id, session)| (*id, session.is_committing)).collect();
        for (session, is_committing) in of_it {
            if is_committing && arrives {
                // It may break a rule, as any other: the witness sees it.
                drop(state.commit(session));
            }
            state.close(session);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of this lock panics")
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.0.changed
    }
}

impl State {
    pub(super) fn open(&mut self, process: &str) -> u64 {
        self.last_session += 1;
        self.sessions.insert(self.last_session, Session::new(process));
        self.last_session
    }

    /// The session's transaction; one begins where there is none. An error where the session has ended, or its transaction
    /// has failed.
    pub(super) fn transaction(&mut self, session: u64) -> Result<&mut Transaction, Fault> {
        let gone = || Fault::new(Class::Transient, "the connection is gone");
        let session = self.sessions.get_mut(&session).ok_or_else(gone)?;
        Ok(session.transaction.get_or_insert_default())
    }

    /// Compares and advances; the locks are held already.
    pub(super) fn advance(&mut self, session: u64, advances: &[Advance]) -> Result<bool, Fault> {
        self.takes_changes()?;
        for advance in advances {
            let partition = advance.partition();
            let is_there = self.contents.positions.get(&partition).is_some_and(|at| *at == advance.from);
            if !is_there {
                return Ok(false);
            }
            self.transaction(session)?.positions.insert(partition, advance.to);
        }
        Ok(true)
    }

    pub(super) fn insert(&mut self, session: u64, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
        self.takes_changes()?;
        if self.trouble == Some(Trouble::Full) && !range.is_empty() {
            // As SQLite: the whole transaction is gone with it.
            self.roll_back(session);
            return Err(Fault::new(Class::Transient, "the disk is full"));
        }
        if self.transaction(session)?.is_broken {
            return Err(Fault::new(Class::Transient, "the transaction has failed before"));
        }
        let is_wrong = self.trouble == Some(Trouble::WrongTable);
        let is_wrong = self.transaction(session)?.table_is_wrong.unwrap_or(is_wrong);
        for row in rows.range(range) {
            let id = row.id.get();
            if is_wrong {
                self.transaction(session)?.is_broken = true;
                // With a code that a row may have as well.
                return Err(Fault::new(Class::Data, "nobody fills the column region"));
            }
            if row.name.contains("poison") {
                self.transaction(session)?.is_broken = true;
                return Err(Fault::new(Class::Data, format!("the value of row {id} is refused")));
            }
            let is_there = self.contents.rows.contains_key(&id);
            let transaction = self.transaction(session)?;
            if is_there || transaction.rows.iter().any(|row| row.id == id) {
                transaction.is_broken = true;
                return Err(Fault::invariant(format!("row {id} is there already")));
            }
            let (customer, name) = (row.customer_id.to_owned(), row.name.to_owned());
            transaction.rows.push(Row { customer, id, name, address: row.address.to_owned() });
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, session: u64) -> Result<(), Fault> {
        self.takes_changes()?;
        let gone = || Fault::new(Class::Transient, "the connection is gone");
        let of_session = self.sessions.get_mut(&session).ok_or_else(gone)?;
        of_session.is_committing = false;
        of_session.locks = None;
        let Some(transaction) = of_session.transaction.take() else { return Ok(()) };
        self.changed.notify_waiters();
        if transaction.is_broken {
            return Err(Fault::new(Class::Transient, "the transaction has failed before"));
        }
        let Transaction { positions, rows, identity, .. } = transaction;
        let commit = Commit { before: &self.contents, positions: &positions, rows: &rows };
        self.witness.committing(&self.name, &commit);
        self.contents.identity = identity.or(self.contents.identity.take());
        self.contents.positions.extend(positions);
        self.contents.rows.extend(rows.into_iter().map(|row| (row.id, row)));
        Ok(())
    }

    fn takes_changes(&self) -> Result<(), Fault> {
        match self.trouble {
            Some(Trouble::ReadOnly) => Err(Fault::new(Class::Transient, "the database is read-only")),
            _ => Ok(()),
        }
    }
}
