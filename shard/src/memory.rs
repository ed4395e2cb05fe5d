//! A database in memory, for simulations, with what lanes rely on: row locks that are held until the commit, rollback,
//! savepoints, values that are refused, and all the ways in which a database fails. In debug builds only.
//!
//! No configuration leads here: a simulation installs its databases on its own thread, and only there an address with the
//! name of one reaches it. Every statement waits for its turn ([`sluice_failpoint::simulated`]).

mod database;
mod session;

use std::{collections::BTreeMap, ops::Range};

use futures::stream::{self, BoxStream, StreamExt};
use sluice_failpoint::simulated::{Outcome, note, turn};
use sluice_model::{CustomerId, Partition, Rows};

pub use self::database::{Commit, Contents, Kind, MemoryDatabase, Row, Trouble, Witness};
use self::session::Want;
use crate::{
    Advance, Batch, Class, Counts, Identity, Limits, ShardAddress, Size, StoredPosition,
    fault::Fault,
    schema::{Column, Kind as ColumnKind},
};

/// The most rows of a batch that is stored in one statement, where the engine does that: few, so that both ways are taken.
const AT_ONCE_ROWS: usize = 4;

/// One connection. The host of its address says which process it belongs to.
pub(crate) struct Memory {
    database: MemoryDatabase,
    actor: String,
    customer: String,
    session: u64,
    limits: Limits,
}

impl Memory {
    /// Connects, where a simulation on this thread has a database of that name.
    pub(crate) async fn connect(address: &ShardAddress, limits: Limits) -> Option<Result<Self, Fault>> {
        let database = MemoryDatabase::find(&address.database)?;
        let actor = format!("{} {}", address.host, address.database);
        let session = database.state().open(&address.host);
        let customer = address.customer_column.to_string();
        let connection = Self { database, actor, customer, session, limits };
        let connected = connection.ask("connect".to_owned(), Want::Nothing, |_, _| Ok(())).await;
        Some(connected.map(|()| connection))
    }

    /// One statement: its turn, the locks that it wants, what it does, its answer.
    async fn ask<T>(
        &self,
        what: String,
        want: Want,
        act: impl FnOnce(&mut database::State, u64) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let verdict = turn(&self.actor, || what.clone()).await;
        if matches!(verdict.outcome, Outcome::Lost | Outcome::Refused) {
            note(&self.actor, || format!("{what}: {:?}", verdict.outcome));
            return self.fail(verdict.outcome).await;
        }
        let answer = match self.wait(want).await {
            Ok(()) => act(&mut self.database.state(), self.session),
            Err(fault) => Err(fault),
        };
        note(&self.actor, || match &answer {
            Ok(_) => format!("{what}: {:?}", verdict.outcome),
            Err(fault) => format!("{what}: {:?} {} {}", verdict.outcome, fault.class, fault.source),
        });
        match verdict.outcome {
            Outcome::Done => {
                if verdict.slow {
                    turn(&self.actor, || format!("hear of {what}")).await;
                }
                answer
            }
            other => self.fail(other).await,
        }
    }

    /// No answer comes; or the connection is gone, and the caller sees it.
    async fn fail<T>(&self, outcome: Outcome) -> Result<T, Fault> {
        if matches!(outcome, Outcome::Lost | Outcome::AnswerLost) {
            std::future::pending::<()>().await;
        }
        self.database.state().close(self.session);
        Err(Fault::new(Class::Transient, "the connection is gone"))
    }

    pub(crate) async fn begin_registration(&mut self) -> Result<(), Fault> {
        self.ask("begin registration".to_owned(), Want::Everything, |_, _| Ok(())).await
    }

    pub(crate) async fn person_columns(&mut self) -> Result<Vec<Column>, Fault> {
        let kinds = [ColumnKind::Text, ColumnKind::BigInt, ColumnKind::Text, ColumnKind::Text];
        let names = [self.customer.as_str(), "id", "name", "address"].into_iter().zip(kinds);
        let column = |(name, kind): (&str, ColumnKind)| Column {
            key: ["id", "name", "address"].iter().all(|other| *other != name).then_some(1),
            name: name.to_owned(),
            kind,
            filled: false,
        };
        let mut columns: Vec<Column> = names.map(column).collect();
        columns[1].key = Some(2);
        Ok(columns)
    }

