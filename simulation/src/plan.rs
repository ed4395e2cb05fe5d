//! What a seed decides before anything begins.

use sluice_directory::placement::Policy;
use sluice_model::PartitionCount;
use sluice_shard::memory::Kind;

use crate::{chance::Chance, fault::Fault, scheduler::Odds};

/// How old a message has to be before it may be trimmed, where shards are restored from older copies: nothing gets so old.
const RETAIN_ALL_S: u64 = 86_400;

/// The world of one seed, and what happens in it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of the journal.
    pub partitions: PartitionCount,
    /// What its streams say of their copies.
    pub copies: usize,
    /// The shards that are there from the beginning.
    pub shards: Vec<(String, Kind)>,
    /// The names of the writers that may be there; the first `running` are from the beginning.
    pub writers: Vec<String>,
    /// See [`Plan::writers`].
    pub running: usize,
    /// How each writer works.
    pub knobs: Knobs,
    /// What becomes of customers that nobody has placed.
    pub policy: Policy,
    /// How many customers there are.
    pub customers: u64,
    /// For how long events come and faults happen, in milliseconds.
    pub lasts_ms: u64,
    /// The most messages that are published.
    pub events: u64,
    /// About how long one event comes after the other, in milliseconds.
    pub events_apart_ms: u64,
    /// About how long one fault comes after the other, in milliseconds.
    pub faults_apart_ms: u64,
    /// The longest that a fault lasts, in milliseconds.
    pub longest_fault_ms: u64,
    /// Which faults happen.
    pub faults: Vec<Fault>,
    /// What may happen to any operation.
    pub odds: Odds,
    /// One event in so many cannot become a row.
    pub bad_once_in: u64,
    /// How many lines that cannot become rows each of a few messages has; 0 where there are none such.
    pub flood_lines: u64,
}

/// The writers' settings that matter here.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// `--workers`
    pub workers: u16,
    /// `--takeover-ms`
    pub takeover_ms: u64,
    /// `--lane-queue-bytes`
    pub lane_queue_bytes: usize,
    /// `--idle-advance-ms`
    pub idle_advance_ms: u64,
    /// `--lane-patience-ms`
    pub lane_patience_ms: u64,
    /// `--start-patience-ms`
    pub start_patience_ms: u64,
    /// `--shard-statement-ms`
    pub shard_statement_ms: u64,
    /// `--grace-ms`
    pub grace_ms: u64,
    /// `--trim-interval-ms`
    pub trim_interval_ms: u64,
    /// `--retain-s`
    pub retain_s: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(chance: &mut Chance) -> Self {
        let partitions = u16::try_from(chance.between(1, 4)).expect("at most 4");
        let kinds = [Kind::AtOnce, Kind::StepByStep, Kind::OneWriter];
        let shards = (1..=chance.between(1, 3)).map(|n| (format!("s{n}"), *chance.one_of(&kinds)));
        let shards = shards.collect();
        let writers: Vec<String> = (1..=*chance.one_of(&[1, 2, 2, 3])).map(|n| format!("w{n}")).collect();
        let running = usize::try_from(chance.between(1, writers.len() as u64)).expect("at most 3");
        let (faults, faults_apart_ms) = faults(chance);
        let lasts_ms = chance.between(5_000, 90_000);
        let events = chance.magnitude(20, 400);
        let restores = faults.contains(&Fault::Restore);
        Self {
            partitions: partitions.try_into().expect("1 to 4"),
            copies: *chance.one_of(&[1, 1, 3]),
            shards,
            writers,
            running,
            knobs: Knobs::of(chance, restores),
            policy: if chance.once_in(5) { Policy::Strict } else { Policy::Auto },
            customers: chance.between(2, 12),
            lasts_ms,
            events,
            // They come four at a time, as long as the faults or for a part of that.
            events_apart_ms: chance.between(1, 2 * lasts_ms / events),
            faults_apart_ms,
            longest_fault_ms: chance.magnitude(1_000, 60_000),
            faults,
            odds: odds(chance),
            bad_once_in: chance.magnitude(3, 200),
            flood_lines: if chance.once_in(25) { chance.magnitude(16, 1_024) } else { 0 },
        }
    }
}

impl Knobs {
    fn of(chance: &mut Chance, restores: bool) -> Self {
        let queue = chance.magnitude(300, 60_000);
        Self {
            workers: *chance.one_of(&[1, 1, 1, 2]),
            takeover_ms: chance.between(1_000, 8_000),
            lane_queue_bytes: usize::try_from(queue).expect("small"),
            idle_advance_ms: chance.magnitude(500, 20_000),
            lane_patience_ms: chance.magnitude(50, 2_000),
            start_patience_ms: chance.magnitude(100, 4_000),
            shard_statement_ms: chance.magnitude(1_000, 30_000),
            grace_ms: chance.magnitude(200, 10_000),
            trim_interval_ms: chance.magnitude(500, 20_000),
            retain_s: if restores { RETAIN_ALL_S } else { *chance.one_of(&[0, 0, 5, 30, RETAIN_ALL_S]) },
        }
    }
}

/// What takes several faults one after the other is rare where there are sixteen kinds. So a quarter of the seeds have about
/// half of all kinds, a quarter a few that come often; in a quarter writers come and go while shards are out of order, and in a
/// quarter shards and the journal go back in time meanwhile. Gives the kinds, and how long one comes after the other.
fn faults(chance: &mut Chance) -> (Vec<Fault>, u64) {
    match chance.between(0, 3) {
        0 => {
            let some = Fault::ALL.into_iter().filter(|_| chance.once_in(2)).collect();
            (some, chance.magnitude(300, 20_000))
        }
        1 => {
            let few = (0..chance.between(2, 4)).map(|_| *chance.one_of(&Fault::ALL)).collect();
            (few, chance.magnitude(300, 5_000))
        }
        2 => {
            let mut some = vec![Fault::Shard];
            let others = [Fault::Stop, Fault::Stop, Fault::Kill, Fault::Join, Fault::Freeze];
            some.extend((0..chance.between(1, 4)).map(|_| *chance.one_of(&others)));
            (some, chance.magnitude(300, 3_000))
        }
        _ => {
            let mut some = vec![*chance.one_of(&[Fault::Shard, Fault::Shard, Fault::LoseEnd, Fault::CutShard])];
            let others = [Fault::Kill, Fault::Stop, Fault::Join, Fault::Restore, Fault::LoseEnd, Fault::CutNats];
            some.extend((0..chance.between(1, 3)).map(|_| *chance.one_of(&others)));
            (some, chance.magnitude(300, 5_000))
        }
    }
}

/// Half of the seeds have a quiet network.
fn odds(chance: &mut Chance) -> Odds {
    let slow = *chance.one_of(&[0, 300, 3_000]);
    let (held_up, longest_ms) = *chance.one_of(&[(0, 0), (100, 3_000), (500, 200), (20, 20_000)]);
    if chance.once_in(2) {
        return Odds { slow, held_up, longest_ms, ..Odds::default() };
    }
    let mut few = || if chance.once_in(2) { 0 } else { chance.magnitude(1, 200) };
    Odds { refused: few(), lost: few(), answer_lost: few(), cut: few(), slow, held_up, longest_ms }
}
