//! One dead letter dropped.

use sluice_journal::{
    DeadLetters,
    dead::{ChangeError, State},
};
use sluice_model::EventId;

use super::report::Act;

/// Why a dead letter was not dropped. The command goes on with the next.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it has no dead letter; `writer dead list` names those that have")]
    NoLetter,
    #[error("its dead letter is {letter}, which it has together with other events of its message: name that one")]
    Shared { letter: EventId },
    #[error("its replay was begun and not finished; finish it with `writer dead replay`, or drop it with --force")]
    Replaying,
    #[error("somebody else has changed it meanwhile; look at it again with `writer dead show`")]
    Changed,
}

/// Drops an event's dead letter, or with `only_show` says whether it would.
///
/// # Errors
/// Where NATS does not answer: give the command again.
pub async fn one(dead: &DeadLetters, id: EventId, only_show: bool, force: bool) -> anyhow::Result<Act> {
    let Some(letter) = dead.find(id).await? else {
        let shared = dead.find_shared(id).await?;
        let refused = shared.map_or(Refused::NoLetter, |letter| Refused::Shared { letter: letter.id });
        return Ok(Act::refused(id, &refused));
    };
    match letter.state {
        State::Dropped => return Ok(Act::dropped_before(id)),
        State::Replayed { new } => return Ok(Act::replayed_before(id, new)),
        // Whoever has begun it may still store it, and nobody would look for that.
        State::Replaying { .. } if !force => return Ok(Act::refused(id, &Refused::Replaying)),
        State::Replaying { .. } | State::Waiting => {}
    }
    if only_show {
        return Ok(Act::would_drop(&letter));
    }
    match dead.discard(&letter).await {
        Ok(_) => Ok(Act::dropped(&letter)),
        Err(ChangeError::Changed) => Ok(Act::refused(id, &Refused::Changed)),
        Err(ChangeError::Journal(error)) => Err(error.into()),
    }
}
