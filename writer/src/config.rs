//! Every knob of the writer.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use sluice_directory::DirectoryArgs;
use sluice_journal::Settings;
use sluice_service::{
    nats::{NatsArgs, disk_sync::MonitorArgs},
    telemetry::TelemetryArgs,
};
use sluice_shard::Limits;

use crate::group::MemberName;

/// How the writer works.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where `/livez`, `/readyz` and `/lanes` answer.
    #[arg(long, env = "WRITER_LISTEN", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub group: GroupConfig,
    /// Workers in this process; its partitions are shared out among them. Too few: one worker's transactions are all
    /// that a shard gets at once. Too many: a connection per worker and shard, and smaller batches.
    #[arg(long, env = "WRITER_WORKERS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: u16,
    /// How long a partition may stand still, in seconds, although there is something to read,
    /// before `/readyz` and the log say so. Too low: a hiccup of NATS or of the directory makes the
    /// writer unready. Too high: rows are late for that long, and nobody is told.
    #[arg(long, env = "WRITER_STALLED_AFTER_S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub stalled_after_s: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub lanes: LaneConfig,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub trim: TrimConfig,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub journal: Settings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub directory: DirectoryArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub nats: NatsArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub monitor: MonitorArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub telemetry: TelemetryArgs,
}

/// How writers share the work.
#[derive(Debug, Clone, Args)]
pub struct GroupConfig {
    /// This writer's name among the others, its own and the same again after a restart: then it takes up what it had at once. Without:
    /// the machine's name and the port that it listens on.
    #[arg(long, env = "WRITER_NAME")]
    pub name: Option<MemberName>,
    /// How long a writer may be silent before the others take over its partitions, in milliseconds; each says ten times as often that
    /// it is there. The same for all. Too low: partitions change hands at every hiccup, and are read twice for a while. Too high:
    /// the customers of a dead writer wait for that long.
    #[arg(long, env = "WRITER_TAKEOVER_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(500..))]
    pub takeover_ms: u64,
}

impl GroupConfig {
    /// How long a writer may be silent.
    pub fn takeover(&self) -> Duration {
        Duration::from_millis(self.takeover_ms)
    }
}

/// How lanes work.
#[derive(Debug, Clone, Args)]
pub struct LaneConfig {
    /// Bytes that a lane may queue; its running transaction may hold as many again, and for a moment, while its rows are sorted, about as
    /// many once more. Too low: small transactions. Too high: that much memory for each shard and worker when shards are slow.
    #[arg(long, env = "WRITER_LANE_QUEUE_BYTES", default_value_t = 8 << 20)]
    pub lane_queue_bytes: usize,
    /// How long a lane without events waits before it advances its shard's stored position, in milliseconds. Too low:
    /// needless transactions on idle shards. Too high: a restart reads that much more of the journal again.
    #[arg(long, env = "WRITER_IDLE_ADVANCE_MS", default_value_t = 10_000)]
    pub idle_advance_ms: u64,
    /// How long a full lane may keep the reader from lanes that have nothing to do, in milliseconds, before it goes behind.
    /// Too low: lanes go behind at every hiccup, and read the journal a second time. Too high: a slow shard is felt by
    /// the others for that long.
    #[arg(long, env = "WRITER_LANE_PATIENCE_MS", default_value_t = 1_000)]
    pub lane_patience_ms: u64,
    /// How long a partition's reader waits at its start for shards to say how far they are, in milliseconds. Those that
    /// have not answered by then begin behind. Too low: slow shards read the journal for themselves. Too high: a shard
    /// that is down delays the start by that.
    #[arg(long, env = "WRITER_START_PATIENCE_MS", default_value_t = 3_000)]
    pub start_patience_ms: u64,
    /// How long one statement may take at a shard, in milliseconds. Its other limits follow: a third of it to wait for a lock, half as
    /// much again for a transaction without a word from its writer, twice as much for a whole batch. Too low: large batches never
    /// get in. Too high: a writer that froze in the middle of a transaction keeps the others
    /// from its shard for that long, and a host that vanished is noticed late.
    #[arg(long, env = "WRITER_SHARD_STATEMENT_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub shard_statement_ms: u64,
    /// How many customers' routes are always kept in memory, those seen last, in all partitions together; each takes about 100 bytes, and up to
    /// twice as many are kept. Lanes that are behind keep as many again, all together. Too low: customers that were forgotten are asked for again, a batch at a time. Too high: that
    /// much memory.
    #[arg(long, env = "WRITER_ROUTE_CACHE", default_value_t = 1_000_000)]
    pub route_cache: usize,
    /// How long the last batches may take when the writer is told to stop, in milliseconds. What is not committed by then
    /// the next writer reads again.
    #[arg(long, env = "WRITER_GRACE_MS", default_value_t = 10_000)]
    pub grace_ms: u64,
}

/// How the journal is trimmed. Only what every registered shard has stored is ever removed; this says how much longer it is kept.
#[derive(Debug, Clone, Args)]
pub struct TrimConfig {
    /// How often the journal is trimmed, in milliseconds; one process of all does it. Too low: a connection to each shard that
    /// often. Too high: the journal holds that much more than it needs, and a full one is refused for that long.
    #[arg(long, env = "WRITER_TRIM_INTERVAL_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(10..))]
    pub trim_interval_ms: u64,
    /// How old a message has to be before it may go, in seconds. Too low: a shard that is restored from an older copy than this finds
    /// a gap, and stops. Too high: the journal needs that much room; without it the next knob decides.
    #[arg(long, env = "WRITER_RETAIN_S", default_value_t = 86_400)]
    pub retain_s: u64,
    /// How much of each partition is kept, in bytes, however old it is; reckoned with the partition's average message. Too low (or
    /// not given): a journal with little load keeps little. Too high: never more than the journal has room for.
    #[arg(long, env = "WRITER_RETAIN_BYTES")]
    pub retain_bytes: Option<u64>,
    /// How full a partition may be, in percent of its `max_bytes`, before the two wishes above are dropped, and all goes that
    /// every shard has stored. Too low: the wishes hold for little. Too high: it is full before it is trimmed, and ingest
    /// answers 503 until then.
    #[arg(long, env = "WRITER_TRIM_FULL_PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub trim_full_percent: u8,
}

impl TrimConfig {
    /// How often the journal is trimmed.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.trim_interval_ms)
    }
}

impl LaneConfig {
    /// How long a lane without events waits before it advances its stored positions.
    pub fn idle_advance(&self) -> Duration {
        Duration::from_millis(self.idle_advance_ms)
    }

    /// How long a full lane may keep the reader from idle ones.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.lane_patience_ms)
    }

    /// How long a shard may take.
    pub fn shard_limits(&self) -> Limits {
        Limits::of_statement(Duration::from_millis(self.shard_statement_ms))
    }

    /// How long a reader waits at its start for the shards.
    pub fn start_patience(&self) -> Duration {
        Duration::from_millis(self.start_patience_ms)
    }

    /// How long the last batches may take.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}
