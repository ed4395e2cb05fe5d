//! The protocol as the checker sees it: what happens, one step at a time.

use stateright::{Model, Property};

use crate::{
    bounds::{Bounds, Variant},
    invariants,
    lane::Phase,
    step::{self, LaneStep, Step},
    trimmer,
    world::World,
    writer,
};

/// An instance to search.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// How large.
    pub bounds: Bounds,
    /// Which.
    pub variant: Variant,
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut worlds = vec![World::new(self.bounds.lanes)];
        if self.bounds.published {
            for (partition, messages) in self.bounds.messages.iter().enumerate() {
                for _ in 0..*messages {
                    worlds = worlds
                        .iter()
                        .flat_map(|world| [0, 1].map(|shard| published(*world, partition, shard)))
                        .collect();
                }
            }
        }
        worlds
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        step::all(self, world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = *world;
        self.take(&mut next, step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariants::all()
    }
}

fn published(mut world: World, partition: usize, shard: usize) -> World {
    world.logs[partition].publish(shard);
    world
}

impl Protocol {
    /// Does one step.
    pub(crate) fn take(&self, world: &mut World, step: Step) {
        match step {
            Step::Publish { partition, shard } => world.logs[partition].publish(shard),
            Step::Crash(writer) => world.writers[writer] = writer::NEW,
            Step::Start { writer, partition, carried } => {
                world.writers[writer].start(partition, &world.logs[partition], carried, self.variant);
            }
            Step::Read { writer, partition } => {
                let its = &mut world.writers[writer];
                if let Some(due) = its.due(partition) {
                    its.read(partition, &world.logs[partition], due, self.variant);
                }
            }
            Step::Lane { writer, shard, step } => self.take_lane(world, writer, shard, step),
            Step::Orphan(shard) => {
                if let Some(batch) = world.shards[shard].orphan.take() {
                    let mut disk = world.shards[shard].disk;
                    if self.variant == Variant::NoCompare || disk.agrees(&batch) {
                        disk.insert(&batch);
                        disk.advance(&batch);
                        world.store(shard, disk);
                    }
                }
            }
            Step::Copy(shard) => world.shards[shard].copy = world.shards[shard].disk,
            Step::SetBack(shard) => self.set_back(world, shard),
            Step::TrimRead(shard) => world.trimmer.reading = Some((shard, world.shards[shard].disk.stored)),
            Step::Trim => self.trim(world),
        }
    }

    fn take_lane(&self, world: &mut World, writer: usize, shard: usize, step: LaneStep) {
        let stored = world.shards[shard].disk.stored;
        let cut_off = world.is_cut_off(shard);
        let readers = world.writers[writer].readers;
        let lane = &mut world.writers[writer].lanes[shard];
        match (step, lane.phase) {
            (LaneStep::Connect, _) => lane.connect(stored, &readers, self.variant),
            (LaneStep::Take, Phase::Ready) => {
                let work = std::mem::take(&mut lane.queue);
                lane.send(work, true);
            }
            (LaneStep::ReadOwn(partition), _) => {
                let log = &world.logs[partition];
                let Some(due) = lane.due(&readers, partition) else { return };
                if lane.read(log, shard, partition, due, self.variant) {
                    return;
                }
                if self.variant == Variant::StopsUnasked {
                    lane.stop(&readers);
                    world.broken.told |= !cut_off;
                    return;
                }
                let pending = lane.pending;
                lane.disconnect(pending, &readers);
                let mut gone = [0; _];
                gone[partition] = log.first;
                lane.phase = Phase::Down { gone };
            }
            (LaneStep::SendOwn, Phase::Reading(work)) => lane.send(work, true),
            (LaneStep::Join, Phase::Ready) => lane.join(&readers, self.variant),
            (LaneStep::GoBehind, _) => lane.go_behind(),
            (LaneStep::LookBack, Phase::Ready) => {
                let pending = lane.pending;
                lane.disconnect(pending, &readers);
            }
            (LaneStep::Lose, Phase::Sent(work) | Phase::RowsStored(work)) => lane.disconnect(work, &readers),
            (LaneStep::Leave, Phase::Sent(work)) => {
                world.shards[shard].orphan = Some(lane.batch(&work));
                lane.disconnect(work, &readers);
            }
            (LaneStep::Commit, _) => self.commit(world, writer, shard, true),
            (LaneStep::CommitUnheard, _) => self.commit(world, writer, shard, false),
            _ => {}
        }
        let lane = &world.writers[writer].lanes[shard];
        if step == LaneStep::Connect && lane.phase == Phase::Stopped {
            world.broken.told |= !cut_off;
        }
    }

    /// The shard compares and commits all at once: the compare's row lock holds until then. A refusal is told at once; whether
    /// its answer arrives makes no difference to the lane.
    fn commit(&self, world: &mut World, writer: usize, shard: usize, heard: bool) {
        let readers = world.writers[writer].readers;
        let lane = &mut world.writers[writer].lanes[shard];
        let (Phase::Sent(work) | Phase::RowsStored(work)) = lane.phase else { return };
        let rows_stored = matches!(lane.phase, Phase::RowsStored(_));
        let batch = lane.batch(&work);
        let mut disk = world.shards[shard].disk;
        if self.variant != Variant::NoCompare && !disk.agrees(&batch) {
            lane.disconnect(work, &readers);
            return;
        }
        if !rows_stored {
            disk.insert(&batch);
        }
        if self.variant == Variant::PositionApart && !rows_stored {
            lane.phase = Phase::RowsStored(work);
        } else {
            disk.advance(&batch);
            if heard {
                lane.answer(&work, &readers, self.variant);
            } else {
                lane.disconnect(work, &readers);
            }
        }
        world.store(shard, disk);
    }

    fn set_back(&self, world: &mut World, shard: usize) {
        world.shards[shard].disk = world.shards[shard].copy;
        world.shards[shard].set_backs += 1;
        let set_backs: u8 = world.shards.iter().map(|shard| shard.set_backs).sum();
        if set_backs == self.bounds.set_backs {
            // No copy will be needed again.
            world.shards.iter_mut().for_each(|shard| shard.copy = Default::default());
        }
    }

    fn trim(&self, world: &mut World) {
        let live = world.writers.map(|writer| writer.readers.map(|next| next.saturating_sub(1)));
        let shards = world.shards;
        let readings = world.trimmer.readings(|shard| shards[shard].disk.stored);
        for (partition, log) in world.logs.iter_mut().enumerate() {
            let floor = match readings {
                None => live.iter().map(|position| position[partition]).max().unwrap_or(0),
                Some(readings) => trimmer::least(&readings[..self.bounds.shards()], partition),
            };
            let before = log.first;
            log.trim(floor);
            let passes = |shard: usize| readings.is_some_and(|readings| readings[shard][partition] < log.first);
            world.broken.kept |= log.first > before && (0..self.bounds.shards()).any(passes);
        }
    }
}
