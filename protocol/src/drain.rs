//! Progress: from any state, a writer that is left in peace stores everything.
//!
//! The checker's own `eventually` does not see cycles. So at every state the search reaches, the
//! rest of a good day is played out for each writer alone, the other one asleep for ever: no more
//! faults, and everything that can be done is done in a fixed order. A schedule that does not end,
//! or that ends with something left to store, is a counterexample.

use crate::{
    bounds::SHARDS,
    lane::Phase,
    model::Protocol,
    schedule,
    step::{LaneStep, Step},
    world::World,
};

/// More than any good day of an instance takes.
const STEPS: usize = 200;

/// Whether a shard has all that the journal holds of a partition.
pub(crate) fn is_drained(world: &World, shard: usize, partition: usize) -> bool {
    let (log, stored) = (&world.logs[partition], world.shards[shard].disk.stored[partition]);
    stored.position == log.last && !log.has_parted(stored)
}

/// Whether each writer alone would store everything, or say where it cannot: where a shard was set
/// back further than the journal reaches, or has stored what the journal lost, which stops that
/// partition alone.
pub(crate) fn drains(model: &Protocol, world: &World) -> bool {
    (0..model.bounds.writers).all(|writer| {
        good_day(model, *world, writer).is_some_and(|end| {
            (0..model.bounds.lanes[writer]).all(|shard| {
                let stopped = end.is_cut_off(shard) && end.writers[writer].lanes[shard].phase == Phase::Stopped;
                let goes_on =
                    |partition| is_refused(model, &end, writer, partition) || is_drained(&end, shard, partition);
                stopped || (0..model.bounds.partitions).all(goes_on)
            })
        })
    })
}

/// Whether one of a writer's shards has stored what the journal lost of a partition, or nobody can
/// read on through what expired.
fn is_refused(model: &Protocol, world: &World, writer: usize, partition: usize) -> bool {
    let parted = (0..model.bounds.lanes[writer]).any(|shard| world.is_parted(shard, partition));
    parted || world.logs[partition].has_unaccepted_hole()
}

/// Where a day without faults ends; `None` where it does not.
fn good_day(model: &Protocol, mut world: World, writer: usize) -> Option<World> {
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        steps.clear();
        schedule::of_writer(model, &world, writer, &mut steps);
        let good = steps.iter().find(|step| is_good(model, &world, step)).copied();
        // What stopped at a gap has said so, and somebody starts the process again where that may
        // help.
        let again = has_stopped(&world, writer).then_some(Step::Crash(writer));
        match good.or(again) {
            Some(step) => model.take(&mut world, step),
            None => return Some(world),
        }
    }
    None
}

/// A lane whose shard was cut off and no longer is: another writer had the lost messages in hand.
fn has_stopped(world: &World, writer: usize) -> bool {
    let healed = |shard: usize| world.writers[writer].lanes[shard].phase == Phase::Stopped && !world.is_cut_off(shard);
    (0..SHARDS).any(healed)
}

/// A partition that stays refused until its journal is repaired is not looked at again and again.
fn is_good(model: &Protocol, world: &World, step: &Step) -> bool {
    match *step {
        Step::TakeUp { writer, partition } => !is_refused(model, world, writer, partition),
        Step::Lane { step, .. } => {
            !matches!(step, LaneStep::GoBehind | LaneStep::CommitUnheard | LaneStep::Lose | LaneStep::Leave)
        }
        _ => true,
    }
}
