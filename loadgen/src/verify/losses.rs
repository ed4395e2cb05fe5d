//! What the journal no longer has. Where somebody has accepted that, the check says so, and misses
//! nothing of it; where a shard lacks it and nobody has, something is wrong.

use anyhow::Context;
use serde::Serialize;
use sluice_journal::{
    Journal,
    repair::{AcceptedLoss, RepairRecord},
};
use sluice_model::{Partition, Position};

use super::fleet::Fleet;

/// One decision of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Of which partition.
    pub partition: Partition,
    /// How many positions.
    pub positions: u64,
    /// The first and the last position of each range.
    pub ranges: Vec<(Position, Position)>,
    /// When it was accepted, in nanoseconds since 1970.
    pub accepted_at: i64,
    /// By whom.
    pub by: String,
    /// The shards that lacked something of it.
    pub shards: Vec<String>,
    #[serde(skip)]
    line: String,
}

impl Loss {
    /// As the record has it.
    pub fn new(partition: Partition, loss: &AcceptedLoss) -> Self {
        let lost = || loss.gone.iter().filter(|gone| gone.after < gone.through);
        let mut shards: Vec<String> = lost().flat_map(|gone| loss.lacked(*gone)).map(str::to_owned).collect();
        shards.sort_unstable();
        shards.dedup();
        Self {
            partition,
            positions: lost().map(|gone| gone.through.get() - gone.after.get()).sum(),
            ranges: lost().map(|gone| (gone.after.next(), gone.through)).collect(),
            accepted_at: loss.at,
            by: loss.by.clone(),
            shards,
            line: format!("partition {partition}: {loss}"),
        }
    }

    /// For people.
    pub fn line(&self) -> &str {
        &self.line
    }
}

/// A shard lacks what the journal no longer has, and nobody has accepted that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// The shard.
    pub shard: String,
    /// Of which partition.
    pub partition: Partition,
    /// The first position that it lacks.
    pub from: Position,
    /// The last one that the journal no longer has.
    pub through: Position,
}

impl Lacking {
    /// For people.
    pub fn line(&self) -> String {
        let Self { shard, from, through, .. } = self;
        format!(
            "lost: shard {shard} lacks what stood from {from:?} to {through:?}, and the journal no longer has it: see what `writer \
             journal repair --accept-loss` would do"
        )
    }

    /// What one shard lacks of one partition.
    fn of(shard: &str, stored: Position, first: Position, record: &RepairRecord) -> Option<Self> {
        let through = first.previous();
        let lacks = stored < through && record.may_pass(shard, stored, through).is_err();
        lacks.then(|| Self { shard: shard.to_owned(), partition: first.partition(), from: stored.next(), through })
    }
}

/// What the shards lack. One that does not answer says nothing.
///
/// # Errors
/// Where JetStream does not answer.
pub async fn lacking(journal: &Journal, fleet: &mut Fleet) -> anyhow::Result<Vec<Lacking>> {
    let mut all = Vec::new();
    let stored = fleet.positions().await?;
    for partition in journal.partitions().all() {
        let (record, _) = journal.repairs(partition).await.context("read what was accepted as lost")?;
        let first = journal.bounds(partition).await?.first;
        for (shard, stored) in fleet.names().iter().zip(&stored) {
            let stored = stored.as_ref().ok().and_then(|stored| stored.get(&partition));
            all.extend(stored.and_then(|stored| Lacking::of(shard, *stored, first, &record)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use sluice_journal::repair::Gone;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(2)).get() + n).unwrap()
    }

    #[test]
    fn what_a_shard_lacks_is_wrong_until_it_was_accepted_for_this_shard() {
        fn lacking(shard: &str, stored: u64, record: &RepairRecord) -> Option<Lacking> {
            Lacking::of(shard, at(stored), at(51), record)
        }
        let mut record = RepairRecord::default();
        let found = lacking("a", 45, &record).unwrap();
        assert!(found.line().contains("2/46 to 2/50") && found.partition == Partition::new(2), "{}", found.line());
        assert_eq!((lacking("a", 50, &record), lacking("a", 60, &record)), (None, None));
        let gone = Gone { after: at(45), through: at(50), stamp: 9 };
        let shards = [("a".to_owned(), Some(at(45))), ("b".to_owned(), Some(at(50)))].into();
        let loss = AcceptedLoss { gone: vec![gone], shards, at: 0, by: "somebody".to_owned() };
        record.accepted.push(loss.clone());
        assert_eq!(lacking("a", 45, &record), None);
        assert!(lacking("b", 45, &record).is_some(), "it had stored that once");
        let told = Loss::new(Partition::new(2), &loss);
        assert_eq!(
            (told.positions, &told.ranges[..], &told.shards[..]),
            (5, &[(at(46), at(50))][..], &["a".to_owned()][..])
        );
        assert!(told.line().contains("5 positions lost (2/46 to 2/50)"), "{}", told.line());
    }
}
