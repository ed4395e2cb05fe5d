//! DESIGN.md's invariants, as what the checker looks for.

use stateright::Property;

use crate::{bounds::PARTITIONS, drain, journal::span, lane::Phase, model::Protocol, world::World};

/// A shard has an event of its own if and only if its position is not beyond the stored one, and has it once.
pub const ONCE: &str = "Once";
/// A transaction holds every row of its shard between the stored position and the new one.
pub const WHOLE: &str = "Whole";
/// A transaction holds no row that its position does not pass.
pub const TOGETHER: &str = "Together";
/// A row stands on the shard that its route names.
pub const PLACED: &str = "Placed";
/// The trimmer never passes a stored position, as of its last reading.
pub const KEPT: &str = "Kept";
/// A lane stops only where its shard needs what is gone from the journal.
pub const TOLD: &str = "Told";
/// From here either writer alone, and undisturbed, stores everything that the journal holds.
pub const DRAINS: &str = "Drains";
/// It happens that all is published and stored.
pub const DRAINED: &str = "all is stored";
/// It happens that a lane stops, because its shard was set back further than the journal reaches.
pub const STOPPED: &str = "a lane stops at a gap";
/// It happens that a lane joins while it has more to read for itself.
pub const JOINING: &str = "a lane joins";

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONCE, |_, world| once(world)),
        Property::always(WHOLE, |_, world: &World| !world.broken.whole),
        Property::always(TOGETHER, |_, world: &World| !world.broken.together),
        Property::always(PLACED, |_, world| placed(world)),
        Property::always(KEPT, kept),
        Property::always(TOLD, |_, world: &World| !world.broken.told),
        Property::always(DRAINS, drain::drains),
        Property::sometimes(DRAINED, |model: &Protocol, world: &World| {
            let published = (0..model.bounds.partitions).all(|p| world.logs[p].last == model.bounds.messages[p]);
            published && (0..model.bounds.shards()).all(|shard| drain::is_drained(world, shard))
        }),
        Property::sometimes(STOPPED, |_, world| lanes(world).any(|phase| phase == Phase::Stopped)),
        Property::sometimes(JOINING, |_, world: &World| {
            world.writers.iter().any(|writer| writer.lanes.iter().any(super::lane::Lane::is_joining))
        }),
    ]
}

fn lanes(world: &World) -> impl Iterator<Item = Phase> {
    world.writers.iter().flat_map(|writer| writer.lanes.iter().map(|lane| lane.phase))
}

fn once(world: &World) -> bool {
    world.shards.iter().enumerate().all(|(index, shard)| {
        let routed = world.routed(index);
        (0..PARTITIONS).all(|partition| {
            let due = routed[partition] & span(0, shard.disk.stored[partition]);
            shard.disk.doubles[partition] == 0 && shard.disk.rows[partition] & routed[partition] == due
        })
    })
}

fn placed(world: &World) -> bool {
    world.shards.iter().enumerate().all(|(index, shard)| {
        let routed = world.routed(index);
        (0..PARTITIONS).all(|partition| shard.disk.rows[partition] & !routed[partition] == 0)
    })
}

/// A shard that was never set back is never passed; of the others the trimmer knows what it read.
fn kept(model: &Protocol, world: &World) -> bool {
    let passed = |stored: &[u8; PARTITIONS]| {
        world.logs.iter().zip(stored).any(|(log, stored)| log.first > 1 && log.first > *stored)
    };
    let never_set_back = world.shards[..model.bounds.shards()].iter().filter(|shard| shard.set_backs == 0);
    !world.broken.kept && !never_set_back.map(|shard| shard.disk.stored).any(|stored| passed(&stored))
}
