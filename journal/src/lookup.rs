//! Looking at single messages: whether the journal still holds what somebody has of it.

use bytes::Bytes;
use sluice_model::Position;

use crate::{Bounds, Journal, JournalError, ReadError, Verified, leader, server::Raw, subject::stream_name};

/// Makes sure that the journal still is the one in which the message at `position` bore this stamp (0: there was none, but the
/// journal reached it).
pub(crate) async fn verify(journal: &Journal, position: Position, wanted: i64) -> Result<Verified, ReadError> {
    if wanted != 0 {
        match stamp(journal, position).await.map_err(ReadError::interrupted)? {
            Some(found) if found == wanted => return Ok(Verified::Held),
            Some(found) => return Err(ReadError::Replaced { position, wanted, found }),
            None => {}
        }
    }
    if let Some(bounds) = end_before(journal, position).await.map_err(ReadError::interrupted)? {
        return Err(ReadError::Beyond { wanted: position, last: bounds.last });
    }
    let bounds = journal.bounds(position.partition()).await.map_err(ReadError::interrupted)?;
    if wanted == 0 || position < bounds.first {
        return Ok(Verified::Unseen);
    }
    match hole(journal, position).await.map_err(ReadError::interrupted)? {
        None => Err(ReadError::interrupted(format!("the message at {position:?} could not be fetched"))),
        Some(bounds) if position < bounds.first => Ok(Verified::Unseen),
        Some(_) => verify_gone(journal, position, wanted).await,
    }
}

/// As [`verify`], of a position whose message is gone from the middle of the partition. What stood
/// there was stored before what stood behind it, whose stamp an accepted loss knows.
async fn verify_gone(journal: &Journal, position: Position, wanted: i64) -> Result<Verified, ReadError> {
    match journal.gone_at(position).await.map_err(ReadError::interrupted)? {
        Some(gone) if wanted == gone.stamp => Ok(Verified::Held),
        Some(gone) if wanted < gone.stamp => Ok(Verified::Repaired),
        Some(gone) => Err(ReadError::Replaced { position, wanted, found: gone.stamp }),
        None => Err(ReadError::Gone { position }),
    }
}

/// When the message at a position was stored, if it is there. The stream's leader is asked: another copy may not have it yet.
/// One that only believes that it leads says nothing wrong, but may say `None` too early.
pub(crate) async fn stamp(journal: &Journal, position: Position) -> Result<Option<i64>, JournalError> {
    const OPERATION: &str = "fetch the message at a stored position";
    // No message ever stands there; and the client cannot ask for 0.
    if position == Position::before_first(position.partition()) {
        return Ok(None);
    }
    Ok(raw(journal, position, OPERATION).await?.map(|message| message.stamp))
}

pub(crate) async fn raw(
    journal: &Journal,
    position: Position,
    operation: &'static str,
) -> Result<Option<Raw>, JournalError> {
    let found = journal.raw_message(stream_name(position.partition()), position.get()).await;
    found.map_err(|e| JournalError::new(operation, e))
}

/// The events of the message at a position, if it is there.
pub(crate) async fn payload(journal: &Journal, position: Position) -> Result<Option<Bytes>, JournalError> {
    Ok(raw(journal, position, "fetch a message").await?.map(|message| message.payload))
}

/// The partition's bounds where it surely ends before `position`, though that was once given; `None` where it does not. See
/// [`leader`]: of several copies' leaders one has to say so again and again.
pub(crate) async fn end_before(journal: &Journal, position: Position) -> Result<Option<Bounds>, JournalError> {
    for time in 1.. {
        let (bounds, copies) = journal.bounds_and_copies(position.partition()).await?;
        if position <= bounds.last {
            break;
        }
        if copies == 1 || time == leader::TIMES {
            return Ok(Some(bounds));
        }
        tokio::time::sleep(leader::AGAIN).await;
    }
    Ok(None)
}

/// The partition's bounds where it surely lacks the message at `position`, which others stand behind; `None` where it has it, or
/// where nobody can say that it lacks it: its leader does not know of that position.
pub(crate) async fn hole(journal: &Journal, position: Position) -> Result<Option<Bounds>, JournalError> {
    for time in 1.. {
        let (bounds, copies) = journal.bounds_and_copies(position.partition()).await?;
        if position > bounds.last || stamp(journal, position).await?.is_some() {
            break;
        }
        if copies == 1 || time == leader::TIMES || position < bounds.first {
            return Ok(Some(bounds));
        }
        tokio::time::sleep(leader::AGAIN).await;
    }
    Ok(None)
}
