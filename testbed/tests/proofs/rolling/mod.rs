//! Writers that join and leave while a shard takes nothing: work that is in hand may not lose a row
//! when partitions come and go.

mod blocked;

use std::collections::BTreeMap;

use sluice_model::CustomerId;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, rows, wait};

use self::blocked::{Block, Blocked};
use crate::{LIMIT, fleet, repair::publish};

/// Events of each customer of a round. A reader that finds so many messages has more at hand, so
/// that a lane gathers: its first transaction holds events of all partitions.
const EVENTS: usize = 5_000;
/// Names the number of rounds of each engine; without it, each block has one.
const ROUNDS: &str = "SLUICE_ROLLING_RESTARTS";
/// What a writer's log says when a commit has failed; the second, once, where no room is taken for a
/// matter of configuration.
const FAILED: [&str; 2] = ["trying the shard again", "this shard takes no rows"];

/// Two writers of which one runs between rounds, one shard, and a customer in each of four
/// partitions.
struct Rolling {
    fleet: Fleet,
    customers: Vec<CustomerId>,
    /// The writer that runs.
    runs: usize,
    /// Events that were published for each customer, all of them accepted.
    accepted: usize,
    /// Rows that only take room.
    filler: usize,
}

impl Rolling {
    async fn start(shards: Flavor) -> Self {
        let args = ["--takeover-ms", "1000", "--shard-statement-ms", "1000", "--grace-ms", "500"];
        let options = FleetOptions {
            shard_count: 1,
            writers: 2,
            workers: 1,
            proxied: shards != Flavor::Sqlite,
            sync_always: false,
            writer_args: args.map(str::to_owned).to_vec(),
            ..FleetOptions::default()
        };
        let options = if shards == Flavor::Sqlite { blocked::with_limited_files(options) } else { options };
        let mut fleet = fleet(shards, options).await;
        let filler = blocked::prepare(&fleet.shards()[0].address).await;
        let partitions = fleet.partitions();
        let of = |partition| {
            let mut names = (0..).map(|n| format!("c{n}").parse::<CustomerId>().unwrap());
            names.find(|name| partitions.of(name) == partition).unwrap()
        };
        let customers: Vec<_> = partitions.all().map(of).collect();
        fleet.writers()[1].stop();
        let mut rolling = Self { fleet, customers, runs: 0, accepted: 0, filler };
        rolling.has(0, true).await;
        rolling.publish(1).await;
        rolling.every_row_comes().await;
        rolling
    }

    /// Publishes so many events of each customer.
    async fn publish(&mut self, count: usize) {
        let person = |n| format!(r#"{{"name":"{n}","address":"{n} Street"}}"#);
        for numbers in (self.accepted..self.accepted + count).collect::<Vec<_>>().chunks(500) {
            let customers = &self.customers;
            let of_each = |n| customers.iter().map(move |customer| (customer.clone(), person(n)));
            publish(&self.fleet, numbers.iter().flat_map(|n| of_each(*n))).await;
        }
        self.accepted += count;
    }

    /// Waits until a writer has all partitions, or not all of them.
    async fn has(&self, writer: usize, all: bool) {
        let four = usize::from(self.fleet.partitions().get());
        let has = async || self.fleet.assigned(writer).await.is_ok_and(|has| (has.len() == four) == all);
        let what = format!("writer {writer} {} all partitions", if all { "has" } else { "has no longer" });
        wait::until(&what, LIMIT, has).await.unwrap();
    }

    /// Waits until a writer reads all partitions.
    async fn reads_all(&self, writer: usize) {
        let four = usize::from(self.fleet.partitions().get());
        let reads = async || self.fleet.reading(writer).await.is_ok_and(|reads| reads.len() == four);
        wait::until(&format!("writer {writer} reads all partitions"), LIMIT, reads).await.unwrap();
    }

    fn failures(&mut self, writer: usize) -> usize {
        failures(self.fleet.writers()[writer].log())
    }

    /// Waits until a writer's commits have failed so many more times than before.
    async fn fails(&mut self, writer: usize, before: usize, times: usize) {
        let log = self.fleet.writers()[writer].log().to_owned();
        let failed = async || failures(&log) >= before + times;
        let seen = wait::until(&format!("{times} more failures of writer {writer}"), LIMIT, failed).await;
        assert!(seen.is_ok(), "{seen:?}: {}\n{}", self.counts().await, std::fs::read_to_string(&log).unwrap());
    }

    /// Blocks the shard, and lets events of all partitions wait for it in the running writer.
    async fn block(&mut self, block: Block) -> Blocked {
        let runs = self.runs;
        let before = self.failures(runs);
        if block == Block::Frozen {
            // Nothing is read before the shard has answered once.
            let blocked = Blocked::begin(&mut self.fleet, block).await;
            self.publish(EVENTS).await;
            self.fails(runs, before, 1).await;
            return blocked;
        }
        self.fleet.writers()[runs].stop();
        let blocked = Blocked::begin(&mut self.fleet, block).await;
        self.publish(EVENTS).await;
        let before = self.failures(runs);
        self.fleet.writers()[runs].restart_unready().unwrap();
        self.fails(runs, before, 1).await;
        blocked
    }

    /// While the shard takes nothing, another writer joins, so that the first loses partitions, and
    /// leaves again, so that they come back.
    async fn joined_and_left(&mut self, block: Block, leave: Leave) {
        let (runs, joins) = (self.runs, 1 - self.runs);
        let readable = block != Block::Frozen;
        self.fleet.writers()[joins].restart_unready().unwrap();
        self.has(runs, false).await;
        if readable {
            // A frozen shard lets nobody connect within a round, so that nothing is tried a second
            // time.
            let before = self.failures(runs);
            self.fails(runs, before, 2).await;
        }
        match leave {
            Leave::Stop => _ = self.fleet.writers()[joins].stop(),
            Leave::Kill => _ = self.fleet.writers()[joins].kill(),
        }
        self.has(runs, true).await;
        if readable {
            self.reads_all(runs).await;
        }
    }

    /// The other writer takes everything over, and the running one leaves.
    async fn hand_over(&mut self, leave: Leave) {
        let (runs, joins) = (self.runs, 1 - self.runs);
        self.fleet.writers()[joins].restart_unready().unwrap();
        self.has(runs, false).await;
        match leave {
            Leave::Stop => _ = self.fleet.writers()[runs].stop(),
            Leave::Kill => _ = self.fleet.writers()[runs].kill(),
        }
        self.has(joins, true).await;
        self.runs = joins;
    }

    async fn every_row_comes(&self) {
        let all = i64::try_from(self.accepted * self.customers.len() + self.filler).unwrap();
        let there = async || rows::count(&self.fleet.shards()[0].address).await.is_ok_and(|shard| shard.rows == all);
        if wait::until("every row", LIMIT, there).await.is_err() {
            panic!(
                "each customer's {} accepted events are to have one row each: {}",
                self.accepted,
                self.counts().await
            );
        }
    }

    /// The rows of each event, by customer and name.
    async fn rows(&self) -> BTreeMap<(String, String), usize> {
        let mut all = BTreeMap::new();
        let note = |row: rows::Person<'_>| {
            if row.customer == blocked::FILLER {
                return;
            }
            assert_eq!(row.address, format!("{} Street", row.name), "{row:?}");
            *all.entry((row.customer.to_owned(), row.name.to_owned())).or_default() += 1;
        };
        rows::for_each(&self.fleet.shards()[0].address, note).await.unwrap();
        all
    }

