//! One dead event back into the journal, once.

use sluice_journal::{
    DeadLetter, DeadLetters,
    dead::{ChangeError, Intent, ReplayError, Sought, State},
};
use sluice_model::{CustomerId, EventId};

use super::{home::Homes, outlook::Outlook, report::Act};

/// How often a customer's other events may come in between before the replay is put off.
const TRIES: u32 = 200;
/// How often somebody else may change the dead letter meanwhile. Each change brings it nearer to its end, of which there
/// are three steps.
const ROUNDS: u32 = 5;

/// Why one event was not replayed. The command goes on with the next.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The event is not dead.
    #[error("it has no dead letter; `writer dead list` names those that have")]
    NoLetter,
    /// It has its letter together with others.
    #[error("its dead letter is {letter}, which it has together with other events of its message: name that one")]
    Shared {
        /// The letter.
        letter: EventId,
    },
    /// Somebody dropped it.
    #[error("it was dropped")]
    Dropped,
    /// There is nowhere to replay it to.
    #[error(
        "its subject ({subject}) names no valid customer, so it cannot be replayed; publish it anew to where it belongs \
         (`writer dead show` prints it), then drop it"
    )]
    Nobodys {
        /// Its message's subject.
        subject: String,
    },
    /// Only a part of it is left.
    #[error("only its beginning was kept, so it cannot be replayed; drop it")]
    Cut,
    /// It would die again at once.
    #[error("customer {customer} is placed nowhere; place it first: directory customer place {customer} SHARD")]
    NotPlaced {
        /// Whose it is.
        customer: CustomerId,
    },
    /// The row is there.
    #[error("shard {shard} has a row of it already, nothing is replayed; drop the dead letter")]
    RowExists {
        /// Where.
        shard: String,
    },
    /// Whether there will be a row is open.
    #[error(
        "shard {shard} has not passed it yet, and may still make a row of it; replay it when the shard has caught up"
    )]
    NotPassed {
        /// Which.
        shard: String,
    },
    /// Whether there is a row is not known.
    #[error("shard {shard} cannot be asked for its row ({why}); replay it when the shard is back")]
    ShardSilent {
        /// Which.
        shard: String,
        /// What went wrong.
        why: String,
    },
    /// An older replay may have been stored.
    #[error(
        "an older replay of it may have been stored: {0}. Look for its row by hand; if there is none, publish the event \
         anew. Then drop it with --force"
    )]
    Unknowable(#[source] ReplayError),
    /// No quiet moment.
    #[error(
        "customer {customer} gets so many events that none can be replayed in between; try again when it is calmer"
    )]
    Busy {
        /// Whose it is.
        customer: CustomerId,
    },
    /// Somebody else is at it.
    #[error("somebody else is changing it; look at it again with `writer dead show`")]
    Contended,
}

/// Why replaying one event ended early.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// This event cannot be replayed (now).
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Somebody else has changed its dead letter: look again.
    #[error("the dead letter was changed meanwhile")]
    Changed,
    /// Nothing can be replayed, as somebody does not answer.
    #[error(transparent)]
    Fatal(#[from] anyhow::Error),
}

impl From<ChangeError> for Trouble {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Changed => Self::Changed,
            ChangeError::Journal(error) => Self::Fatal(error.into()),
        }
    }
}

/// Replays the events of a dead letter, or goes on with a replay that was begun. Done twice, or by two at once, it does nothing twice.
///
/// # Errors
/// Where NATS or the directory does not answer: give the command again.
pub async fn one(dead: &DeadLetters, homes: &mut Homes, id: EventId, dry_run: bool) -> anyhow::Result<Act> {
    for _ in 0..ROUNDS {
        match attempt(dead, homes, id, dry_run).await {
            Ok(act) => return Ok(act),
            Err(Trouble::Changed) => {}
            Err(Trouble::Refused(refused)) => return Ok(Act::refused(id, &refused)),
            Err(Trouble::Fatal(error)) => return Err(error),
        }
    }
    Ok(Act::refused(id, &Refused::Contended))
}

