//! The lane's transaction, once for all engines: positions compared and advanced, rows in, commit.
//!
//! The quick way stores the whole batch without a savepoint (a small one in one round trip, where the engine can). Only where the database
//! refuses a row for its value the transaction is undone and done again with care: the refused rows are searched by savepoints and bisection,
//! handed to `bury`, and the others committed. Whichever way: a position moves only in the transaction that holds its rows.

use std::error::Error;

use sluice_failpoint::fail_point;

use crate::{Batch, Class, RefusedRow, bisection::Bisection, engine::Engine, fault::Fault, lane_rule};

/// Stores the batch. On an error nothing is stored, but for a commit whose answer was lost.
pub(crate) async fn append<F>(engine: &mut Engine, batch: &Batch, bury: F) -> Result<(), Fault>
where
    F: AsyncFnOnce(&[RefusedRow]) -> Result<(), Box<dyn Error + Send + Sync>>,
{
    lane_rule::check(batch)?;
    if batch.advances.is_empty() {
        return Ok(());
    }
    match store_whole(engine, batch).await {
        Ok(()) => Ok(()),
        Err(fault) if fault.class == Class::Data => {
            roll_back(engine).await;
            let stored = store_apart(engine, batch, bury).await;
            if stored.is_err() {
                roll_back(engine).await;
            }
            stored
        }
        Err(fault) => {
            roll_back(engine).await;
            Err(fault)
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

async fn store_apart<F>(engine: &mut Engine, batch: &Batch, bury: F) -> Result<(), Fault>
where
    F: AsyncFnOnce(&[RefusedRow]) -> Result<(), Box<dyn Error + Send + Sync>>,
{
    advance(engine, batch).await?;
    let refused = insert_what_is_taken(engine, batch).await?;
    if !refused.is_empty() {
        // Before the commit: a position may only pass an event whose dead letter is stored.
        fail_point!("lane.refused.before");
        bury(&refused).await.map_err(|e| Fault::new(Class::Transient, e))?;
        fail_point!("lane.refused.after");
    }
    commit(engine).await
}

async fn insert_what_is_taken(engine: &mut Engine, batch: &Batch) -> Result<Vec<RefusedRow>, Fault> {
    let mut bisection = Bisection::new(batch.rows.len());
    while let Some(range) = bisection.next_range() {
        engine.savepoint().await?;
        fail_point!("lane.savepoint.after");
        match engine.insert(&batch.rows, range.clone()).await {
            Ok(()) => engine.keep_savepoint().await?,
            Err(fault) if fault.class == Class::Data => {
                engine.undo_savepoint().await?;
                bisection.refuse(range, || fault.source.to_string());
            }
            Err(fault) => return Err(fault),
        }
    }
    let refused = bisection.into_refused().into_iter().map(|(index, detail)| {
        let row = batch.rows.get(index).expect("the bisection gives only indices of the batch");
        RefusedRow { index, id: row.id, detail }
    });
    Ok(refused.collect())
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
