//! The lane's transaction, once for all engines: positions compared and advanced, rows in, commit.
//!
//! The quick way stores the whole batch without a savepoint (a small one in one round trip, where the engine can). Where the database
//! refuses a row for its value, nothing is stored: the transaction is undone, the refused rows are searched in another one by savepoints
//! and bisection, and that one is undone too. The caller sees to the refused rows, and comes back without them. Whichever way: a position
//! moves only in the transaction that holds its rows, and nobody waits for anything but the database within one.
//!
//! A refusal may be the row's own, or its table's, which then refuses every row; the code does not
//! say which. So before the search and after it rows are tried that nothing is wrong with
//! (`trial`). Where the table takes none of them, no row is refused: it is a matter of
//! configuration. Tried twice, since somebody may change the table in between.

use std::time::{Duration, Instant};

use sluice_failpoint::fail_point;
use sluice_model::{CustomerId, EventId, Row};

use crate::{
    Appended, Batch, Class, LastStored, RefusedRow,
    bisection::{Bisection, Found},
    engine::Engine,
    fault::Fault,
    lane_rule, trial,
};

/// Stores the batch, or says which rows the database refuses. A search for these ends early after `search_limit`. On an error nothing is
/// stored, but for a commit whose answer was lost.
pub(crate) async fn append(
    engine: &mut Engine,
    batch: &Batch,
    last_stored: &mut LastStored,
    search_limit: Duration,
) -> Result<Appended, Fault> {
    lane_rule::check(batch)?;
    if batch.advances.is_empty() {
        return Ok(Appended::Stored);
    }
    let appended = match store_whole(engine, batch).await {
        Ok(()) => Ok(Appended::Stored),
        Err(fault) => {
            roll_back(engine).await;
            if !is_refusal(&fault) {
                return Err(fault);
            }
            let found = search(engine, batch, last_stored, search_limit).await;
            if !matches!(found, Ok(Appended::Stored)) {
                roll_back(engine).await;
            }
            found
        }
    };
    if matches!(appended, Ok(Appended::Stored)) {
        last_stored.remember(&batch.rows);
    }
    appended
}

/// Whether it may be about one row alone. A unique index may be the user's own.
fn is_refusal(fault: &Fault) -> bool {
    matches!(fault.class, Class::Data | Class::Invariant)
}

async fn store_whole(engine: &mut Engine, batch: &Batch) -> Result<(), Fault> {
    fail_point!("lane.begin.before");
    if engine.store_at_once(batch).await? {
        fail_point!("lane.commit.after");
        return Ok(());
    }
    advance(engine, batch).await?;
    engine.insert(&batch.rows, 0..batch.rows.len()).await?;
    commit(engine).await
}

/// Searches the rows that the database refuses. Where it refuses none this time, the batch is stored.
async fn search(
    engine: &mut Engine,
    batch: &Batch,
    last_stored: &LastStored,
    limit: Duration,
) -> Result<Appended, Fault> {
    let late_from = Instant::now() + limit;
    advance(engine, batch).await?;
    engine.savepoint().await?;
    fail_point!("lane.savepoint.after");
    if let Some(id) = batch.rows.iter().map(|row| row.id).max() {
        trial::check_that_rows_are_taken(engine, &batch.rows, id, last_stored).await?;
    }
    let mut bisection = Bisection::new(batch.rows.len());
    while let Some(range) = bisection.next_range(Instant::now() >= late_from) {
        match engine.insert(&batch.rows, range.clone()).await {
            Ok(()) => engine.next_savepoint().await?,
            Err(fault) if is_refusal(&fault) => {
                // Also of a single row, which the statement has undone by itself: it shows whether the transaction still stands.
                engine.undo_to_savepoint().await?;
                if fault.class == Class::Invariant && range.len() == 1 && has_key(engine, batch, range.start).await? {
                    return Err(fault);
                }
                bisection.refuse(range, || fault.source.to_string());
            }
            Err(fault) => return Err(fault),
        }
    }
    let Found { refused, complete } = bisection.into_found();
    let refused = refused.into_iter().map(|(index, detail)| {
        let row = batch.rows.get(index).expect("the bisection gives only indices of the batch");
        RefusedRow { index, id: row.id, detail }
    });
    let refused: Vec<_> = refused.collect();
    // The last one: what refuses all rows from some id on, refuses it as well.
    if let Some(id) = refused.iter().map(|row| row.id).max() {
        trial::check_that_rows_are_taken(engine, &batch.rows, id, last_stored).await?;
    }
    match (complete, refused.is_empty()) {
        (true, true) => commit(engine).await.map(|()| Appended::Stored),
        (true, false) => Ok(Appended::Refused(refused)),
        (false, false) => Ok(Appended::TooMany(refused)),
        (false, true) => {
            Err(Fault::new(Class::Transient, "the database refuses rows together, and none of them by itself"))
        }
    }
}

/// Whether a row that a unique index has refused is there: then the index was the primary key, and
/// nobody but us may have given its id.
async fn has_key(engine: &mut Engine, batch: &Batch, index: usize) -> Result<bool, Fault> {
    let Some(Row { customer_id, id, .. }) = batch.rows.get(index) else { return Ok(false) };
    let customer: CustomerId = customer_id.parse().map_err(Fault::invariant)?;
    let before = EventId::try_from(id.get() - 1).ok();
    Ok(engine.customer_rows(&customer, before, 1).await?.iter().any(|row| row.id == id))
}

async fn advance(engine: &mut Engine, batch: &Batch) -> Result<(), Fault> {
    if engine.begin(&batch.advances).await? {
        fail_point!("lane.positions.after");
        return Ok(());
    }
    // A snapshot may show the old position, so the explanation is read in a new transaction.
    engine.rollback().await?;
    let stored = engine.positions().await?;
    let mut moved = Vec::new();
    for advance in &batch.advances {
        let partition = advance.partition();
        match stored.get(&partition) {
            None => return Err(Fault::configuration(format!("no journal_position row of partition {partition}"))),
            Some(found) if *found != advance.from => {
                moved.push(format!(
                    "the shard has stored {:?} (stamp {}), {:?} (stamp {}) was expected",
                    found.position, found.stamp, advance.from.position, advance.from.stamp
                ));
            }
            Some(_) => {}
        }
    }
    Err(Fault::new(Class::PositionMoved, moved.join("; ")))
}

async fn commit(engine: &mut Engine) -> Result<(), Fault> {
    fail_point!("lane.commit.before");
    engine.commit().await?;
    fail_point!("lane.commit.after");
    Ok(())
}

/// Frees the locks at once where that still works. It may fail: the database may have ended the transaction by itself, or
/// the connection is gone. No `begin` succeeds within a transaction that should have been rolled back and was not.
async fn roll_back(engine: &mut Engine) {
    if let Err(fault) = engine.rollback().await {
        tracing::debug!(error = %fault.source, "no rollback: the transaction or its connection is gone already");
    }
}
