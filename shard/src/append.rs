//! The lane's transaction, once for all engines: positions compared and advanced, rows in, commit.
//!
//! The quick way stores the whole batch without a savepoint (a small one in one round trip, where the engine can). Where the database
//! refuses a row for its value, nothing is stored: the transaction is undone, the refused rows are searched in another one by savepoints
//! and bisection, and that one is undone too. The caller sees to the refused rows, and comes back without them. Whichever way: a position
//! moves only in the transaction that holds its rows, and nobody waits for anything but the database within one.

use std::time::{Duration, Instant};

use sluice_failpoint::fail_point;

use crate::{
    Appended, Batch, Class, RefusedRow,
    bisection::{Bisection, Found},
    engine::Engine,
    fault::Fault,
    lane_rule,
};

/// Stores the batch, or says which rows the database refuses. A search for these ends early after `search_limit`. On an error nothing is
/// stored, but for a commit whose answer was lost.
pub(crate) async fn append(engine: &mut Engine, batch: &Batch, search_limit: Duration) -> Result<Appended, Fault> {
    lane_rule::check(batch)?;
    if batch.advances.is_empty() {
        return Ok(Appended::Stored);
    }
    match store_whole(engine, batch).await {
        Ok(()) => Ok(Appended::Stored),
        Err(fault) => {
            roll_back(engine).await;
            if fault.class != Class::Data {
                return Err(fault);
            }
            let found = search(engine, batch, search_limit).await;
            if !matches!(found, Ok(Appended::Stored)) {
                roll_back(engine).await;
            }
            found
        }
    }
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
async fn search(engine: &mut Engine, batch: &Batch, limit: Duration) -> Result<Appended, Fault> {
    let late_from = Instant::now() + limit;
    advance(engine, batch).await?;
    engine.savepoint().await?;
    fail_point!("lane.savepoint.after");
    let mut bisection = Bisection::new(batch.rows.len());
    while let Some(range) = bisection.next_range(Instant::now() >= late_from) {
        match engine.insert(&batch.rows, range.clone()).await {
            Ok(()) => engine.next_savepoint().await?,
            Err(fault) if fault.class == Class::Data => {
                // Also of a single row, which the statement has undone by itself: it shows whether the transaction still stands.
                engine.undo_to_savepoint().await?;
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
    match (complete, refused.is_empty()) {
        (true, true) => commit(engine).await.map(|()| Appended::Stored),
        (true, false) => Ok(Appended::Refused(refused)),
        (false, false) => Ok(Appended::TooMany(refused)),
        (false, true) => {
            Err(Fault::new(Class::Transient, "the database refuses rows together, and none of them by itself"))
        }
    }
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
