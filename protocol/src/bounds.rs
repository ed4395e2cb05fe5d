//! How large an instance is searched, and which protocol.

/// Shards of every instance.
pub const SHARDS: usize = 2;
/// Writers that there may be.
pub const WRITERS: usize = 2;
/// Partitions that there may be.
pub const PARTITIONS: usize = 2;

/// What is bounded so that the search ends. Crashes, lost connections, lost answers, lanes that go behind and trimming are
/// not: they may happen at every step, any number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Writers, all of which believe that they own every partition; at most [`WRITERS`].
    pub writers: usize,
    /// The number of shards that each writer has lanes for: the first of them only, or both. What is routed to a shard that
    /// nobody has a lane for is, to the others, a position without a row.
    pub lanes: [usize; WRITERS],
    /// Partitions; at most [`PARTITIONS`].
    pub partitions: usize,
    /// Messages published to each partition; at most 7.
    pub messages: [u8; PARTITIONS],
    /// Whether all messages are there from the start. For what must never happen that changes nothing: a reader that is slow
    /// sees the same as one that is early.
    pub published: bool,
    /// How often a shard is set back to an older copy, in all.
    pub set_backs: u8,
    /// Transactions whose connection is gone and which the shard may still commit later; at most one waits at a shard.
    pub orphans: bool,
    /// Whether the journal is trimmed.
    pub trim: bool,
}

impl Bounds {
    /// The shards that somebody has a lane for, and the trimmer asks.
    pub(crate) fn shards(&self) -> usize {
        self.lanes[..self.writers].iter().copied().max().unwrap_or(0)
    }
}

/// The protocol, or one that differs from it in a single, wrong point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// DESIGN.md's protocol.
    Right,
    /// Rows are committed in one transaction and the position in the next.
    PositionApart,
    /// The transaction does not compare the stored position with the one that it goes on from.
    NoCompare,
    /// The reader starts behind the furthest shard, and every lane takes what it gives for the next it needs.
    StartsAtLive,
    /// The trimmer asks the readers where they are instead of the shards.
    TrimsToLive,
    /// Whoever reads takes what comes for what was asked for.
    NoContiguityCheck,
    /// A lane that joins takes the queue for the next it needs, and does not read through J - 1.
    JoinsUnread,
    /// Work kept from before a reconnect is committed from wherever the shard is now.
    KeepsPending,
    /// A lane that reads for itself keeps other shards' events too.
    KeepsForeign,
    /// A lane that finds its next message gone stops without asking the shard once more.
    StopsUnasked,
    /// A lane that is fed does not look whether its queue begins where its shard ends until something is in the queue.
    WaitsForMore,
}
