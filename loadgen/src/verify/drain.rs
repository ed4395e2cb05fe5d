//! Waits until the journal is drained: every shard has stored, and says so itself, what the journal held for it.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;
use sluice_directory::Client as Directory;
use sluice_journal::Journal;
use sluice_model::{Partition, Position};
use tokio::time::Instant;

use super::{
    bury,
    fleet::{Fleet, Stored},
    homes,
    ledger::Ledger,
};
use crate::progress::Progress;

/// How often the shards are asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// A shard that has not stored what the journal held for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The shard.
    pub shard: String,
    /// The partition; `None` where the shard does not answer.
    pub partition: Option<Partition>,
    /// How many messages of the partition it has not read; they need not all be its own.
    pub messages: Option<u64>,
    /// For people.
    pub detail: String,
}

/// How the wait ended. Nothing behind and nothing open: drained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The shards that are behind.
    pub behind: Vec<Behind>,
    /// Events that are no shard's (nobody placed their customer, or they have none) and have no dead letter.
    pub unaccounted: u64,
}

impl Outcome {
    /// Everything was stored.
    pub fn is_drained(&self) -> bool {
        self.behind.is_empty() && self.unaccounted == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<_> = self.behind.iter().map(|behind| behind.detail.clone()).collect();
        if self.unaccounted > 0 {
            parts.push(format!("{} events have neither a route nor a dead letter", self.unaccounted));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Waits, at most so long; gives every customer of the ledger that has a route its home.
///
/// # Errors
/// Where NATS or the directory does not answer, or a shard is not the one that the directory says.
pub async fn wait(
    ledger: &mut Ledger,
    fleet: &mut Fleet,
    journal: &Journal,
    directory: &Directory,
    limit: Duration,
) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + limit;
    let progress = Progress::begin("waiting until all is stored", limit.as_secs(), "seconds at most");
    loop {
        homes::resolve(ledger, directory).await?;
        if ledger.unaccounted() > 0 {
            bury(ledger, journal).await?;
        }
        let stored = fleet.positions().await?;
        let outcome =
            Outcome { behind: behind(&fleet.names(), &ledger.goals(), &stored), unaccounted: ledger.unaccounted() };
        let now = Instant::now();
        if outcome.is_drained() || now >= deadline {
            progress.end();
            return Ok(outcome);
        }
        progress.say(limit.saturating_sub(deadline - now).as_secs(), &outcome.to_string());
        tokio::time::sleep_until(deadline.min(now + INTERVAL)).await;
    }
}

/// Compares what shards say with what they should say.
fn behind(names: &[String], goals: &[BTreeMap<Partition, Position>], stored: &[Stored]) -> Vec<Behind> {
    let mut behind = Vec::new();
    for ((shard, goals), stored) in names.iter().zip(goals).zip(stored) {
        match stored {
            // A shard that owes nothing may be down.
            Err(_) if goals.is_empty() => {}
            Err(error) => behind.push(Behind {
                shard: shard.clone(),
                partition: None,
                messages: None,
                detail: format!("{error:#}"),
            }),
            Ok(stored) => behind.extend(goals.iter().filter_map(|(partition, goal)| {
                let position = stored.get(partition).copied().unwrap_or(Position::before_first(*partition));
                (position < *goal).then(|| lag(shard, position, *goal))
            })),
        }
    }
    behind
}

fn lag(shard: &str, stored: Position, goal: Position) -> Behind {
    let messages = goal.get() - stored.get();
    Behind {
        shard: shard.to_owned(),
        partition: Some(goal.partition()),
        messages: Some(messages),
        detail: format!("shard {shard} has stored {stored:?} and should have {goal:?}: {messages} messages behind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u16, n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(partition)).get() + n).unwrap()
    }

    fn positions(list: &[Position]) -> BTreeMap<Partition, Position> {
        list.iter().map(|position| (position.partition(), *position)).collect()
    }

    #[test]
    fn a_shard_is_behind_in_each_partition_that_it_has_not_read_to_its_own_last_event() {
        let names = ["a".to_owned(), "b".to_owned()];
        let goals = [positions(&[at(0, 10), at(1, 20)]), positions(&[at(0, 9)])];
        let stored = [Ok(positions(&[at(0, 10), at(1, 17)])), Ok(positions(&[at(0, 50)]))];
        let found = behind(&names, &goals, &stored);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].shard.as_str(), found[0].partition, found[0].messages),
            ("a", Some(Partition::new(1)), Some(3))
        );
        assert!(found[0].detail.contains("1/17") && found[0].detail.contains("1/20"), "{}", found[0].detail);
    }

    #[test]
    fn a_shard_without_a_position_has_stored_nothing() {
        let found = behind(&["a".to_owned()], &[positions(&[at(3, 4)])], &[Ok(BTreeMap::new())]);
        assert_eq!(found[0].messages, Some(4));
    }

    #[test]
    fn a_shard_that_does_not_answer_is_behind_only_if_it_owes_something() {
        let names = ["a".to_owned(), "b".to_owned()];
        let goals = [positions(&[at(0, 1)]), BTreeMap::new()];
        let found = behind(&names, &goals, &[Err(anyhow::anyhow!("no answer")), Err(anyhow::anyhow!("no answer"))]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].shard.as_str(), found[0].partition), ("a", None));
    }

    #[test]
    fn drained_means_nobody_is_behind_and_no_event_is_open() {
        assert!(Outcome::default().is_drained());
        assert!(!Outcome { unaccounted: 1, ..Outcome::default() }.is_drained());
        assert!(!Outcome { behind: vec![lag("a", at(0, 1), at(0, 2))], unaccounted: 0 }.is_drained());
    }
}
