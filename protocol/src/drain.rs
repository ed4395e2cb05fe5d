//! Progress: from any state, a writer that is left in peace stores everything.
//!
//! The checker's own `eventually` does not see cycles. So at every state the search reaches, the rest of a good day is played
//! out for each writer alone, the other one asleep for ever: no more faults, and everything that can be done is done in a
//! fixed order. A schedule that does not end, or that ends with something left to store, is a counterexample.

use crate::{
    bounds::SHARDS,
    lane::Phase,
    model::Protocol,
    step::{self, LaneStep, Step},
    world::World,
};

/// More than any good day of an instance takes.
const STEPS: usize = 200;

/// Whether a shard has all that the journal holds.
pub(crate) fn is_drained(world: &World, shard: usize) -> bool {
    world.logs.iter().zip(world.shards[shard].disk.stored).all(|(log, stored)| stored == log.last)
}

/// Whether each writer alone would store everything, or say where it cannot.
pub(crate) fn drains(model: &Protocol, world: &World) -> bool {
    (0..model.bounds.writers).all(|writer| {
        let end = good_day(model, *world, writer);
        end.is_some_and(|end| {
            (0..model.bounds.lanes[writer]).all(|shard| {
                let stopped = end.writers[writer].lanes[shard].phase == Phase::Stopped;
                if end.is_cut_off(shard) { stopped } else { is_drained(&end, shard) }
            })
        })
    })
}

/// Where a day without faults ends; `None` where it does not.
fn good_day(model: &Protocol, mut world: World, writer: usize) -> Option<World> {
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        steps.clear();
        step::of_writer(model, &world, writer, &mut steps);
        let good = steps.iter().find(|step| is_good(step)).copied();
        // What stopped at a gap has said so, and somebody starts the process again where that may help.
        let again = has_stopped(&world, writer).then_some(Step::Crash(writer));
        match good.or(again) {
            Some(step) => model.take(&mut world, step),
            None => return Some(world),
        }
    }
    None
}

/// A reader that found a gap; or a lane whose shard was cut off and no longer is: another writer had the lost messages in hand.
fn has_stopped(world: &World, writer: usize) -> bool {
    let its = &world.writers[writer];
    let healed = |shard: usize| its.lanes[shard].phase == Phase::Stopped && !world.is_cut_off(shard);
    its.stopped.contains(&true) || (0..SHARDS).any(healed)
}

fn is_good(step: &Step) -> bool {
    !matches!(
        step,
        Step::Lane { step: LaneStep::GoBehind | LaneStep::CommitUnheard | LaneStep::Lose | LaneStep::Leave, .. }
    )
}
