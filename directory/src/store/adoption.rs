//! Customers that came with their rows: of a database that was written without a directory before.

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

impl Store {
    /// Stores a new shard, open, and places the customers there whose rows it holds already, in one transaction. `None` where
    /// the name is taken.
    ///
    /// # Errors
    /// Where the database fails; nothing was stored then.
    pub async fn add_shard(&self, new: &NewShard, customers: &[CustomerId]) -> Result<Option<Adopted>, StoreError> {
        self.adopting(&new.name, Some(new), customers).await
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
        new: Option<&NewShard>,
        customers: &[CustomerId],
    ) -> Result<Option<Adopted>, StoreError> {
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        if let Some(new) = new
            && !session.add_shard(&self.new_row(new, !customers.is_empty())).await.map_err(doing("store a shard"))?
        {
            return Ok(None);
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
