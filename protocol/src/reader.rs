//! A partition's live reader. The model of the writer's `partition`.

use crate::{
    bounds::{PARTITIONS, SHARDS},
    journal::Place,
};

/// What a writer does with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reader {
    /// It does not own it: another writer may, or it was refused.
    Released,
    /// It owns it, and waits for a shard to say how far it is.
    Waiting,
    /// It has decided where to start, and starts later: shards and journal may be elsewhere by
    /// then.
    Planned {
        /// It opens after this place.
        after: Place,
        /// The lanes that it will feed.
        carried: [bool; SHARDS],
    },
    /// It reads.
    At {
        /// The last place that it gave, or after which it opened.
        place: Place,
        /// Only where it opens without a look at the stamp: it has given nothing yet.
        quiet: bool,
    },
}

/// The places that the readers have reached; `None`: does not read.
pub(crate) type Ends = [Option<Place>; PARTITIONS];

impl Reader {
    pub(crate) fn end(self) -> Option<Place> {
        match self {
            Self::At { place, .. } => Some(place),
            _ => None,
        }
    }
}
