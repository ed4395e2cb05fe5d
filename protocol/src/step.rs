//! What can happen, and when.

use crate::{
    bounds::{Bounds, SHARDS, Variant},
    lane::{Lane, Phase, Readers},
    model::Protocol,
    work::Work,
    world::World,
    writer::{self, Writer},
};

/// Something happens. Writers, shards and partitions are named by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client's event is stored in the journal.
    Publish {
        /// The event's partition.
        partition: usize,
        /// Where its customer lives.
        shard: usize,
    },
    /// A writer is killed and starts again. Its transactions at the shards end with it.
    Crash(usize),
    /// A partition's reader starts.
    Start {
        /// Whose.
        writer: usize,
        /// Of what.
        partition: usize,
        /// The lanes that it feeds; the others begin behind.
        carried: [bool; SHARDS],
    },
    /// A partition's reader gives the next message to the lanes.
    Read {
        /// Whose.
        writer: usize,
        /// Of what.
        partition: usize,
    },
    /// Something of one lane.
    Lane {
        /// Whose.
        writer: usize,
        /// Of what.
        shard: usize,
        /// What.
        step: LaneStep,
    },
    /// A shard ends a transaction whose connection is gone: it is stored, if its compare still holds, or refused.
    Orphan(usize),
    /// A shard is copied.
    Copy(usize),
    /// A shard is set back to its copy.
    SetBack(usize),
    /// The trimmer reads this shard's stored positions.
    TrimRead(usize),
    /// The trimmer reads the other shard's stored positions and purges.
    Trim,
}

/// Something that a lane does, or that is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneStep {
    /// It connects and reads the stored positions; work in hand is sent again, or dropped.
    Connect,
    /// Live: it sends all of its queue.
    Take,
    /// Live and idle: it finds that the shard is not where it left it.
    LookBack,
    /// Behind: it reads one message of this partition.
    ReadOwn(usize),
    /// Behind: it sends what it read.
    SendOwn,
    /// Behind: from now on the readers feed it.
    Join,
    /// The reader loses patience.
    GoBehind,
    /// The shard compares and commits, or refuses, and its answer arrives. An answer that is long under way is a lane that
    /// does nothing for long.
    Commit,
    /// The shard commits, and the answer is lost.
    CommitUnheard,
    /// The connection is lost before the commit.
    Lose,
    /// The connection is lost, and the shard may still commit.
    Leave,
}

/// Lists everything that can happen in a world.
pub(crate) fn all(model: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let Bounds { writers, partitions, messages, .. } = model.bounds;
    for (partition, log) in world.logs.iter().enumerate().take(partitions) {
        if log.last < messages[partition] {
            steps.extend((0..SHARDS).map(|shard| Step::Publish { partition, shard }));
        }
    }
    for writer in 0..writers {
        if world.writers[writer] != writer::NEW {
            steps.push(Step::Crash(writer));
        }
        of_writer(model, world, writer, steps);
    }
    of_shards(model, world, steps);
    trimming(model, world, steps);
}

/// What one writer and its shards' answers can do. The order is that of a good day; see the drain.
pub(crate) fn of_writer(model: &Protocol, world: &World, writer: usize, steps: &mut Vec<Step>) {
    let its = &world.writers[writer];
    for shard in 0..SHARDS {
        let stored = world.shards[shard].disk.stored;
        let lane = &its.lanes[shard];
        let moved = lane.stored != Some(stored);
        let mut add = |step| steps.push(Step::Lane { writer, shard, step });
        if shard >= model.bounds.lanes[writer] {
            continue;
        }
        of_lane(lane, &its.readers, moved, &mut add);
        if model.bounds.orphans && matches!(lane.phase, Phase::Sent(_)) && world.shards[shard].orphan.is_none() {
            add(LaneStep::Leave);
        }
    }
    for partition in 0..model.bounds.partitions {
        let log = &world.logs[partition];
        if its.readers[partition] == 0 {
            starts(its, writer, partition, world, steps);
        } else if its.due(partition).is_some_and(|due| log.deliver(due).is_some()) {
            steps.push(Step::Read { writer, partition });
        }
    }
}

fn of_lane(lane: &Lane, readers: &Readers, moved: bool, add: &mut impl FnMut(LaneStep)) {
    let live = lane.is_live(readers) && !lane.is_joining();
    match lane.phase {
        Phase::Down { .. } => add(LaneStep::Connect),
        Phase::Ready if live && lane.queue != Work::default() => add(LaneStep::Take),
        Phase::Ready if live && moved => add(LaneStep::LookBack),
        Phase::Reading(_) => add(LaneStep::SendOwn),
        Phase::Sent(_) | Phase::RowsStored(_) => {
            add(LaneStep::Commit);
            add(LaneStep::CommitUnheard);
            add(LaneStep::Lose);
        }
        Phase::Ready | Phase::Stopped => {}
    }
    for partition in 0..readers.len() {
        if lane.due(readers, partition).is_some() {
            add(LaneStep::ReadOwn(partition));
        }
    }
    let started = readers.iter().any(|next| *next > 0);
    if lane.phase == Phase::Ready && started && !lane.is_live(readers) {
        add(LaneStep::Join);
    }
    if !lane.queue.is_empty() {
        add(LaneStep::GoBehind);
    }
}

/// Any of the lanes that may be carried may be found too far behind, but not all of them.
fn starts(its: &Writer, writer: usize, partition: usize, world: &World, steps: &mut Vec<Step>) {
    let Some(may) = its.may_carry(partition, &world.logs[partition]) else { return };
    let mut add = |carried| steps.push(Step::Start { writer, partition, carried });
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

fn trimming(model: &Protocol, world: &World, steps: &mut Vec<Step>) {
    if !model.bounds.trim {
        return;
    }
    let live = model.variant == Variant::TrimsToLive;
    for (index, shard) in world.shards[..model.bounds.shards()].iter().enumerate() {
        // A reading by which nothing can be trimmed changes nothing.
        let may_trim = world.logs.iter().zip(shard.disk.stored).any(|(log, stored)| stored > log.first);
        if may_trim && !live && world.trimmer.reading != Some((index, shard.disk.stored)) {
            steps.push(Step::TrimRead(index));
        }
    }
    if live || world.trimmer.reading.is_some() {
        steps.push(Step::Trim);
    }
}
