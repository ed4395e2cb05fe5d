//! The closed set of engines behind one face: what a [`crate::Shard`] is made of.
//!
//! The steps of a transaction are single calls here, so that the lane rule itself is written once, in `append`, for
//! all engines.

use std::{collections::BTreeMap, ops::Range};

use futures::stream::BoxStream;
use sluice_model::{CustomerId, EventId, Partition, Position, Rows};

#[cfg(debug_assertions)]
use crate::memory::Memory;
use crate::{
    Advance, Batch, Counts, Flavor, Identity, Limits, ShardAddress, Size, StoredPosition, StoredRow, fault::Fault,
    mysql::Mysql, postgres::Postgres, schema::Column, sqlite::Sqlite,
};

/// One connection to one database.
pub(crate) enum Engine {
    Postgres(Postgres),
    Mysql(Mysql),
    Sqlite(Sqlite),
    /// Only in a simulation.
    #[cfg(debug_assertions)]
    Memory(Memory),
}

/// Calls the method of the same name on whichever engine it is.
macro_rules! either {
    ($engine:expr, $each:ident => $call:expr) => {
        match $engine {
            Engine::Postgres($each) => $call,
            Engine::Mysql($each) => $call,
            Engine::Sqlite($each) => $call,
            #[cfg(debug_assertions)]
            Engine::Memory($each) => $call,
        }
    };
}

impl Engine {
    /// Connects. `create`: for a registration, which makes what is missing; a database that is only
    /// a file at once.
    pub(crate) async fn connect(address: &ShardAddress, limits: Limits, create: bool) -> Result<Self, Fault> {
        #[cfg(debug_assertions)]
        if let Some(memory) = Memory::connect(address, limits).await {
            return memory.map(Self::Memory);
        }
        Ok(match address.flavor {
            Flavor::Postgres => Self::Postgres(Postgres::connect(address, limits).await?),
            Flavor::Mysql => Self::Mysql(Mysql::connect(address, limits, create).await?),
            Flavor::Sqlite => Self::Sqlite(Sqlite::connect(address, limits, create).await?),
        })
    }

    /// Begins a transaction that no other registration runs beside, and creates the tables that are
    /// missing. Where none is, no right to create is needed.
    pub(crate) async fn begin_registration(&mut self) -> Result<(), Fault> {
        either!(self, engine => engine.begin_registration().await)
    }

    pub(crate) async fn person_columns(&mut self) -> Result<Vec<Column>, Fault> {
        either!(self, engine => engine.person_columns().await)
    }

    /// All rows of `sluice_shard`: one, where all is well.
    pub(crate) async fn identities(&mut self) -> Result<Vec<Identity>, Fault> {
        either!(self, engine => engine.identities().await)
    }

    pub(crate) async fn write_identity(&mut self, identity: &Identity) -> Result<(), Fault> {
        either!(self, engine => engine.write_identity(identity).await)
    }

    /// Writes another journal's id beside the name.
    pub(crate) async fn change_journal(&mut self, identity: &Identity) -> Result<(), Fault> {
        either!(self, engine => engine.change_journal(identity).await)
    }

    /// Sets the stored position of a partition, where it is less.
    pub(crate) async fn go_on_after(&mut self, later: StoredPosition) -> Result<(), Fault> {
        either!(self, engine => engine.go_on_after(later).await)
    }

    /// Adds position rows where there are none; those that exist stay as they are.
    pub(crate) async fn add_positions(&mut self, positions: &[StoredPosition]) -> Result<(), Fault> {
        either!(self, engine => engine.add_positions(positions).await)
    }

    /// The stored positions as of now: never from the snapshot of an older transaction.
    pub(crate) async fn positions(&mut self) -> Result<BTreeMap<Partition, StoredPosition>, Fault> {
        either!(self, engine => engine.positions().await)
    }

