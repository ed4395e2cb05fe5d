//! DESIGN.md's invariants, as what the checker looks for.

use stateright::Property;

use crate::{bounds::PARTITIONS, drain, lane::Phase, model::Protocol, reader::Reader, world::World};

/// A shard has an event of its own if and only if it stands in the history that leads to the stored
/// place, and has it once.
pub const ONCE: &str = "Once";
/// A transaction holds every row of its shard between the stored position and the new one.
pub const WHOLE: &str = "Whole";
/// A stored position moves forward only, and only from a place to a later one of the same history
/// of the journal.
pub const LINKED: &str = "Linked";
/// A transaction holds no row that its position does not pass.
pub const TOGETHER: &str = "Together";
/// A row stands on the shard that its route names.
pub const PLACED: &str = "Placed";
/// The trimmer never passes a stored position, as of its last reading, nor what was given again
/// before it is repaired.
pub const KEPT: &str = "Kept";
/// A lane stops only where its shard needs what is gone from the journal.
pub const TOLD: &str = "Told";
/// From here either writer alone, and undisturbed, stores everything that the journal holds.
pub const DRAINS: &str = "Drains";
/// It happens that all is published and stored.
pub const DRAINED: &str = "all is stored";
/// It happens that a lane stops, because its shard was set back further than the journal reaches.
pub const STOPPED: &str = "a lane stops at a gap";
/// It happens that all is stored after the journal lost its end: also what was given again.
pub const AGAIN: &str = "what was given again is stored";
/// It happens that a writer has let go of a partition of which a shard has stored what the journal
/// lost.
pub const REFUSED: &str = "a partition is refused";
/// It happens that a shard has stored what the journal lost, and everything of another partition.
pub const PARTED: &str = "one partition is refused, and the other is stored";
/// It happens that a writer has released a partition, and holds work of another one.
pub const RELEASED: &str = "a writer keeps one of its partitions";
/// It happens that a shard has stored everything but what was lost for it, and accepted so.
pub const ACCEPTED: &str = "a shard goes on behind an accepted loss";
/// It happens that a lane stops at a loss that was accepted for the other shard.
pub const UNNAMED: &str = "a lane stops at what was accepted for another shard";
/// It happens that a lane joins while it has more to read for itself.
pub const JOINING: &str = "a lane joins";

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONCE, |_, world| once(world)),
        Property::always(WHOLE, |_, world: &World| !world.broken.whole),
        Property::always(LINKED, |_, world: &World| !world.broken.linked),
        Property::always(TOGETHER, |_, world: &World| !world.broken.together),
        Property::always(PLACED, |_, world| placed(world)),
        Property::always(KEPT, kept),
        Property::always(TOLD, |_, world: &World| !world.broken.told),
        Property::always(DRAINS, drain::drains),
        Property::sometimes(DRAINED, |model: &Protocol, world: &World| {
            (0..model.bounds.partitions).all(|partition| is_done(model, world, partition))
        }),
        Property::sometimes(AGAIN, |model: &Protocol, world: &World| {
            world.logs[0].lost_after.is_some() && (0..model.bounds.partitions).all(|p| is_done(model, world, p))
        }),
        Property::sometimes(REFUSED, |_, world: &World| {
            world.is_parted(0, 0) && world.writers.iter().any(|writer| writer.readers[0] == Reader::Released)
        }),
        Property::sometimes(PARTED, |model: &Protocol, world: &World| {
            world.is_parted(0, 0) && is_done(model, world, 1)
        }),
        Property::sometimes(RELEASED, |_, world: &World| {
            world.writers.iter().any(|writer| {
                let in_hand = |lane: &super::lane::Lane| matches!(lane.phase, Phase::Sent(batch) if batch[1].is_some());
                writer.readers[0] == Reader::Released && writer.lanes.iter().any(in_hand)
            })
        }),
        Property::sometimes(STOPPED, |_, world| lanes(world).any(|phase| phase == Phase::Stopped)),
        Property::sometimes(ACCEPTED, |model: &Protocol, world: &World| {
            (0..model.bounds.shards()).any(|shard| {
                let lost = world.logs[0].routed[shard] & world.logs[0].named[shard];
                lost & !world.shards[shard].disk.rows[0] != 0 && drain::is_drained(world, shard, 0)
            })
        }),
        Property::sometimes(UNNAMED, |model: &Protocol, world: &World| {
            (0..model.bounds.shards()).any(|shard| {
                let stopped = world.writers.iter().any(|writer| writer.lanes[shard].phase == Phase::Stopped);
                stopped
                    && world.logs[0].lost_behind(world.shards[shard].disk.stored[0].position) & world.logs[0].vouched
                        != 0
            })
        }),
        Property::sometimes(JOINING, |_, world: &World| {
            world.writers.iter().any(|writer| writer.lanes.iter().any(super::lane::Lane::is_joining))
        }),
    ]
}

fn lanes(world: &World) -> impl Iterator<Item = Phase> {
    world.writers.iter().flat_map(|writer| writer.lanes.iter().map(|lane| lane.phase))
}

/// All of a partition is published and stored.
fn is_done(model: &Protocol, world: &World, partition: usize) -> bool {
    let published = world.logs[partition].last == model.bounds.messages[partition];
    published && (0..model.bounds.shards()).all(|shard| drain::is_drained(world, shard, partition))
}

fn once(world: &World) -> bool {
    world.shards.iter().enumerate().all(|(index, shard)| {
        world.logs.iter().enumerate().all(|(partition, log)| {
            let routed = log.routed[index];
            let due = routed & log.history(shard.disk.stored[partition]);
            // What was lost for the shard may have been stored in time all the same.
            let rows = shard.disk.rows[partition] & routed;
            shard.disk.doubles[partition] == 0 && rows & !due == 0 && due & !log.named[index] & !rows == 0
        })
    })
}

fn placed(world: &World) -> bool {
    world.shards.iter().enumerate().all(|(index, shard)| {
        (0..PARTITIONS).all(|partition| shard.disk.rows[partition] & !world.logs[partition].routed[index] == 0)
    })
}

/// A shard that was never set back is never passed; of the others the trimmer knows what it read.
fn kept(model: &Protocol, world: &World) -> bool {
    let passed = |shard: usize, partition: usize| {
        let (log, stored) = (&world.logs[partition], world.shards[shard].disk.stored[partition]);
        let given_again = log.lost_after.filter(|_| world.is_parted(shard, partition)).map(|after| after + 1);
        // What expired moves the first message too, and no trimmer did that.
        log.gone == 0 && log.first > 1 && log.first > given_again.unwrap_or(stored.position)
    };
    let mut never_set_back = (0..model.bounds.shards()).filter(|shard| world.shards[*shard].set_backs == 0);
    !world.broken.kept && !never_set_back.any(|shard| (0..PARTITIONS).any(|partition| passed(shard, partition)))
}
