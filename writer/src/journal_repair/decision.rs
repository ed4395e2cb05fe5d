//! What a command would do, all in all. Pure: from what was looked at.

use sluice_journal::{Journal, repair::Way};
use sluice_model::Partition;

use super::{
    look::{Look, Reading},
    loss::Loss,
    plan::{Plan, Work, plan},
};

/// Everything that is to be done, or why nothing is.
#[derive(Debug, Default)]
pub struct Decision {
    /// Partitions to be repaired.
    pub works: Vec<(Partition, Work)>,
    /// Partitions that a repair shut for events and then died.
    pub shut: Vec<Partition>,
    /// Shards of another journal, and that one's id.
    pub foreign: Vec<(String, String)>,
    /// What is gone for good, and was not accepted.
    pub losses: Vec<(Partition, Loss)>,
    /// Why it cannot be done. Then nothing is.
    pub refused: Vec<String>,
    /// Shards that cannot be read. Then nothing is repaired; what is lost may be accepted for the
    /// others.
    pub away: Vec<String>,
}

/// Which journal this is, and what the caller allows.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The journal's id.
    pub journal_id: &'a str,
    /// How many partitions it has.
    pub partitions: usize,
    /// Journals that are given up.
    pub given_up: &'a [String],
    /// The most fillers of a partition.
    pub max_fillers: u64,
}

impl<'a> Terms<'a> {
    /// For an opened journal.
    pub fn new(journal: &'a Journal, given_up: &'a [String], max_fillers: u64) -> Self {
        let partitions = journal.partitions().get().into();
        Self { journal_id: journal.id(), partitions, given_up, max_fillers }
    }
}

impl Decision {
    /// Decides.
    pub fn new(readings: &[Reading], looks: &[Look], terms: Terms<'_>) -> Self {
        let mut decision = Self::default();
        for reading in readings {
            decision.judge(reading, terms);
        }
        if readings.is_empty() {
            decision.refused.push("no shard is registered: there is nobody who could have stored anything".to_owned());
        }
        let unread = readings.iter().filter(|reading| reading.said.is_err());
        let unread: Vec<String> = unread.map(|reading| reading.shard.clone()).collect();
        for look in looks {
            let Look { partition, bounds, record, seen, last_stamp, shut, .. } = look;
            // One that is about to jump may be shut by somebody who is at it just now.
            let jumping = record.unfinished().is_some_and(|repair| matches!(repair.way, Way::Jump { .. }));
            if *shut && !jumping {
                decision.shut.push(*partition);
            }
            match plan(bounds, seen, record, *last_stamp, terms.max_fillers) {
                Plan::Nothing => {
                    // What is repaired comes first: that may give shards other positions.
                    let loss = Loss::of(look.kept(), seen, &unread);
                    decision.losses.extend(loss.map(|loss| (*partition, loss)));
                }
                Plan::Repair(work) => decision.works.push((*partition, work)),
                Plan::Refused(refused) => decision.refused.push(format!("partition {partition}: {refused}")),
            }
        }
        decision
    }

    fn judge(&mut self, reading: &Reading, terms: Terms<'_>) {
        let shard = &reading.shard;
        let said = match &reading.said {
            Ok(said) => said,
            Err(why) => {
                let refused = format!(
                    "shard {shard} cannot be read ({why}); it may have stored more than all others, so it has to be up"
                );
                return self.away.push(refused);
            }
        };
        let rows = said.stored.len();
        let last_fits = said.stored.keys().next_back().is_none_or(|last| last.index() < terms.partitions);
        if rows != terms.partitions || !last_fits {
            self.refused.push(format!(
                "shard {shard} has stored positions of {rows} partitions, and the journal has {}: a journal that is made anew \
                 has to have as many as before (--journal-partitions of whatever makes it)",
                terms.partitions
            ));
        }
        if said.journal_id != terms.journal_id {
            self.foreign.push((shard.clone(), said.journal_id.clone()));
            if !terms.given_up.contains(&said.journal_id) {
                let (old, new) = (&said.journal_id, terms.journal_id);
                self.refused.push(format!(
                    "shard {shard} belongs to journal {old}; the one that is there now is {new}. Where the old one's disk can be \
                     put back, do that. --from-journal {old} gives it up for good: what it held and no shard has is lost"
                ));
            }
        }
    }

