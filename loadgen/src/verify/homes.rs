//! Asks the directory where each customer's rows are.

use anyhow::Context;
use sluice_directory::Client as Directory;

use super::ledger::Ledger;

/// Customers asked for at once.
const BATCH: usize = 1_000;

/// Asks for every customer of the ledger, so that a directory which names its shards only in its answers has named them.
///
/// # Errors
/// Where the directory does not answer.
pub async fn introduce(ledger: &mut Ledger, directory: &Directory) -> anyhow::Result<()> {
    for customers in ledger.homeless().chunks(BATCH) {
        directory.read_routes(customers).await.context("ask the directory for routes")?;
    }
    Ok(())
}

/// Gives a home to every customer of the ledger that has a route by now. It never places anybody.
///
/// # Errors
/// Where the directory does not answer, or names a shard that it does not list.
pub async fn resolve(ledger: &mut Ledger, directory: &Directory) -> anyhow::Result<()> {
    for customers in ledger.homeless().chunks(BATCH) {
        let routes = directory.read_routes(customers).await.context("ask the directory for routes")?;
        anyhow::ensure!(routes.len() == customers.len(), "the directory answered another number of questions");
        for (customer, route) in customers.iter().zip(routes) {
            let Some(route) = route else { continue };
            let shard = ledger.shard(&route.shard).with_context(|| {
                format!("the directory routes customer {customer} to {}, which it does not list", route.shard)
            })?;
            ledger.house(customer, shard);
        }
    }
    Ok(())
}
