//! When each step can happen.

use crate::{
    bounds::{Bounds, PARTITIONS, SHARDS, Variant},
    journal::Place,
    lane::{Lane, Phase},
    model::Protocol,
    reader::Reader,
    step::{LaneStep, Step},
    world::World,
    writer::Writer,
};

/// Lists everything that can happen in a world.
pub(crate) fn all(model: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let Bounds { writers, partitions, messages, losses, expiries, .. } = model.bounds;
    let expired: u32 = world.logs.iter().map(|log| log.gone.count_ones()).sum();
    for (partition, log) in world.logs.iter().enumerate().take(partitions) {
        if log.last < messages[partition] {
            steps.extend((0..SHARDS).map(|shard| Step::Publish { partition, shard }));
        }
        if partition < losses && log.lost_after.is_none() {
            steps.extend((log.first - 1..log.last).map(|after| Step::Lose { partition, after }));
        }
        if expired < expiries {
            let there = (log.first..=log.last).filter(|position| !log.lacks(*position));
            steps.extend(there.map(|position| Step::Expire { partition, position }));
        }
    }
    for writer in 0..writers {
        let its = &world.writers[writer];
        if *its != Writer::new(partitions) {
            steps.push(Step::Crash(writer));
        }
        of_writer(model, world, writer, steps);
        if model.bounds.assignments {
            let owned = (0..partitions).filter(|partition| its.owned()[*partition]);
            steps.extend(owned.map(|partition| Step::Release { writer, partition }));
        }
    }
    of_shards(model, world, steps);
    accepting(model, world, steps);
    trimming(model, world, steps);
}

/// What one writer and its shards' answers can do. The order is that of a good day; see the drain.
pub(crate) fn of_writer(model: &Protocol, world: &World, writer: usize, steps: &mut Vec<Step>) {
    let its = &world.writers[writer];
    for shard in 0..model.bounds.lanes[writer] {
        let stored = world.shards[shard].disk.stored;
        let lane = &its.lanes[shard];
        let moved = lane.known.iter().zip(stored).any(|(known, stored)| known.is_some_and(|known| known != stored));
        let mut add = |step| steps.push(Step::Lane { writer, shard, step });
        of_lane(lane, its, moved, &mut add);
        let reads = |partition: &usize| lane.can_read(&world.logs[*partition], &its.ends(), *partition);
        (0..model.bounds.partitions).filter(reads).for_each(|partition| add(LaneStep::ReadOwn(partition)));
        if model.bounds.orphans && matches!(lane.phase, Phase::Sent(_)) && world.shards[shard].orphan.is_none() {
            add(LaneStep::Leave);
        }
    }
    for partition in 0..model.bounds.partitions {
        match its.readers[partition] {
            Reader::Released => steps.push(Step::TakeUp { writer, partition }),
            Reader::Waiting => plans(its, writer, partition, world, steps),
            Reader::Planned { .. } => steps.push(Step::Start { writer, partition }),
            Reader::At { .. } if its.is_due(partition, &world.logs[partition]) => {
                steps.push(Step::Read { writer, partition });
            }
            Reader::At { .. } => {}
        }
    }
}

fn of_lane(lane: &Lane, writer: &Writer, moved: bool, add: &mut impl FnMut(LaneStep)) {
    let (ends, owned) = (writer.ends(), writer.owned());
    let live = lane.is_live(&ends) && !lane.is_joining();
    match lane.phase {
        Phase::Down { .. } => add(LaneStep::Connect),
        Phase::Ready => {
            if lane.is_outdated(&owned) {
                add(LaneStep::Adopt);
            }
            if live && !lane.queue.is_empty() {
                add(LaneStep::Take);
            } else if live && moved {
                add(LaneStep::LookBack);
            }
            add(LaneStep::Lose);
        }
        Phase::Reading(_) => {
            add(LaneStep::SendOwn);
            add(LaneStep::Lose);
        }
        Phase::Sent(_) | Phase::RowsStored(_) => {
            add(LaneStep::Commit);
            add(LaneStep::CommitUnheard);
            add(LaneStep::Lose);
        }
        Phase::Stopped => {}
    }
    if lane.phase == Phase::Ready && ends.iter().any(Option::is_some) && !lane.is_live(&ends) {
        add(LaneStep::Join);
    }
    if !lane.queue.is_empty() {
        add(LaneStep::GoBehind);
    }
}

/// Any of the lanes that may be carried may be found too far behind, but not all of them.
fn plans(its: &Writer, writer: usize, partition: usize, world: &World, steps: &mut Vec<Step>) {
    let Some(may) = its.may_carry(partition, &world.logs[partition]) else { return };
    let mut add = |carried| steps.push(Step::Plan { writer, partition, carried });
    add(may);
    if may == [true; SHARDS] {
        add([true, false]);
        add([false, true]);
    }
}

fn of_shards(model: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let set_backs: u8 = world.shards.iter().map(|shard| shard.set_backs).sum();
    for (index, shard) in world.shards[..model.bounds.shards()].iter().enumerate() {
        if shard.orphan.is_some() {
            steps.push(Step::Orphan(index));
        }
        if set_backs < model.bounds.set_backs && shard.copy != shard.disk {
            steps.extend([Step::Copy(index), Step::SetBack(index)]);
        }
    }
}

fn accepting(model: &Protocol, world: &World, steps: &mut Vec<Step>) {
    if model.bounds.expiries == 0 {
        return;
    }
    let stored = |shard: usize| world.shards[shard].disk.stored;
    let accepted = |stored: [[Place; PARTITIONS]; SHARDS]| {
        let mut logs = world.logs;
        for (partition, log) in logs.iter_mut().enumerate() {
            log.accept(stored.map(|stored| stored[partition]), model.variant);
        }
        logs
    };
    let now = accepted(std::array::from_fn(stored)) != world.logs;
    for shard in 0..model.bounds.shards() {
        if now && world.accepting.reading != Some((shard, stored(shard))) {
            steps.push(Step::LossRead(shard));
        }
    }
    if world.accepting.reading.is_some() {
        steps.push(Step::Accept);
    }
}

fn trimming(model: &Protocol, world: &World, steps: &mut Vec<Step>) {
    if !model.bounds.trim {
        return;
    }
    let live = model.variant == Variant::TrimsToLive;
    for (index, shard) in world.shards[..model.bounds.shards()].iter().enumerate() {
        // A reading by which nothing can be trimmed changes nothing.
        let may_trim = world.logs.iter().zip(shard.disk.stored).any(|(log, stored)| stored.position > log.first);
        if may_trim && !live && world.trimmer.reading != Some((index, shard.disk.stored)) {
            steps.push(Step::TrimRead(index));
        }
    }
    if live || world.trimmer.reading.is_some() {
        steps.push(Step::Trim);
    }
}