    /// Whether all is well.
    pub fn is_nothing(&self) -> bool {
        !self.has_work() && self.losses.is_empty() && !self.is_refused()
    }

    /// Whether anything has to be repaired.
    pub fn has_work(&self) -> bool {
        !(self.works.is_empty() && self.shut.is_empty() && self.foreign.is_empty())
    }

    /// Whether that may be done now.
    pub fn may_work(&self) -> bool {
        self.has_work() && !self.is_refused()
    }

    /// Whether something has to be put right before anything is repaired.
    pub fn is_refused(&self) -> bool {
        !(self.refused.is_empty() && self.away.is_empty())
    }

    /// Whether what is lost may be accepted now: nothing has to be repaired first.
    pub fn may_accept(&self) -> bool {
        !self.has_work() && self.refused.is_empty() && !self.losses.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::{PartitionCount, Position};
    use sluice_shard::{Flavor, ShardAddress, StoredPosition};

    use super::{super::look::Said, *};

    fn reading(shard: &str, said: Result<(&str, u16), &str>) -> Reading {
        let address = ShardAddress {
            flavor: Flavor::Sqlite,
            host: String::new(),
            port: 0,
            user: String::new(),
            password: String::new().into(),
            database: String::new(),
            customer_column: sluice_shard::CustomerColumn::default(),
        };
        let said = said.map(|(journal_id, partitions)| {
            let partitions = PartitionCount::try_from(partitions).unwrap().all();
            let stored = |p| (p, StoredPosition { position: Position::before_first(p), stamp: 0 });
            Said { journal_id: journal_id.to_owned(), stored: partitions.map(stored).collect() }
        });
        Reading { shard: shard.to_owned(), address, said: said.map_err(str::to_owned) }
    }

    fn decide(readings: &[Reading], given_up: &[&str]) -> Decision {
        let given_up: Vec<_> = given_up.iter().map(|id| (*id).to_owned()).collect();
        Decision::new(readings, &[], Terms { journal_id: "new", partitions: 4, given_up: &given_up, max_fillers: 9 })
    }

    #[test]
    fn a_shard_that_cannot_be_read_is_named_and_nothing_is_done() {
        let decision = decide(&[reading("a", Ok(("new", 4))), reading("b", Err("down"))], &[]);
        assert!(decision.away.len() == 1 && decision.away[0].contains("shard b cannot be read (down)"));
        assert!(decision.is_refused() && !decision.is_nothing() && !decision.may_accept());
        assert!(decide(&[reading("a", Ok(("new", 4)))], &[]).is_nothing());
        assert!(decide(&[], &[]).refused[0].contains("no shard is registered"));
    }

    #[test]
    fn a_shard_of_another_journal_is_taken_over_only_where_that_one_is_given_up_by_name() {
        let readings = [reading("a", Ok(("new", 4))), reading("b", Ok(("old", 4)))];
        for given_up in [&[][..], &["older"], &["new"]] {
            let decision = decide(&readings, given_up);
            assert!(decision.refused.len() == 1 && decision.refused[0].contains("--from-journal old"), "{decision:?}");
        }
        let decision = decide(&readings, &["old"]);
        assert!(decision.refused.is_empty() && !decision.is_nothing());
        assert_eq!(decision.foreign, [("b".to_owned(), "old".to_owned())]);
    }

    #[test]
    fn a_journal_of_another_number_of_partitions_is_refused() {
        for partitions in [3, 5] {
            let decision = decide(&[reading("a", Ok(("old", partitions)))], &["old"]);
            assert!(decision.refused[0].contains(&format!("of {partitions} partitions")), "{decision:?}");
        }
    }
}
