//! Saying that this process is there, and hearing the others.

use std::{collections::BTreeSet, convert::Infallible, error::Error, time::Duration};

use sluice_journal::{Heard, Journal, JournalError, Members};
use sluice_service::Backoff;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{MemberName, roll::Roll};
use crate::{
    lane::health::chain,
    status::{Part, Status},
};

/// Beats of a member in the time after which it is taken for dead. Fewer: one that is lost counts for much. More: each is
/// a message that is stored.
const BEATS: u32 = 10;
/// Own beats that may be missing before hearing begins anew.
const DEAF_AFTER: u32 = 4;
/// How long a beat may take to come back, beside that.
const ROUND_TRIP: Duration = Duration::from_secs(2);
/// How long saying goodbye may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// Everybody who is there; `None` until that is known.
pub type Known = Option<BTreeSet<String>>;

/// This process as a member of the group.
pub struct Membership {
    name: MemberName,
    /// Tells this process from others of the same name.
    incarnation: String,
    journal: Journal,
    interval: Duration,
    roll: Roll,
    known: watch::Sender<Known>,
    status: Status,
    warned: bool,
}

impl Membership {
    /// A member that has said nothing yet. One that is silent for `takeover` is taken for dead by the others.
    pub fn new(name: MemberName, journal: Journal, takeover: Duration, status: Status) -> Self {
        let roll = Roll::new(name.as_str().to_owned(), BEATS.into());
        let incarnation = journal.unique_text();
        let interval = takeover / BEATS;
        Self { name, incarnation, journal, interval, roll, known: watch::Sender::default(), status, warned: false }
    }

    /// What this member is called.
    pub fn name(&self) -> &MemberName {
        &self.name
    }

    /// Follows who is there.
    pub fn follow(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Says and hears until `stop`; then says goodbye. While the server does not answer, who was there last is there still.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.interval, Duration::from_secs(2));
        while !stop.is_cancelled() {
            let Some(ended) = stop.run_until_cancelled(self.session()).await else { break };
            let Err(error) = ended;
            tracing::warn!(error = &*error as &dyn Error, "hearing the other writers anew");
            self.status.part(Part::Group, Some(chain(&*error)));
            stop.run_until_cancelled(tokio::time::sleep(backoff.next_wait())).await;
        }
        let leave = async { self.journal.members().await?.leave(self.name.as_str()).await };
        if !matches!(tokio::time::timeout(LEAVE_LIMIT, leave).await, Ok(Ok(()))) {
            tracing::warn!("could not say goodbye: the others wait until this writer has been silent for long enough");
        }
    }

    async fn session(&mut self) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
        let members = self.journal.members().await?;
        let mut hearing = members.hear().await?;
        let (name, incarnation) = (self.name.clone(), self.incarnation.clone());
        let beats = beats(&members, name.as_str(), &incarnation, self.interval);
        tokio::pin!(beats);
        let mut deaf_at = self.deaf_at();
        loop {
            let heard = tokio::select! {
                biased;
                heard = hearing.next() => heard.ok_or("the server has ended it")??,
                Err(error) = &mut beats => return Err(error.into()),
                () = tokio::time::sleep_until(deaf_at) => return Err("what this writer says is not heard".into()),
            };
            match heard {
                Heard::Beat { incarnation, .. } if incarnation == self.incarnation => {
                    deaf_at = self.deaf_at();
                    self.roll.heard_myself();
                    self.status.part(Part::Group, None);
                }
                Heard::Beat { member, revision, .. } => {
                    self.roll.heard(&member, revision);
                    self.name_is_ours_alone(&member);
                }
                Heard::Left { member } => self.roll.left(&member),
            }
            let Some(members) = self.roll.members() else { continue };
            self.known.send_if_modified(|known| {
                let is_new = known.as_ref() != Some(&members);
                if is_new {
                    tracing::info!(?members, "the writers that are there");
                    *known = Some(members);
                }
                is_new
            });
        }
    }

    /// When this process should have heard itself.
    fn deaf_at(&self) -> Instant {
        Instant::now() + self.interval * DEAF_AFTER + ROUND_TRIP
    }

    /// Two processes of one name do each other's work: that harms nothing, and helps nobody. (Before this one has heard itself, it
    /// may hear the one that it has followed.)
    fn name_is_ours_alone(&mut self, member: &str) {
        if member == self.name.as_str() && self.roll.members().is_some() && !self.warned {
            tracing::warn!(name = %self.name, "another writer bears this name: give each its own by --name");
            self.warned = true;
        }
    }
}

/// Beats for ever.
async fn beats(
    members: &Members,
    name: &str,
    incarnation: &str,
    interval: Duration,
) -> Result<Infallible, JournalError> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        members.beat(name, incarnation).await?;
    }
}
