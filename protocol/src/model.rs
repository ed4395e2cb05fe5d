//! The protocol as the checker sees it: what happens, one step at a time.

use stateright::{Model, Property};

use crate::{
    bounds::{Bounds, Variant},
    catch_up::OwnRead,
    invariants,
    journal::{LOST, Place, bit},
    lane::{Phase, Refused},
    reader::Reader,
    schedule,
    step::{LaneStep, Step},
    trimmer,
    world::World,
    writer::Writer,
};

/// An instance to search.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// How large.
    pub bounds: Bounds,
    /// Which.
    pub variant: Variant,
    /// The one promise that is looked at; `None`: all.
    pub only: Option<&'static str>,
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut worlds = vec![World::new(&self.bounds)];
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
        schedule::all(self, world, steps);
        steps.retain(|step| self.bounds.joins || !matches!(step, Step::Lane { step: LaneStep::Join, .. }));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = *world;
        self.take(&mut next, step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = invariants::all();
        all.retain(|property| self.only.is_none_or(|only| only == property.name));
        all
    }
}

fn published(mut world: World, partition: usize, shard: usize) -> World {
    world.logs[partition].publish(shard);
    world
}

impl Protocol {
    /// Does one step.
    pub(crate) fn take(&self, world: &mut World, step: Step) {
        let logs = world.logs;
        match step {
            Step::Publish { partition, shard } => world.logs[partition].publish(shard),
            Step::Lose { partition, after } => world.logs[partition].lose(after),
            Step::Expire { partition, position } => world.logs[partition].expire(position),
            Step::LossRead(shard) => world.accepting.reading = Some((shard, world.shards[shard].disk.stored)),
            Step::Accept => self.accept(world),
            Step::Crash(writer) => world.writers[writer] = Writer::new(self.bounds.partitions),
            Step::Release { writer, partition } => world.writers[writer].release(partition, self.variant),
            Step::TakeUp { writer, partition } => world.writers[writer].readers[partition] = Reader::Waiting,
            Step::Plan { writer, partition, carried } => {
                let its = &mut world.writers[writer];
                its.plan(partition, &logs[partition], carried, self.variant);
                if !self.bounds.slow_starts {
                    its.start(partition, &logs[partition], self.variant);
                }
            }
            Step::Start { writer, partition } => {
                world.writers[writer].start(partition, &logs[partition], self.variant);
            }
            Step::Read { writer, partition } => world.writers[writer].read(partition, &logs[partition], self.variant),
            Step::Lane { writer, shard, step } => self.take_lane(world, writer, shard, step),
            Step::Orphan(shard) => {
                if let Some(batch) = world.shards[shard].orphan.take() {
                    let mut disk = world.shards[shard].disk;
                    if disk.agrees(&batch, self.variant) {
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
        world.writers.iter_mut().for_each(|writer| writer.forget(self.bounds.trim));
    }

    fn take_lane(&self, world: &mut World, writer: usize, shard: usize, step: LaneStep) {
        let (logs, stored) = (world.logs, world.shards[shard].disk.stored);
        let needs_gone = world.needs_gone(shard);
        let owned = world.writers[writer].owned();
        let lane = &mut world.writers[writer].lanes[shard];
        let mut refused = Refused::default();
        match (step, lane.phase) {
            (LaneStep::Connect, _) => {
                refused = lane.connect(stored, &owned, &world.logs);
                world.broken.told |= lane.phase == Phase::Stopped && !needs_gone;
                let pending = std::mem::take(&mut lane.pending);
                if !pending.is_empty() {
                    let parted = lane.send(pending, true, (&logs, shard), self.variant);
                    refused = std::array::from_fn(|partition| refused[partition] | parted[partition]);
                }
            }
            (LaneStep::Adopt, Phase::Ready) => refused = lane.adopt(stored, &owned, &world.logs),
            (LaneStep::Take, Phase::Ready) => {
                let work = std::mem::take(&mut lane.queue);
                refused = lane.send(work, false, (&logs, shard), self.variant);
            }
            (LaneStep::ReadOwn(partition), _) => {
                refused[partition] = self.read_own(world, writer, shard, partition) == OwnRead::Parted;
            }
            (LaneStep::SendOwn, Phase::Reading(work)) => {
                refused = lane.send(work, false, (&logs, shard), self.variant);
            }
            (LaneStep::Join, Phase::Ready) => {
                let ends = world.writers[writer].ends();
                world.writers[writer].lanes[shard].join(&ends, self.variant);
            }
            (LaneStep::GoBehind, _) => lane.go_behind(),
            (LaneStep::LookBack | LaneStep::Lose, _) => lane.disconnect(self.variant),
            (LaneStep::Leave, Phase::Sent(batch)) => {
                world.shards[shard].orphan = Some(batch);
                lane.disconnect(self.variant);
            }
            (LaneStep::Commit, _) => self.commit(world, writer, shard, true),
            (LaneStep::CommitUnheard, _) => self.commit(world, writer, shard, false),
            _ => {}
        }
        let its = &mut world.writers[writer];
        its.refuse(refused, self.variant);
        let ends = its.ends();
        its.lanes[shard].settle(&ends, self.variant);
    }

    fn read_own(&self, world: &mut World, writer: usize, shard: usize, partition: usize) -> OwnRead {
        let log = &world.logs[partition];
        let needs_gone = world.needs_gone(shard);
        let ends = world.writers[writer].ends();
        let lane = &mut world.writers[writer].lanes[shard];
        let next = lane.reads_after(&ends, partition).map_or(0, |after| after.position + 1);
        let read = lane.read(log, &ends, (shard, partition), self.variant);
        match read {
            OwnRead::Good => {}
            OwnRead::Gone if self.variant == Variant::StopsUnasked => {
                lane.stop();
                world.broken.told |= !needs_gone;
            }
            OwnRead::Gone => {
                lane.disconnect(self.variant);
                let mut gone = [0; _];
                gone[partition] = log.first.max(next);
                lane.phase = Phase::Down { gone };
            }
            OwnRead::Parted => lane.disconnect(self.variant),
        }
        read
    }

    /// The shard compares and commits all at once: the compare's row lock holds until then. A
    /// refusal is told at once; whether its answer arrives makes no difference to the lane.
    fn commit(&self, world: &mut World, writer: usize, shard: usize, heard: bool) {
        let lane = &mut world.writers[writer].lanes[shard];
        let (Phase::Sent(batch) | Phase::RowsStored(batch)) = lane.phase else { return };
        let rows_stored = matches!(lane.phase, Phase::RowsStored(_));
        let mut disk = world.shards[shard].disk;
        if !disk.agrees(&batch, self.variant) {
            lane.disconnect(self.variant);
            return;
        }
        if !rows_stored {
            disk.insert(&batch);
        }
        if self.variant == Variant::PositionApart && !rows_stored {
            lane.phase = Phase::RowsStored(batch);
        } else {
            disk.advance(&batch);
            if heard {
                lane.answer(&batch);
            } else {
                lane.disconnect(self.variant);
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

    /// The record gets what each shard may pass. No shard is touched.
    fn accept(&self, world: &mut World) {
        let shards = world.shards;
        let Some(read) = world.accepting.readings(|shard| shards[shard].disk.stored) else { return };
        for (partition, log) in world.logs.iter_mut().enumerate() {
            log.accept(read.map(|stored| stored[partition]), self.variant);
        }
        if self.variant == Variant::MovesUncompared {
            for (shard, stored) in read.iter().enumerate().take(self.bounds.shards()) {
                let mut disk = world.shards[shard].disk;
                for (partition, log) in world.logs.iter().enumerate() {
                    let lost = log.lost_behind(stored[partition].position);
                    if let Some(position) = (1..8).rev().find(|position| lost & bit(*position) != 0) {
                        disk.stored[partition] = Place { position, stamp: LOST };
                    }
                }
                world.store(shard, disk);
            }
        }
    }

    fn trim(&self, world: &mut World) {
        let live = world.writers.map(|writer| writer.ends().map(|end| end.map_or(0, |place| place.position)));
        let shards = world.shards;
        let readings = world.trimmer.readings(|shard| shards[shard].disk.stored);
        let verifies = self.variant != Variant::TrimsUnverified;
        for (partition, log) in world.logs.iter_mut().enumerate() {
            let floor = match readings {
                None => live.iter().map(|position| position[partition]).max(),
                Some(readings) => trimmer::floor(log, &readings[..self.bounds.shards()], partition, verifies),
            };
            let before = log.first;
            log.trim(floor.unwrap_or(0));
            // What has expired there is nobody's to keep.
            let removes = |stored: Place| (stored.position..log.first).any(|position| log.gone & bit(position) == 0);
            let passes = |shard: usize| readings.is_some_and(|readings| removes(readings[shard][partition]));
            world.broken.kept |= log.first > before && (0..self.bounds.shards()).any(passes);
        }
    }
}