    /// Stores a small batch in one round trip, as a transaction of its own, where the engine can. False: nothing was done. The batch is to
    /// be stored step by step, as it is not small, or did not go in as a whole.
    pub(crate) async fn store_at_once(&mut self, batch: &Batch) -> Result<bool, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.store_at_once(batch).await,
            Self::Mysql(_) | Self::Sqlite(_) => Ok(false),
            #[cfg(debug_assertions)]
            Self::Memory(memory) => memory.store_at_once(batch).await,
        }
    }

    /// Begins the lane's transaction and compares and advances, in the order given. False: some position was not the
    /// expected one; the transaction is to be rolled back.
    pub(crate) async fn begin(&mut self, advances: &[Advance]) -> Result<bool, Fault> {
        either!(self, engine => engine.begin(advances).await)
    }

    /// Stores the rows of a range of indices, all or none where it fails (within a savepoint).
    pub(crate) async fn insert(&mut self, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
        either!(self, engine => engine.insert(rows, range).await)
    }

    /// Makes the savepoint of a transaction that has none.
    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        either!(self, engine => engine.savepoint().await)
    }

    /// Keeps what was stored since the savepoint, and makes it anew.
    pub(crate) async fn next_savepoint(&mut self) -> Result<(), Fault> {
        either!(self, engine => engine.next_savepoint().await)
    }

    /// Undoes what was stored since the savepoint, which stays. Fails where the database has ended the transaction (and with it the
    /// savepoint) by itself: nothing may follow then, since a new savepoint could begin a transaction without our positions.
    pub(crate) async fn undo_to_savepoint(&mut self) -> Result<(), Fault> {
        either!(self, engine => engine.undo_to_savepoint().await)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        either!(self, engine => engine.commit().await)
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Fault> {
        either!(self, engine => engine.rollback().await)
    }

    pub(crate) async fn counts(&mut self) -> Result<Counts, Fault> {
        either!(self, engine => engine.counts().await)
    }

    pub(crate) async fn customer_rows(
        &mut self,
        customer: &CustomerId,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<StoredRow>, Fault> {
        // No event id is negative, so this is before the first one.
        let after = after.map_or(-1, EventId::get);
        either!(self, engine => engine.customer_rows(customer, after, limit).await)?
            .into_iter()
            .map(|(id, name, address)| {
                Ok(StoredRow { customer_id: customer.to_string(), id: event_id(id)?, name, address })
            })
            .collect()
    }

    pub(crate) async fn size(&mut self) -> Result<Size, Fault> {
        either!(self, engine => engine.size().await)
    }

    /// See [`crate::Shard::customers`].
    pub(crate) async fn customers(&mut self, after: Option<&str>) -> Result<Vec<String>, Fault> {
        either!(self, engine => engine.customers(after).await)
    }

    pub(crate) fn ids(&mut self) -> BoxStream<'_, Result<(String, i64), Fault>> {
        either!(self, engine => engine.ids())
    }

    pub(crate) async fn close(self) -> Result<(), Fault> {
        either!(self, engine => engine.close().await)
    }
}

fn event_id(id: i64) -> Result<EventId, Fault> {
    EventId::try_from(id).map_err(|e| Fault::configuration(format!("a row of person has the id {id}: {e}")))
}

/// Makes positions of the rows (partition, position, stamp) that an engine has read.
pub(crate) fn stored_positions(rows: Vec<(i64, i64, i64)>) -> Result<BTreeMap<Partition, StoredPosition>, Fault> {
    rows.into_iter()
        .map(|(partition, position, stamp)| {
            let read = u64::try_from(position).ok().and_then(Position::new);
            match read.filter(|read| i64::from(read.partition().number()) == partition) {
                Some(position) => Ok((position.partition(), StoredPosition { position, stamp })),
                None => Err(Fault::configuration(format!(
                    "the journal_position row of partition {partition} holds {position}, which is not in it"
                ))),
            }
        })
        .collect()
}

/// The position as the databases store it.
pub(crate) fn position_i64(position: Position) -> i64 {
    i64::try_from(position.get()).expect("a position has 53 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    #[test]
    fn a_position_row_of_another_partition_is_a_damaged_database() {
        let second = 1 << 44;
        assert_eq!(stored_positions(vec![(0, 7, 1), (1, second, 0)]).unwrap().len(), 2);
        for damaged in [(0, second, 0), (0, -1, 0), (512, 512 << 44, 0)] {
            assert_eq!(stored_positions(vec![damaged]).unwrap_err().class, Class::Configuration, "{damaged:?}");
        }
    }
}