    pub(crate) async fn identities(&mut self) -> Result<Vec<Identity>, Fault> {
        let read = |state: &mut database::State, _| Ok(state.contents.identity.iter().cloned().collect());
        self.ask("read identity".to_owned(), Want::Nothing, read).await
    }

    pub(crate) async fn write_identity(&mut self, identity: &Identity) -> Result<(), Fault> {
        let write = |state: &mut database::State, session| {
            state.transaction(session)?.identity = Some(identity.clone());
            Ok(())
        };
        self.ask("write identity".to_owned(), Want::Nothing, write).await
    }

    pub(crate) async fn change_journal(&mut self, identity: &Identity) -> Result<(), Fault> {
        self.write_identity(identity).await
    }

    pub(crate) async fn go_on_after(&mut self, later: StoredPosition) -> Result<(), Fault> {
        let change = |state: &mut database::State, session| {
            let partition = later.position.partition();
            let is_less = state.contents.positions.get(&partition).is_some_and(|at| at.position < later.position);
            if is_less {
                state.transaction(session)?.positions.insert(partition, later);
            }
            Ok(())
        };
        self.ask(format!("go on after {:?}", later.position), Want::Nothing, change).await
    }

    pub(crate) async fn add_positions(&mut self, positions: &[StoredPosition]) -> Result<(), Fault> {
        let add = |state: &mut database::State, session| {
            for at in positions {
                let partition = at.position.partition();
                if !state.contents.positions.contains_key(&partition) {
                    state.transaction(session)?.positions.insert(partition, *at);
                }
            }
            Ok(())
        };
        self.ask("add positions".to_owned(), Want::Nothing, add).await
    }

    pub(crate) async fn positions(&mut self) -> Result<BTreeMap<Partition, StoredPosition>, Fault> {
        let read = |state: &mut database::State, _| Ok(state.contents.positions.clone());
        self.ask("read positions".to_owned(), Want::Nothing, read).await
    }

    /// As PostgreSQL: all in one statement, which leaves nothing behind where it fails.
    pub(crate) async fn store_at_once(&mut self, batch: &Batch) -> Result<bool, Fault> {
        if self.database.state().kind != Kind::AtOnce || batch.rows.len() > AT_ONCE_ROWS {
            return Ok(false);
        }
        let store = |state: &mut database::State, session| {
            let stored = state.advance(session, &batch.advances).and_then(|fits| {
                if fits {
                    state.insert(session, &batch.rows, 0..batch.rows.len())?;
                    state.commit(session)?;
                }
                Ok(fits)
            });
            match stored {
                Err(fault) if fault.class == Class::Data => {
                    state.roll_back(session);
                    Ok(false)
                }
                Ok(true) => Ok(true),
                other => {
                    state.roll_back(session);
                    other
                }
            }
        };
        let want = Want::Positions(batch.advances.iter().map(Advance::partition).collect());
        self.ask(format!("store at once {}", show(batch)), want, store).await
    }

    pub(crate) async fn begin(&mut self, advances: &[Advance]) -> Result<bool, Fault> {
        let want = match self.database.state().kind {
            Kind::OneWriter => Want::Everything,
            Kind::AtOnce | Kind::StepByStep => Want::Positions(advances.iter().map(Advance::partition).collect()),
        };
        let advance = |state: &mut database::State, session| state.advance(session, advances);
        self.ask(format!("begin {}", show_advances(advances)), want, advance).await
    }