async fn attempt(dead: &DeadLetters, homes: &mut Homes, id: EventId, dry_run: bool) -> Result<Act, Trouble> {
    let Some(letter) = dead.find(id).await.map_err(anyhow::Error::from)? else {
        return Err(without_letter(dead, id).await?.into());
    };
    let customer = match standing(&letter)? {
        Standing::Replayed(new) => return Ok(Act::replayed_before(id, new)),
        Standing::Open(customer) => customer,
    };
    // A replay that was begun may have been stored: then only its tombstone is missing, whatever the shard says.
    let begun = Intent::of(&letter);
    if let Some(intent) = &begun
        && let Some(new) = stored_before(dead, intent).await?
    {
        if dry_run {
            return Ok(Act::would_finish(id, new));
        }
        dead.finish(intent, new).await?;
        return Ok(Act::replayed(&letter, new));
    }
    let shard = homes.clear(&customer, &letter).await?;
    if dry_run {
        return Ok(Act::would_replay(&letter, &shard, &Outlook::of(&letter, &customer)));
    }
    let intent = match begun {
        Some(intent) => intent,
        None => dead.intend(&letter).await?.ok_or_else(|| nobodys(&letter))?,
    };
    let new = store(dead, intent.clone(), &customer).await?;
    dead.finish(&intent, new).await?;
    Ok(Act::replayed(&letter, new))
}

/// Why an event that has no letter of its own cannot be replayed.
async fn without_letter(dead: &DeadLetters, id: EventId) -> anyhow::Result<Refused> {
    let shared = dead.find_shared(id).await?;
    Ok(shared.map_or(Refused::NoLetter, |letter| Refused::Shared { letter: letter.id }))
}

/// What a letter's own state allows.
#[derive(Debug)]
enum Standing {
    Open(CustomerId),
    Replayed(EventId),
}

fn standing(letter: &DeadLetter) -> Result<Standing, Refused> {
    match letter.state {
        State::Dropped => return Err(Refused::Dropped),
        State::Replayed { new } => return Ok(Standing::Replayed(new)),
        State::Waiting | State::Replaying { .. } => {}
    }
    if letter.whole_bytes.is_some() {
        return Err(Refused::Cut);
    }
    letter.owner().map(Standing::Open).ok_or_else(|| nobodys(letter))
}

fn nobodys(letter: &DeadLetter) -> Refused {
    Refused::Nobodys { subject: letter.subject.clone() }
}

async fn stored_before(dead: &DeadLetters, intent: &Intent) -> Result<Option<EventId>, Trouble> {
    match dead.seek(&mut intent.clone()).await {
        Ok(Sought::Published(new)) => Ok(Some(new)),
        Ok(Sought::Absent(_)) | Err(ReplayError::Overtaken) => Ok(None),
        Err(error) => Err(hopeless(error)),
    }
}

/// Stores the event in a moment in which nothing else of its customer comes in between.
async fn store(dead: &DeadLetters, mut intent: Intent, customer: &CustomerId) -> Result<EventId, Trouble> {
    for _ in 0..TRIES {
        let stored = match dead.seek(&mut intent).await {
            Ok(Sought::Published(new)) => return Ok(new),
            Ok(Sought::Absent(fence)) => dead.publish(&intent, &fence).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(new) => return Ok(new),
            Err(ReplayError::Overtaken) => {}
            Err(error) => return Err(hopeless(error)),
        }
    }
    Err(Refused::Busy { customer: customer.clone() }.into())
}

fn hopeless(error: ReplayError) -> Trouble {
    match error {
        ReplayError::Trimmed { .. } => Refused::Unknowable(error).into(),
        error => Trouble::Fatal(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead::select::tests::letter;

    #[test]
    fn a_letters_own_state_says_whether_it_can_be_replayed() {
        let of = |customer: &str, state| standing(&letter(0, customer, "too_long", state));
        let new = letter(7, "1", "too_long", State::Waiting).id;
        assert!(matches!(of("1", State::Waiting), Ok(Standing::Open(customer)) if customer.as_str() == "1"));
        let replaying = State::Replaying { from: new.position() };
        assert!(matches!(of("1", replaying), Ok(Standing::Open(_))));
        assert!(matches!(of("1", State::Replayed { new }), Ok(Standing::Replayed(id)) if id == new));
        assert!(matches!(of("1", State::Dropped), Err(Refused::Dropped)));
        assert!(matches!(of("_", State::Waiting), Err(Refused::Nobodys { .. })));
        let cut = DeadLetter { whole_bytes: Some(9), ..letter(0, "1", "too_long", State::Waiting) };
        assert!(matches!(standing(&cut), Err(Refused::Cut)));
    }
}
