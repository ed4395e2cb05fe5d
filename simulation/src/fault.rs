//! What goes wrong in a simulation, one thing after the other.

use std::time::Duration;

use sluice_shard::memory::Trouble;
use tokio::time::Instant;

use crate::{chance::Chance, scheduler::Odds, world::World};

/// The most messages that the journal loses at once.
const MOST_LOST: u64 = 20;

/// A kind of fault. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A writer dies, and is started again.
    Kill,
    /// A writer is told to stop, and is started again later.
    Stop,
    /// Another writer is started.
    Join,
    /// A writer stands still for a while.
    Freeze,
    /// Something is wrong with a shard for a while.
    Shard,
    /// A shard's connections are cut.
    CutShard,
    /// A shard is restored from an older copy.
    Restore,
    /// NATS is away for a while.
    Nats,
    /// NATS loses its consumers.
    CutNats,
    /// A server that does not lead any more answers for a while.
    Stale,
    /// The journal loses the end of a partition.
    LoseEnd,
    /// The directory is away for a while.
    Directory,
    /// A shard's entry in the directory is changed.
    Touch,
    /// A shard is registered.
    Register,
    /// A shard on which nobody is is taken out.
    Remove,
    /// For a while much more of what is asked is lost.
    Storm,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Kill,
        Self::Stop,
        Self::Join,
        Self::Freeze,
        Self::Shard,
        Self::CutShard,
        Self::Restore,
        Self::Nats,
        Self::CutNats,
        Self::Stale,
        Self::LoseEnd,
        Self::Directory,
        Self::Touch,
        Self::Register,
        Self::Remove,
        Self::Storm,
    ];

    /// What it is called in reports.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Lets faults happen until the time is over, then ends those that last.
pub async fn run(world: World, mut chance: Chance) {
    let plan = world.plan().clone();
    let until = Instant::now() + Duration::from_millis(plan.lasts_ms);
    if plan.faults.is_empty() {
        tokio::time::sleep_until(until).await;
        return;
    }
    loop {
        let apart = Duration::from_millis(chance.between(1, 2 * plan.faults_apart_ms));
        if Instant::now() + apart >= until {
            tokio::time::sleep_until(until).await;
            return;
        }
        tokio::time::sleep(apart).await;
        let fault = *chance.one_of(&plan.faults);
        let lasts = Duration::from_millis(chance.magnitude(plan.longest_fault_ms / 16, plan.longest_fault_ms));
        if happen(&world, fault, lasts, &mut chance) {
            world.count(fault);
        }
    }
}

/// Lets a fault happen; false where there was nothing that it could happen to.
fn happen(world: &World, fault: Fault, lasts: Duration, chance: &mut Chance) -> bool {
    match fault {
        Fault::Kill => world.running(chance).is_some_and(|writer| {
            world.kill(&writer, chance.once_in(2));
            let later = world.clone();
            after(absence(chance), move || later.start(&writer));
            true
        }),
        Fault::Stop => world.running(chance).is_some_and(|writer| {
            world.stop(&writer);
            let later = world.clone();
            after(absence(chance), move || later.start(&writer));
            true
        }),
        Fault::Join => world.absent(chance).is_some_and(|writer| {
            world.start(&writer);
            true
        }),
        Fault::Freeze => world.running(chance).is_some_and(|writer| {
            world.freeze(&writer, lasts);
            true
        }),
        Fault::Shard | Fault::CutShard | Fault::Restore | Fault::Touch | Fault::Register | Fault::Remove => {
            to_shard(world, fault, lasts, chance)
        }
        Fault::Nats | Fault::CutNats | Fault::Stale | Fault::LoseEnd => to_journal(world, fault, lasts, chance),
        Fault::Directory => {
            world.note("the directory is away");
            world.directory().set_up(false);
            let later = world.clone();
            after(lasts, move || {
                later.note("the directory is back");
                later.directory().set_up(true);
            });
            true
        }
        Fault::Storm => {
            let mut few = || chance.magnitude(10, 3_000);
            let odds =
                Odds { refused: few(), lost: few() / 2, answer_lost: few() / 2, cut: few(), ..world.plan().odds };
            world.note(&format!("a storm: {odds:?}"));
            world.scheduler().set_odds(odds);
            let later = world.clone();
            after(lasts / 4, move || {
                later.note("the storm is over");
                later.scheduler().set_odds(later.usual_odds());
            });
            true
        }
    }
}

fn to_shard(world: &World, fault: Fault, lasts: Duration, chance: &mut Chance) -> bool {
    if fault == Fault::Register {
        return world.register_another(chance);
    }
    let shards = world.shards();
    if shards.is_empty() {
        return false;
    }
    let shard = chance.one_of(&shards).clone();
    let Some(database) = world.database(&shard) else { return false };
    match fault {
        Fault::Shard => {
            if database.trouble().is_some() {
                return false;
            }
            let troubles = [
                Trouble::Away,
                Trouble::Frozen,
                Trouble::Locked,
                Trouble::ReadOnly,
                Trouble::Full,
                Trouble::WrongTable,
            ];
            let trouble = *chance.one_of(&troubles);
            world.note(&format!("{shard} is {trouble:?} for {} ms", lasts.as_millis()));
            database.set_trouble(Some(trouble));
            let later = world.clone();
            after(lasts, move || {
                later.note(&format!("{shard} is well again"));
                database.set_trouble(None);
            });
        }
        Fault::CutShard => {
            world.note(&format!("connections of {shard} are cut"));
            database.cut();
        }
        Fault::Restore => {
            let Some((age, copy)) = world.copy_of(&shard, chance) else { return false };
            world.note(&format!("{shard} is restored from a copy of {:.3} s ago", age.as_secs_f64()));
            database.restore(copy);
        }
        Fault::Touch => {
            world.note(&format!("the entry of {shard} is changed"));
            world.directory().touch(&shard);
        }
        _ => return world.remove(&shard),
    }
    true
}

fn to_journal(world: &World, fault: Fault, lasts: Duration, chance: &mut Chance) -> bool {
    match fault {
        Fault::Nats => {
            if !world.server().is_up() {
                return false;
            }
            world.note("NATS is away");
            world.server().set_up(false);
            let later = world.clone();
            after(lasts / 2, move || {
                later.note("NATS is back");
                later.server().set_up(true);
            });
        }
        Fault::CutNats => {
            world.note("NATS loses its consumers");
            world.server().cut();
        }
        Fault::Stale => {
            if world.plan().copies == 1 {
                return false;
            }
            world.note("a server that does not lead any more answers, too");
            world.server().set_stale(true);
            let later = world.clone();
            after(lasts / 8, move || {
                later.note("it has heard that it does not lead");
                later.server().set_stale(false);
            });
        }
        _ => return world.lose_end(chance.between(1, MOST_LOST), chance),
    }
    true
}

/// How long a writer is away that was killed or told to stop.
fn absence(chance: &mut Chance) -> Duration {
    Duration::from_millis(chance.magnitude(50, 12_000))
}

fn after(time: Duration, what: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        what();
    });
}
