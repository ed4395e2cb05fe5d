//! What memory the writer may take at most, worked out from its configuration: `docs/LIMITS.md`, "Memory".

use anyhow::Context;

use crate::options::FleetOptions;

const MIB: u64 = 1 << 20;
/// The writer's own default.
const LANE_QUEUE_BYTES: u64 = 8 * MIB;
/// A chunk of a reader: 1 MiB and the message that goes beyond it, half of what the server takes.
const CHUNK_BYTES: u64 = MIB + MIB / 2;
/// What a reader has pulled ahead.
const AHEAD_BYTES: u64 = 12 * MIB;

/// Beyond what it takes when it has nothing to do, with one shard's lanes behind. (A few hundred customers are known to its
/// routers here: some 100 bytes each, and not counted.)
///
/// # Errors
/// Where `--lane-queue-bytes` is no number.
pub fn memory_bound(options: &FleetOptions) -> anyhow::Result<u64> {
    let mut args = options.writer_args.iter();
    let queue_bytes = match args.find(|arg| *arg == "--lane-queue-bytes") {
        Some(_) => args.next().context("--lane-queue-bytes has no value")?.parse()?,
        None => LANE_QUEUE_BYTES,
    };
    let (shards, partitions) = (u64::from(options.shard_count), u64::from(options.partitions.get()));
    let workers = u64::from(options.workers).min(partitions);
    let partitions_of_a_worker = partitions.div_ceil(workers);
    // Its queue, and its running transaction.
    let lane = 2 * (queue_bytes + partitions_of_a_worker * CHUNK_BYTES);
    let reader = AHEAD_BYTES + CHUNK_BYTES;
    let readers_of_a_shard_behind = partitions * reader;
    Ok(shards * workers * lane + partitions * reader + readers_of_a_shard_behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_and_readers_are_counted_by_shards_workers_and_partitions() {
        let options = FleetOptions { shard_count: 3, workers: 2, ..FleetOptions::default() };
        // 4 partitions: 6 lanes of 2 x (8 + 2 x 1.5) MiB, and 8 readers of 13.5.
        assert_eq!(memory_bound(&options).unwrap(), (6 * 22 + 8 * 27 / 2) * MIB);
        let small = ["--retain-s", "0", "--lane-queue-bytes", "1048576"].map(str::to_owned).to_vec();
        let options = FleetOptions { writer_args: small, ..options };
        assert_eq!(memory_bound(&options).unwrap(), (6 * 8 + 8 * 27 / 2) * MIB);
    }
}
