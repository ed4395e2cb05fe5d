//! Reads what stands after the cut: what was given again, whose it is, and what was copied already.

use std::hash::{BuildHasher, RandomState};

use sluice_journal::{DeadLetters, Journal, Message, ReadError, dead::Grave, repair::Origin};
use sluice_model::{CustomerId, EventId, Place, Position, Reason, Refusal, message};

use super::{
    homes::{Home, Homes},
    plan::Work,
    progress::Progress,
    survey::{Entry, Survey},
};
use crate::router;

/// Messages of one read; as many questions go to the directory at once.
const CHUNK: usize = 1_000;
/// A reader that is interrupted so often in a row without giving a message is given up.
const TRIES: u32 = 5;

/// What was found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Which messages have to be copied, or have been.
    pub survey: Survey,
    /// Whose those are, and how many events they hold; in the same order.
    pub owners: Vec<(Option<CustomerId>, usize)>,
    /// Messages that were given again, up to the greatest position that a shard has lost.
    pub given_again: u64,
    /// Those whose customer is placed nowhere yet; only where nobody is placed.
    pub unplaced: u64,
    /// Those that can never become rows: their dead letters are seen to here, as perhaps no reader comes by any more.
    pub strays: u64,
}

/// Reads.
pub struct Scan<'a> {
    journal: &'a Journal,
    work: &'a Work,
    homes: Homes,
    /// `None` where nothing may be changed.
    dead: Option<DeadLetters>,
    hasher: RandomState,
    found: Scanned,
}

impl<'a> Scan<'a> {
    /// Of one partition. With `dead`, dead letters are buried that no reader would.
    pub fn new(journal: &'a Journal, work: &'a Work, homes: Homes, dead: Option<DeadLetters>) -> Self {
        let found = Scanned { survey: Survey::new(&work.lost), ..Scanned::default() };
        Self { journal, work, homes, dead, hasher: RandomState::new(), found }
    }

    /// Reads all there is.
    ///
    /// # Errors
    /// Where NATS or the directory does not answer, or the journal is trimmed meanwhile.
    pub async fn run(mut self, progress: &mut Progress) -> anyhow::Result<Scanned> {
        let bounds = self.journal.bounds(self.work.top.partition()).await?;
        let (mut after, mut tries) = (Place::from(self.work.cut.max(bounds.first.previous())), 0);
        progress.begin("reading what stands after the cut", left(bounds.last, after));
        while after.position < bounds.last {
            let before = after;
            match self.read(&mut after, bounds.last, progress).await {
                Ok(()) => {}
                Err(error) if is_transient(&error) && (after != before || tries < TRIES) => {
                    tries = if after == before { tries + 1 } else { 1 };
                    tracing::warn!(error = &*error as &dyn std::error::Error, at = ?after.position, "reading the journal again");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.found)
    }

    async fn read(&mut self, after: &mut Place, last: Position, progress: &mut Progress) -> anyhow::Result<()> {
        let mut reader = self.journal.read(*after).await?;
        while after.position < last {
            let mut chunk = reader.next_held(CHUNK).await?;
            chunk.retain(|message| message.position <= last);
            // Whose a message is matters only where somebody may skip it.
            let asked = chunk.partition_point(|message| message.position <= self.work.through);
            let homes = self.homes.of(&chunk[..asked]).await?;
            let unasked = std::iter::repeat_with(|| Home::Filler);
            for (message, home) in chunk.iter().zip(homes.into_iter().chain(unasked)) {
                self.note(message, home).await?;
                *after = message.place();
            }
            progress.left(left(last, *after));
        }
        Ok(())
    }

    async fn note(&mut self, message: &Message, home: Home) -> anyhow::Result<()> {
        let digest = self.hasher.hash_one((message.subject.as_str(), &message.payload));
        let (position, stamp, origin) = (message.position, message.stamp, Origin::of(message));
        let mut entry = Entry { position, stamp, home: None, origin, digest };
        self.found.given_again += u64::from(position <= self.work.top && !message.is_filler());
        match home {
            Home::Shard(customer, shard) => {
                entry.home = Some(&shard);
                if self.found.survey.note(&entry) {
                    self.own(Some(customer), message);
                }
            }
            Home::Filler => drop(self.found.survey.note(&entry)),
            Home::Unplaced => {
                self.found.unplaced += 1;
                self.found.survey.note(&entry);
            }
            Home::Refused(customer) => {
                let refusal = Refusal::new(Reason::UnknownCustomer, router::placed_nowhere(&customer));
                let graves = router::refused_events(message, &customer, &refusal);
                self.stray(message, &entry, Some(customer), graves).await?;
            }
            Home::Nobody(refusal) => self.stray(message, &entry, None, vec![router::whole(message, refusal)]).await?,
        }
        Ok(())
    }

    /// A message that no lane stores. The reader that would bury its events may begin beyond it: so they are buried here, as that
    /// reader would, each once. Where a letter of what stood here before has the same id, nobody can: the message is copied.
    async fn stray(
        &mut self,
        message: &Message,
        entry: &Entry<'_>,
        customer: Option<CustomerId>,
        graves: Vec<Grave>,
    ) -> anyhow::Result<()> {
        self.found.strays += 1;
        self.found.survey.note(entry);
        let Some(dead) = self.dead.clone() else { return Ok(()) };
        for grave in &graves {
            let letter = dead.find(grave.id).await?;
            if letter.is_some_and(|letter| letter.stamp != grave.stamp) {
                self.found.survey.want(entry);
                self.own(customer, message);
                return Ok(());
            }
        }
        Ok(dead.store(&graves).await?)
    }

    fn own(&mut self, customer: Option<CustomerId>, message: &Message) {
        let events = customer.as_ref().map_or(1, |customer| message::events(&message.payload, customer).count());
        self.found.owners.push((customer, events));
    }
}

/// A message that was copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Whose; `None` where its subject names nobody.
    pub customer: Option<CustomerId>,
    /// The id that its first event had.
    pub old: EventId,
    /// The id that its first event has now.
    pub new: EventId,
    /// How many events: their ids follow one by one.
    pub events: usize,
}

impl Scanned {
    /// What was copied, by whichever run.
    pub fn copied(&self) -> impl Iterator<Item = Copied> {
        self.survey.candidates().iter().zip(&self.owners).filter_map(|(candidate, (customer, events))| {
            let (old, new) = (candidate.position.event(0), candidate.copy?.event(0));
            Some(Copied { customer: customer.clone(), old, new, events: *events })
        })
    }

    /// How many messages have to be copied still.
    pub fn to_copy(&self) -> u64 {
        self.survey.candidates().iter().filter(|candidate| candidate.copy.is_none()).count() as u64
    }

    /// The last copy's position.
    pub fn last_copy(&self) -> Option<Position> {
        self.survey.candidates().iter().filter_map(|candidate| candidate.copy).max()
    }
}

/// How many messages there are behind `after` up to `last`.
fn left(last: Position, after: Place) -> u64 {
    last.get().saturating_sub(after.position.get())
}

/// Whether another reader may help.
pub fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(ReadError::is_transient)
}
