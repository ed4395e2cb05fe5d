//! Tries rows that nothing is wrong with, to tell a wrong table from wrong rows. Within the
//! savepoint of a search.

mod rows;

use sluice_model::{EventId, Rows};

pub use self::rows::LastStored;
use crate::{Class, StoredRow, engine::Engine, fault::Fault};

/// Customers of a table with whom it is tried as well, where all others were refused. Lower: rows
/// of customers whom the table does not take may be taken for a wrong table. Higher: more
/// statements each time that a wrong table is tried.
const LISTED: usize = 3;

/// Tries rows that nothing is wrong with, until the table takes one; none of them stays. `id` is
/// one that no row of the table has.
///
/// # Errors
/// [`Class::Configuration`] where it takes none: then it is not the rows that are wrong.
pub(crate) async fn check_that_rows_are_taken(
    engine: &mut Engine,
    batch: &Rows,
    id: EventId,
    last_stored: &LastStored,
) -> Result<(), Fault> {
    if refusal_of_all(engine, &rows::of_batch(batch, id, last_stored)).await?.is_none() {
        return Ok(());
    }
    let held = match held(engine).await {
        Ok(held) => held,
        Err(fault) if fault.class == Class::Transient => return Err(fault),
        // Whoever may not read the table may write to it all the same.
        Err(_) => {
            engine.undo_to_savepoint().await?;
            Vec::new()
        }
    };
    let texts = held.iter().map(|row| (row.customer_id.as_str(), row.name.as_str(), row.address.as_str()));
    let then = rows::of_table(texts, id);
    match refusal_of_all(engine, &then).await? {
        None => Ok(()),
        Some(detail) => Err(Fault::configuration(format!(
            "the table person takes no row, not even a plain one, and has to be mended: {detail}"
        ))),
    }
}

/// Returns a row of each of some customers whose rows the table holds.
async fn held(engine: &mut Engine) -> Result<Vec<StoredRow>, Fault> {
    let mut rows = Vec::new();
    for customer in engine.customers(None).await?.iter().take(LISTED) {
        // What is no customer's id was made by hand.
        if let Ok(customer) = customer.parse() {
            rows.extend(engine.customer_rows(&customer, None, 1).await?);
        }
    }
    Ok(rows)
}

/// Returns what the database says of the last of these rows, where it refuses each of them by
/// itself.
async fn refusal_of_all(engine: &mut Engine, rows: &Rows) -> Result<Option<String>, Fault> {
    let mut refusal = Some(String::new());
    for index in 0..rows.len() {
        let inserted = engine.insert(rows, index..index + 1).await;
        engine.undo_to_savepoint().await?;
        match inserted {
            // A unique index comes last: what only that refuses, the table takes.
            Ok(()) => return Ok(None),
            Err(fault) if fault.class == Class::Invariant => return Ok(None),
            Err(fault) if fault.class == Class::Data => refusal = Some(fault.source.to_string()),
            Err(fault) => return Err(fault),
        }
    }
    Ok(refusal)
}