    pub(crate) async fn insert(&mut self, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
        let what = format!("insert {} rows", range.len());
        let insert = |state: &mut database::State, session| state.insert(session, rows, range);
        self.ask(what, Want::Nothing, insert).await
    }

    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        let set = |state: &mut database::State, session| {
            let is_wrong = state.trouble == Some(Trouble::WrongTable);
            let transaction = state.transaction(session)?;
            transaction.savepoint = Some(transaction.rows.len());
            // As the others it keeps the table as it is, for itself.
            transaction.table_is_wrong = Some(is_wrong);
            Ok(())
        };
        self.ask("savepoint".to_owned(), Want::Nothing, set).await
    }

    pub(crate) async fn next_savepoint(&mut self) -> Result<(), Fault> {
        let renew = |state: &mut database::State, session| {
            let transaction = state.transaction(session)?;
            let rows = transaction.rows.len();
            *transaction.savepoint.as_mut().ok_or_else(no_savepoint)? = rows;
            Ok(())
        };
        self.ask("next savepoint".to_owned(), Want::Nothing, renew).await
    }

    pub(crate) async fn undo_to_savepoint(&mut self) -> Result<(), Fault> {
        let undo = |state: &mut database::State, session| {
            let transaction = state.transaction(session)?;
            let rows = transaction.savepoint.ok_or_else(no_savepoint)?;
            transaction.rows.truncate(rows);
            transaction.is_broken = false;
            Ok(())
        };
        self.ask("undo to savepoint".to_owned(), Want::Nothing, undo).await
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        self.database.state().is_committing(self.session);
        let verdict = turn(&self.actor, || "commit".to_owned()).await;
        note(&self.actor, || format!("commit: {:?}", verdict.outcome));
        match verdict.outcome {
            Outcome::Done | Outcome::AnswerLost | Outcome::Cut => {
                self.wait(Want::Nothing).await?;
                self.database.state().commit(self.session)?;
            }
            // It is on its way, and may arrive when its client has long given up.
            Outcome::Lost => self.database.commit_late(self.session, self.actor.clone()),
            Outcome::Refused => {}
        }
        match verdict.outcome {
            Outcome::Done => {
                if verdict.slow {
                    turn(&self.actor, || "hear of commit".to_owned()).await;
                }
                Ok(())
            }
            other => self.fail(other).await,
        }
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Fault> {
        let roll_back = |state: &mut database::State, session| {
            state.roll_back(session);
            Ok(())
        };
        self.ask("roll back".to_owned(), Want::Nothing, roll_back).await
    }

    pub(crate) async fn counts(&mut self) -> Result<Counts, Fault> {
        let count = |state: &mut database::State, _| {
            let customers = state.contents.rows.values().map(|row| row.customer.as_str());
            let customers = customers.collect::<std::collections::BTreeSet<_>>().len() as u64;
            Ok(Counts { rows: state.contents.rows.len() as u64, customers })
        };
        self.ask("count".to_owned(), Want::Nothing, count).await
    }

    pub(crate) async fn customer_rows(
        &mut self,
        customer: &CustomerId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String, String)>, Fault> {
        let read = |state: &mut database::State, session| {
            // Its own transaction's rows as well.
            let own = state.sessions.get(&session).and_then(|session| session.transaction.as_ref());
            let mut rows: Vec<&Row> =
                state.contents.rows.values().chain(own.into_iter().flat_map(|own| &own.rows)).collect();
            rows.retain(|row| row.customer == customer.as_str() && row.id > after);
            rows.sort_by_key(|row| row.id);
            Ok(rows
                .into_iter()
                .take(limit as usize)
                .map(|row| (row.id, row.name.clone(), row.address.clone()))
                .collect())
        };
        self.ask(format!("read rows of {customer}"), Want::Nothing, read).await
    }

    pub(crate) async fn size(&mut self) -> Result<Size, Fault> {
        let measure = |state: &mut database::State, _| {
            let rows = state.contents.rows.len() as u64;
            Ok(Size { rows, bytes: 100 * rows })
        };
        self.ask("measure".to_owned(), Want::Nothing, measure).await
    }

    pub(crate) async fn customers(&mut self, after: Option<&str>) -> Result<Vec<String>, Fault> {
        let customers = self.database.contents().rows.into_values().map(|row| row.customer);
        let customers: std::collections::BTreeSet<String> = customers.collect();
        Ok(customers.into_iter().filter(|customer| after.is_none_or(|after| customer.as_str() > after)).collect())
    }

    pub(crate) fn ids(&mut self) -> BoxStream<'_, Result<(String, i64), Fault>> {
        stream::iter(self.database.contents().rows.into_values().map(|row| Ok((row.customer, row.id)))).boxed()
    }

    pub(crate) async fn close(self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.database.state().leave(self.session);
    }
}

fn show(batch: &Batch) -> String {
    format!("{} and {} rows", show_advances(&batch.advances), batch.rows.len())
}

fn show_advances(advances: &[Advance]) -> String {
    let steps = advances.iter().map(|advance| format!("{:?} to {:?}", advance.from.position, advance.to.position));
    steps.collect::<Vec<_>>().join(", ")
}

fn no_savepoint() -> Fault {
    Fault::new(Class::Transient, "there is no savepoint")
}
