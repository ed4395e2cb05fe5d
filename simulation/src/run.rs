//! One seed, from its beginning to its end.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Once},
    time::Duration,
};

use sluice_failpoint::simulated;
use sluice_model::CustomerId;
use sluice_shard::memory::MemoryDatabase;
use tokio::time::Instant;

use crate::{
    chance::Chance,
    fault,
    fault::Fault,
    history::History,
    load,
    oracle::{Checked, Leniency},
    plan::Plan,
    scheduler::Scheduler,
    world::World,
};

/// How long the shards may take to become level once all faults have ended, beside what the limits of a statement allow. Shorter:
/// backoffs, leases and looking again are taken for a standstill. Longer: a seed that stands still takes longer.
const LEVEL_LIMIT: Duration = Duration::from_secs(180);
/// How long a writer may take to end, beside its grace.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What came of a seed.
#[derive(Debug)]
pub struct Ran {
    /// The seed.
    pub seed: u64,
    /// What was broken, if anything.
    pub broken: Option<String>,
    /// All that happened.
    pub history: History,
    /// How much time went by in the simulation.
    pub simulated: Duration,
    /// Operations that had their turn.
    pub turns: u64,
    /// What was checked.
    pub checked: Checked,
    /// How often each fault happened.
    pub faults: BTreeMap<Fault, u64>,
    /// The plan.
    pub plan: Plan,
}

thread_local! {
    /// What the first panic of this thread's simulation said.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// A panic of a task is noted, and nothing is printed, where a simulation runs on the thread.
fn note_panics() {
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if simulated::current().is_some() {
                PANIC.with_borrow_mut(|noted| _ = noted.get_or_insert_with(|| panic.to_string()));
            } else {
                print(panic);
            }
        }));
    });
}

/// Runs a seed on this thread.
///
/// # Panics
/// Where no runtime can be made.
pub fn run(seed: u64, leniency: Leniency) -> Ran {
    note_panics();
    PANIC.set(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing from the system");
    let plan = Plan::of(&mut Chance::new(seed, 1));
    let ran = runtime.block_on(simulate(seed, plan, leniency));
    simulated::install(None);
    MemoryDatabase::uninstall_all();
    // Tasks that wait for turns for ever are dropped with it.
    drop(runtime);
    ran
}

async fn simulate(seed: u64, plan: Plan, leniency: Leniency) -> Ran {
    let scheduler = Scheduler::new(Chance::new(seed, 2));
    simulated::install(Some(scheduler.clone()));
    let world = World::new(plan.clone(), Arc::clone(&scheduler));
    world.oracle().ignore(leniency);
    tokio::spawn(Arc::clone(&scheduler).run());
    let lived = live(&world, seed).await;
    let broken = lived.err().or_else(|| broken(&world));
    Ran {
        seed,
        broken,
        simulated: scheduler.elapsed(),
        turns: scheduler.turns(),
        checked: world.oracle().checked(),
        faults: world.counts(),
        history: scheduler.take_history(),
        plan,
    }
}

/// What is broken so far.
fn broken(world: &World) -> Option<String> {
    PANIC.with_borrow(Clone::clone).or_else(|| world.oracle().broken())
}

async fn live(world: &World, seed: u64) -> Result<(), String> {
    for (shard, kind) in &world.plan().shards {
        if !world.register(shard, *kind).await {
            return Err(format!("{shard} cannot be registered although nothing is wrong"));
        }
    }
    place_some(world, &mut Chance::new(seed, 3));
    world.scheduler().set_odds(world.usual_odds());
    let running = world.plan().writers[..world.plan().running].to_vec();
    running.iter().for_each(|writer| world.start(writer));
    tokio::spawn(world.clone().take_copies(Chance::new(seed, 4)));
    let loaded = tokio::spawn(load::run(world.clone(), Chance::new(seed, 5)));
    let faulted = tokio::spawn(fault::run(world.clone(), Chance::new(seed, 6)));
    while !(loaded.is_finished() && faulted.is_finished()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop_if_broken(world)?;
    }
    world.end_faults();
    become_level(world).await?;
    for shard in world.shards() {
        if let Some(database) = world.database(&shard) {
            world.oracle().check_whole(&shard, &database.contents());
        }
    }
    stop_if_broken(world)?;
    let limit = STOP_LIMIT + Duration::from_millis(world.plan().knobs.grace_ms);
    let left = world.stop_all(limit).await;
    if !left.is_empty() {
        return Err(format!("{left:?} do not end within {} s of being told to", limit.as_secs()));
    }
    Ok(())
}

/// Under strict placement somebody has placed about half of the customers by hand.
fn place_some(world: &World, chance: &mut Chance) {
    if world.plan().policy == sluice_directory::placement::Policy::Strict {
        for customer in 1..=world.plan().customers {
            let customer: CustomerId = format!("c{customer}").parse().expect("a letter and digits");
            let shard = chance.one_of(&world.plan().shards).0.clone();
            if chance.once_in(2) {
                world.directory().place(&customer, &shard);
            }
        }
    }
}

async fn become_level(world: &World) -> Result<(), String> {
    let statement = Duration::from_millis(world.plan().knobs.shard_statement_ms);
    let until = Instant::now() + LEVEL_LIMIT + 6 * statement;
    // A moment for those that are only being started, or stopped.
    loop {
        world.start(&world.plan().writers[0]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop_if_broken(world)?;
        let lacking = world.lacking();
        if lacking.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            let lacking = lacking.join("; ");
            return Err(format!("long after all faults have ended the shards are not level: {lacking}"));
        }
    }
}

fn stop_if_broken(world: &World) -> Result<(), String> {
    broken(world).map_or(Ok(()), Err)
}
