//! Customers that came with their rows: of a database that was written without a directory before.
//!
//! A shard is *adopted* where it had rows when it was registered. Whoever wrote it without a directory may have gone on for a
//! while, and customers may have got their first rows there since, whom the directory does not know. While no shard is added, that
//! is no harm: what becomes of unknown customers is as it was when they came. A shard that is added could take them. So with the
//! next registration an adopted shard is asked once more; that the other writer has stopped by then is the administrator's
//! part. Where it does not answer, the new shard is *held*: it is registered, and takes no new customers until every adopted shard has
//! been asked. Nothing else waits.

use sluice_model::CustomerId;

use super::{Store, StoreError, as_json, doing, known_of, statements::number};
use crate::api::{NewShard, Route};

/// The most customers of one statement.
const CHUNK: usize = 1_000;

/// What came of adopting a shard's customers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// How many were placed there now.
    pub placed: u64,
    /// How many have rows there and are placed on another shard, and the first of them.
    pub elsewhere: Option<(u64, CustomerId)>,
}

/// What a registration knows of the adopted shards that were there before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Those that were asked again: their customers are placed.
    pub asked: Vec<String>,
    /// Whether there are others, that did not answer.
    pub silent: bool,
}

impl Store {
    /// Stores a new shard, open, and places the customers there whose rows it holds already, in one transaction. `None` where
    /// the name is taken.
    ///
    /// # Errors
    /// Where the database fails; nothing was stored then.
    pub async fn add_shard(
        &self,
        new: &NewShard,
        customers: &[CustomerId],
        earlier: &Earlier,
    ) -> Result<Option<Adopted>, StoreError> {
        self.adopting(&new.name, Some((new, earlier)), customers).await
    }

    /// Notes that adopted shards were asked again, and their customers placed. Where that was the last one, held shards take new
    /// customers from now on; gives their number.
    ///
    /// # Errors
    /// Where the database fails; nothing was stored then.
    pub async fn settle(&self, asked: &[String]) -> Result<u64, StoreError> {
        let settling = doing("note which shards were asked again");
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        for shard in asked {
            session.settled(shard).await.map_err(&settling)?;
        }
        let released = session.release().await.map_err(&settling)?;
        write.commit().await.map_err(&settling)?;
        Ok(released)
    }

    /// Places customers on the shard that holds their rows already, where they are placed nowhere.
    ///
    /// # Errors
    /// Where the database fails; nothing was stored then.
    pub async fn adopt(&self, shard: &str, customers: &[CustomerId]) -> Result<Adopted, StoreError> {
        Ok(self.adopting(shard, None, customers).await?.unwrap_or_default())
    }

    async fn adopting(
        &self,
        shard: &str,
        new: Option<(&NewShard, &Earlier)>,
        customers: &[CustomerId],
    ) -> Result<Option<Adopted>, StoreError> {
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        if let Some((new, earlier)) = new {
            let storing = doing("store a shard");
            let row = self.new_row(new, !customers.is_empty(), earlier.silent);
            if !session.add_shard(&row).await.map_err(&storing)? {
                return Ok(None);
            }
            for shard in &earlier.asked {
                session.settled(shard).await.map_err(&storing)?;
            }
        }
        let mut adopted = Adopted::default();
        for chunk in customers.chunks(CHUNK) {
            let known = known_of(&mut session, chunk.iter()).await?;
            let mut new = Vec::new();
            for customer in chunk {
                match known.get(customer) {
                    None => new.push(customer),
                    Some(known) => match known.routes.last() {
                        // Refused somewhere, some time: its rows from before that are there all the same.
                        None => {
                            let route = Route { shard: shard.to_owned(), from: known.counts_from() };
                            session.add_route(customer, &route).await.map_err(doing("store a route"))?;
                            adopted.placed += 1;
                        }
                        Some(newest) if newest.shard != shard => {
                            adopted.elsewhere.get_or_insert((0, customer.clone())).0 += 1;
                        }
                        Some(_) => {}
                    },
                }
            }
            let first = number(super::Known::default().counts_from());
            let names = as_json(new.iter().copied());
            adopted.placed += session.add_routes(&names, first, shard).await.map_err(doing("store routes"))?;
        }
        write.commit().await.map_err(doing("commit a shard"))?;
        Ok(Some(adopted))
    }
}
