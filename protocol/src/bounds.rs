//! How large an instance is searched, and which protocol.

use crate::work::Checks;

/// Shards of every instance.
pub const SHARDS: usize = 2;
/// Writers that there may be.
pub const WRITERS: usize = 2;
/// Partitions that there may be.
pub const PARTITIONS: usize = 2;

/// What is bounded so that the search ends. Crashes, lost connections, lost answers, lanes that go
/// behind, changes of the assignment and trimming are not: they may happen at every step, any
/// number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Writers, each of which owns every partition at first; at most [`WRITERS`].
    pub writers: usize,
    /// The number of shards that each writer has lanes for: the first of them only, or both. What
    /// is routed to a shard that nobody has a lane for is, to the others, a position without a row.
    pub lanes: [usize; WRITERS],
    /// Partitions; at most [`PARTITIONS`].
    pub partitions: usize,
    /// Messages published to each partition; at most 7.
    pub messages: [u8; PARTITIONS],
    /// Whether all messages are there from the start. For what must never happen that changes
    /// nothing: a reader that is slow sees the same as one that is early.
    pub published: bool,
    /// How often a shard is set back to an older copy, in all.
    pub set_backs: u8,
    /// Transactions whose connection is gone and which the shard may still commit later; at most
    /// one waits at a shard.
    pub orphans: bool,
    /// Whether the journal is trimmed.
    pub trim: bool,
    /// Whether the group takes partitions from a writer and gives them back.
    pub assignments: bool,
    /// How many partitions lose the journal's end: the first of them only, or both; each once. Then
    /// it gives the same positions again.
    pub losses: usize,
    /// How many messages expire, or are deleted, in all. Then somebody may accept what is lost.
    pub expiries: u32,
    /// Whether a reader decides where to start, and starts, in two steps.
    pub slow_starts: bool,
    /// Whether a lane that is behind may join the readers. Without, a wrong variant shows what it
    /// does without that.
    pub joins: bool,
}

impl Bounds {
    /// The shards that somebody has a lane for, and the trimmer asks.
    pub(crate) fn shards(&self) -> usize {
        self.lanes[..self.writers].iter().copied().max().unwrap_or(0)
    }
}

/// The protocol, or one that differs from it in a single, wrong point. Two variants have `stamps`:
/// where that is false they differ in a second point, without which they do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// DESIGN.md's protocol.
    Right,
    /// Rows are committed in one transaction and the position in the next.
    PositionApart,
    /// The transaction does not compare the stored position with the one that it goes on from.
    NoCompare,
    /// The reader starts behind the furthest shard, and every lane takes what it gives for the next
    /// it needs.
    StartsAtLive,
    /// The trimmer asks the readers where they are instead of the shards.
    TrimsToLive,
    /// The trimmer does not ask whether the journal still holds what the shards have stored.
    TrimsUnverified,
    /// A reader takes what comes for what it asked for.
    NoContiguityCheck,
    /// A lane that joins takes the queue for the next it needs, and does not read through J - 1.
    JoinsUnread,
    /// Work kept from before a reconnect is committed from wherever the shard is now.
    KeepsPending,
    /// A lane that reads for itself keeps other shards' events too.
    KeepsForeign,
    /// A lane that finds its next message gone stops without asking the shard once more.
    StopsUnasked,
    /// A lane that is fed does not look whether its queue begins where its shard ends until
    /// something is in the queue.
    WaitsForMore,
    /// Work is kept over an error, and what an earlier transaction of it left out as stored is no
    /// longer in it.
    PreparesDestructively,
    /// Work is kept over an error, and what an earlier transaction left out, as the partition had
    /// been released, is no longer in it.
    KeepsWorkOverRelease,
    /// Work is kept over an error, also while its partition is refused and taken again.
    KeepsWorkOverRefusal {
        /// Whether work is compared with the stored stamp all the same.
        stamps: bool,
    },
    /// A reader starts from what a lane's health said before the partition was released.
    TrustsStaleHealth {
        /// Whether work is compared with the stored stamp all the same.
        stamps: bool,
    },
    /// A lane asks only whether its work begins where the shard ends, and not whether it is of the
    /// same history.
    FitsByPosition,
    /// A reader that has given nothing yet opens without a look at the stamp.
    OpensUnverified,
    /// A lane that is behind opens without a look at the stamp.
    LaneOpensUnverified,
    /// A place of which the journal begins with the next message is taken for one that the journal
    /// holds.
    TrustsTrimmed,
    /// A reader that opened at the journal's first message, whatever stands before that, gives a
    /// lane what follows on any stamp.
    UnknownFitsAll,
    /// The transaction compares the stored position, and not its stamp.
    ComparesNoStamp,
    /// What was accepted as lost for one shard, every shard may pass.
    PassesForAll,
    /// What was accepted as lost is passed where the journal has it.
    AcceptsHeld,
    /// The first message that the journal still has is accepted as lost, too.
    AcceptsBeyond,
    /// Whoever accepts a loss sets the shards' positions, as read before, to the last lost one.
    MovesUncompared,
}

impl Variant {
    /// Whether a lane keeps its work and its queue when the connection is given up.
    pub(crate) fn keeps_work(self) -> bool {
        matches!(
            self,
            Self::KeepsPending
                | Self::PreparesDestructively
                | Self::KeepsWorkOverRelease
                | Self::KeepsWorkOverRefusal { .. }
        )
    }

    /// What is looked at before work becomes a transaction.
    pub(crate) fn checks(self, is_pending: bool) -> Checks {
        let by_position = matches!(
            self,
            Self::FitsByPosition
                | Self::KeepsWorkOverRefusal { stamps: false }
                | Self::TrustsStaleHealth { stamps: false }
        );
        Checks {
            gap: !(is_pending && self == Self::KeepsPending),
            stamps: !by_position,
            unknown: !by_position && self != Self::UnknownFitsAll,
        }
    }
}