    async fn counts(&self) -> String {
        let rows = self.rows().await;
        let count = |customer: &CustomerId| {
            let of_it = rows.iter().filter(|((name, _), _)| name == customer.as_str());
            let (events, rows) = of_it.fold((0, 0), |(events, rows), (_, times)| (events + 1, rows + times));
            format!("{customer} has {rows} rows of {events} events")
        };
        self.customers.iter().map(count).collect::<Vec<_>>().join(", ")
    }

    async fn every_event_has_one_row(&self) {
        blocked::remove_filler(&self.fleet.shards()[0].address).await;
        let of_each = |customer: &CustomerId| {
            let name = customer.as_str().to_owned();
            (0..self.accepted).map(move |n| ((name.clone(), n.to_string()), 1))
        };
        let expected: BTreeMap<_, _> = self.customers.iter().flat_map(of_each).collect();
        assert!(self.rows().await == expected, "{}", self.counts().await);
        let verified = self.fleet.verify().await.unwrap();
        assert!(verified.ok, "{verified:?}");
    }
}

/// The failed commits that a writer's log tells of.
fn failures(log: &std::path::Path) -> usize {
    let log = std::fs::read_to_string(log).unwrap();
    FAILED.iter().map(|failed| log.matches(failed).count()).sum()
}

/// How a writer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Stop,
    Kill,
}

/// One writer joins and leaves while the shard is locked.
async fn joins_and_leaves(shards: Flavor) {
    let mut rolling = Rolling::start(shards).await;
    let blocked = rolling.block(Block::Locked).await;
    rolling.joined_and_left(Block::Locked, Leave::Stop).await;
    blocked.end(&mut rolling.fleet).await;
    rolling.every_row_comes().await;
    rolling.every_event_has_one_row().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_joins_and_leaves_while_a_shard_is_locked_loses_no_row_on_sqlite() {
    joins_and_leaves(Flavor::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_joins_and_leaves_while_a_shard_is_locked_loses_no_row_on_postgres() {
    joins_and_leaves(Flavor::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_joins_and_leaves_while_a_shard_is_locked_loses_no_row_on_mysql() {
    joins_and_leaves(Flavor::Mysql).await;
}

/// The shard is blocked in each way in turn. In every second turn the writers change places before
/// the block ends; in every third one those that leave are killed.
async fn restarted_again_and_again(shards: Flavor) {
    let blocks = Block::all(shards);
    let rounds = std::env::var(ROUNDS).map_or(blocks.len(), |rounds| rounds.parse().expect("a number of rounds"));
    let mut rolling = Rolling::start(shards).await;
    for round in 0..rounds {
        let (block, turn) = (blocks[round % blocks.len()], round / blocks.len());
        let leave = if turn % 3 == 2 { Leave::Kill } else { Leave::Stop };
        let begun = std::time::Instant::now();
        let blocked = rolling.block(block).await;
        rolling.joined_and_left(block, leave).await;
        if turn % 2 == 1 {
            rolling.hand_over(leave).await;
        }
        blocked.end(&mut rolling.fleet).await;
        rolling.every_row_comes().await;
        tracing::info!(%shards, round, ?block, ?leave, took = ?begun.elapsed(), "a rolling restart");
    }
    rolling.every_event_has_one_row().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_during_outages_of_a_shard_lose_and_double_nothing_on_sqlite() {
    restarted_again_and_again(Flavor::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_during_outages_of_a_shard_lose_and_double_nothing_on_postgres() {
    restarted_again_and_again(Flavor::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restarts_during_outages_of_a_shard_lose_and_double_nothing_on_mysql() {
    restarted_again_and_again(Flavor::Mysql).await;
}
