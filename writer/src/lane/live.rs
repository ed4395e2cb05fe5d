//! The lane while it is live: when it commits what its readers give.

use std::time::Duration;

use sluice_failpoint::fail_point;
use sluice_model::Pace;
use sluice_shard::Shard;
use tokio::time::Instant;

use super::{task::Task, trouble::Trouble};

/// How long a lane waits at most for what its readers have at hand. Lower: small transactions where there are many shards and a full
/// journal. Higher: rows of a full journal come late where a reader is held up without knowing.
const GATHER_LIMIT: Duration = Duration::from_secs(1);

/// The beginnings of two transactions are so far apart, where the former had at least so many rows and nobody waits for what is queued.
/// Shorter: transactions of a few rows on a busy machine, each at the whole price of one. Longer: rows come late in vain.
const APART: Duration = Duration::from_millis(10);
const LOAD_FROM: usize = 2;
/// From so many rows on a transaction is worth its price.
const LARGE_FROM: usize = 1_000;

/// Keeps a lane's small transactions apart.
pub(super) fn pace() -> Pace {
    Pace::new(APART, LOAD_FROM, LARGE_FROM)
}

impl Task {
    /// Commits what the readers give, while they do. True where the lane is to stop, false where it went behind.
    pub(super) async fn live(&mut self, shard: &mut Shard) -> Result<bool, Trouble> {
        let idle_advance = self.context.config.idle_advance();
        let mut idle_until = Instant::now() + idle_advance;
        let mut gather_until = None;
        loop {
            self.is_where_it_was()?;
            if self.is_outdated() {
                self.adopt(shard).await?;
            }
            let (live, something, due, waited_for) = {
                let queue = self.lane.queue();
                (queue.is_live(), queue.has_events(), queue.is_due(), queue.is_waited_for())
            };
            if !live {
                return Ok(false);
            }
            let stopping = self.context.stop.is_cancelled();
            let now = Instant::now();
            let idle = now >= idle_until;
            gather_until = something.then(|| gather_until.unwrap_or(now + GATHER_LIMIT));
            let pause = self.pace.wait_until(now.into()).filter(|_| due && !waited_for && !stopping);
            if let Some(until) = pause {
                // A whole batch arrives meanwhile; it need not wake the lane. A commit that somebody waits for does.
                self.pause(until.into()).await;
                continue;
            }
            if due || stopping || idle || gather_until.is_some_and(|until| now >= until) {
                gather_until = None;
                self.lane.set_busy(something);
                if !something {
                    fail_point!("idle.before");
                }
                let work = self.lane.take(std::mem::take(&mut self.spare));
                let advanced = self.commit(shard, work).await;
                self.lane.set_busy(false);
                if !advanced? && idle {
                    self.look_back(shard).await?;
                }
                if !something {
                    fail_point!("idle.after");
                }
                if stopping {
                    return Ok(true);
                }
                idle_until = Instant::now() + idle_advance;
                continue;
            }
            let until = gather_until.map_or(idle_until, |until| until.min(idle_until));
            let _ = tokio::time::timeout_at(until, self.something_new()).await;
        }
    }

    /// Lets events gather until then; not where somebody waits for them, or the lane is to stop.
    async fn pause(&self, until: Instant) {
        let waited_for = async {
            while !self.lane.queue().is_waited_for() {
                self.lane.waited_for.notified().await;
            }
        };
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => {}
            () = waited_for => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// A shard that nothing is written to: is it still where we left it? One that was set back says so here.
    pub(super) async fn look_back(&mut self, shard: &mut Shard) -> Result<(), Trouble> {
        let found = self.in_time("positions", shard.positions()).await?;
        match self.stored.iter().find(|(partition, shard)| found.get(partition) != Some(&shard.stored)) {
            Some((partition, shard)) => Err(Trouble::Moved(
                format!("partition {partition} was stored up to {:?} and no longer is", shard.stored.position).into(),
            )),
            None => Ok(()),
        }
    }
}
