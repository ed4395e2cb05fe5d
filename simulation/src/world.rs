//! The simulated world: one server, one directory, some databases, and the processes that come and go.

mod processes;
mod shards;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use sluice_directory::client::memory::MemoryDirectory;
use sluice_journal::memory::MemoryServer;
use sluice_model::{Partition, Position};
use sluice_shard::{
    StoredPosition,
    memory::{Contents, MemoryDatabase},
};
use tokio::time::Instant;

use self::processes::Writer;
use crate::{
    chance::Chance,
    fault::Fault,
    oracle::Oracle,
    plan::Plan,
    scheduler::{Odds, Scheduler},
};

/// How often the journal may lose its end in one simulation: what it accepts after that is not brought to all shards any more.
const MOST_LOSSES: u64 = 2;

/// The world. Clones are the same one.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    plan: Plan,
    scheduler: Arc<Scheduler>,
    oracle: Arc<Oracle>,
    server: MemoryServer,
    directory: MemoryDirectory,
    changing: Mutex<Changing>,
}

#[derive(Default)]
struct Changing {
    databases: BTreeMap<String, MemoryDatabase>,
    writers: BTreeMap<String, Writer>,
    /// How many processes there have been.
    processes: u64,
    copies: BTreeMap<String, Vec<(Instant, Contents)>>,
    counts: BTreeMap<Fault, u64>,
    losses: u64,
    is_ending: bool,
    /// No writer is started any more.
    is_over: bool,
}

impl World {
    /// The world of a plan, without shards and writers.
    pub fn new(plan: Plan, scheduler: Arc<Scheduler>) -> Self {
        let directory = MemoryDirectory::new(plan.policy);
        let oracle = Oracle::new(plan.partitions, directory.clone());
        let server = MemoryServer::new(plan.partitions, plan.copies, oracle.clone());
        Self(Arc::new(Inner { plan, scheduler, oracle, server, directory, changing: Mutex::default() }))
    }

    /// What the seed has decided.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Who goes on next.
    pub fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    /// What has to hold.
    pub fn oracle(&self) -> &Oracle {
        &self.0.oracle
    }

    /// The server.
    pub fn server(&self) -> &MemoryServer {
        &self.0.server
    }

    /// The directory.
    pub fn directory(&self) -> &MemoryDirectory {
        &self.0.directory
    }

    /// Notes what happens in the world.
    pub fn note(&self, what: &str) {
        sluice_failpoint::simulated::Simulation::note(&*self.0.scheduler, "world", what);
    }

    /// A fault has happened.
    pub fn count(&self, fault: Fault) {
        *self.changing().counts.entry(fault).or_default() += 1;
    }

    /// How often each fault has happened.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.changing().counts.clone()
    }

    /// What may happen to any operation when there is no storm.
    pub fn usual_odds(&self) -> Odds {
        let slow = self.plan().odds.slow;
        if self.changing().is_ending { Odds { slow, ..Odds::default() } } else { self.plan().odds }
    }

    /// Every fault ends, and none begins any more.
    pub fn end_faults(&self) {
        self.changing().is_ending = true;
        self.note("all faults end");
        self.scheduler().set_odds(self.usual_odds());
        self.scheduler().thaw();
        self.server().set_up(true);
        self.server().set_stale(false);
        self.directory().set_up(true);
        let databases = self.changing().databases.clone();
        databases.values().for_each(|database| database.set_trouble(None));
    }

    /// The journal loses the last messages of some partition. False where it has nothing to lose, or has lost enough.
    pub fn lose_end(&self, messages: u64, chance: &mut Chance) -> bool {
        let partitions: Vec<Partition> = self.plan().partitions.all().collect();
        let (first, last) = self.server().bounds(*chance.one_of(&partitions));
        let lost = messages.min(last.next().get() - first.get());
        if lost == 0 || self.changing().losses == MOST_LOSSES {
            return false;
        }
        self.changing().losses += 1;
        let last = Position::new(last.get() - lost).expect("a position before one");
        self.note(&format!("the journal loses {lost} messages after {last:?}"));
        self.oracle().truncating(last);
        self.server().truncate(last);
        true
    }

    /// Somebody waits at that inbox for the message at a position.
    pub fn waits(&self, inbox: &str, at: Position) {
        if let Some(stamp) = self.oracle().stamp(at) {
            self.oracle().waits(inbox, at, stamp);
        }
    }

    /// Which partitions no longer are what some shard has read of them: nobody goes on there before they are repaired.
    pub fn parted(&self) -> Vec<Partition> {
        let stored: Vec<StoredPosition> = self
            .shards()
            .iter()
            .filter_map(|shard| self.database(shard))
            .flat_map(|d| d.positions().into_values())
            .collect();
        let is_parted = |partition: &Partition| {
            let mut of_it = stored.iter().filter(|at| at.position.partition() == *partition);
            of_it.any(|at| at.position > self.server().bounds(*partition).1 || !self.oracle().is_sound(*at))
        };
        self.plan().partitions.all().filter(is_parted).collect()
    }

    /// What is missing until every shard has all of the journal; nothing where they are level.
    pub fn lacking(&self) -> Vec<String> {
        let parted = self.parted();
        let mut lacking = Vec::new();
        for shard in self.shards() {
            let positions = self.database(&shard).map(|database| database.positions()).unwrap_or_default();
            for partition in self.plan().partitions.all().filter(|partition| !parted.contains(partition)) {
                let last = self.server().bounds(partition).1;
                match positions.get(&partition) {
                    Some(at) if at.position == last => {}
                    other => lacking.push(format!("{shard} has {other:?} of {last:?}")),
                }
            }
        }
        lacking
    }

    /// Takes copies of the shards' databases, now and then, for ever.
    pub async fn take_copies(self, mut chance: Chance) {
        loop {
            tokio::time::sleep(Duration::from_millis(chance.magnitude(100, 10_000))).await;
            let shards = self.shards();
            if shards.is_empty() {
                continue;
            }
            let shard = chance.one_of(&shards);
            let Some(database) = self.database(shard) else { continue };
            let copy = (Instant::now(), database.contents());
            self.changing().copies.entry(shard.clone()).or_default().push(copy);
        }
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.0.changing.lock().expect("no holder of this lock panics")
    }
}
