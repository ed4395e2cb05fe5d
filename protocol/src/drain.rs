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
    writer,
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
            (0..SHARDS).all(|shard| {
                let stopped = end.writers[writer].lanes[shard].phase == Phase::Stopped;
                if end.is_cut_off(shard) { stopped } else { is_drained(&end, shard) }
            })
        })
    })
}

/// Where a day without faults ends; `None` where it does not.
fn good_day(model: &Protocol, mut world: World, writer: usize) -> Option<World> {
    let mut steps = Vec::new();
    if world.writers[writer].stopped.contains(&true) {
        // A partition that stopped at a gap has said so, and somebody starts the process again.
        world.writers[writer] = writer::NEW;
    }
    for _ in 0..STEPS {
        steps.clear();
        step::of_writer(model, &world, writer, &mut steps);
        let Some(step) = steps.iter().find(|step| is_good(step)) else {
            return Some(world);
        };
        model.take(&mut world, *step);
    }
    None
}

fn is_good(step: &Step) -> bool {
    !matches!(step, Step::Lane { step: LaneStep::GoBehind | LaneStep::Lose | LaneStep::Leave, .. })
}
