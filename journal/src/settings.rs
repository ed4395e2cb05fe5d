//! The knobs of a journal.

use clap::{Args, builder::RangedU64ValueParser};
use sluice_model::PartitionCount;

/// How a journal is made where there is none; one that exists is taken as it is, and refused where it contradicts.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Partitions of a new journal: fixed for its life, 1 to 512. 4 where neither this nor a journal says otherwise.
    /// Too few: one writer worker per partition is the most that can work at once. Too many: smaller group commits, and
    /// as many position rows in every shard.
    #[arg(long, env = "JOURNAL_PARTITIONS")]
    pub journal_partitions: Option<PartitionCount>,
    /// Copies of every stream and bucket that is made: 1 on one server, 3 in a cluster, at most 5; where nothing is said, as many
    /// as the journal has, and 1 where there is none. What exists keeps the number that it has; where that is another one,
    /// the log says so. Too few: a lost server takes acknowledged events with it. Too many: there are not so many servers, and
    /// nothing is made; each takes the disk of its own, and a publish waits for the majority of them.
    #[arg(long, env = "JOURNAL_REPLICAS", value_parser = RangedU64ValueParser::<usize>::new().range(1..=5))]
    pub journal_replicas: Option<usize>,
    /// The most bytes of one partition's stream; each server with a copy sets them aside at once, for
    /// every partition, and 256 MiB for dead letters. Too low: a shard that is down for long fills the
    /// journal, and ingest answers 503. Too high: the server has no room for all partitions
    /// (max_file_store), and the journal is not made.
    #[arg(long, env = "JOURNAL_MAX_BYTES", default_value_t = 1 << 30)]
    pub journal_max_bytes: i64,
    /// How long a publish with a message id (`Nats-Msg-Id`) is known again, in seconds. Too low: a late retry makes a second
    /// row. Too high: about 190 bytes of server memory for each id of that time.
    #[arg(long, env = "JOURNAL_DUPLICATE_WINDOW_S", default_value_t = 120)]
    pub journal_duplicate_window_s: u64,
}

impl Settings {
    /// The partitions of a journal that nobody has said anything about.
    pub const DEFAULT_PARTITIONS: u16 = 4;

    /// The partitions that a new journal gets.
    pub fn partitions_of_a_new_journal(&self) -> PartitionCount {
        let default = || PartitionCount::try_from(Self::DEFAULT_PARTITIONS).expect("4 is from 1 to 512");
        self.journal_partitions.unwrap_or_else(default)
    }

    /// The copies that a new journal's streams get.
    pub fn replicas_of_a_new_journal(&self) -> usize {
        self.journal_replicas.unwrap_or(1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            journal_partitions: None,
            journal_replicas: None,
            journal_max_bytes: 1 << 30,
            journal_duplicate_window_s: 120,
        }
    }
}
