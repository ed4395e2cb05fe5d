//! What can happen.

use crate::{bounds::SHARDS, journal::Position};

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
    /// The journal loses its end: what comes later gets the same positions.
    Lose {
        /// Of what.
        partition: usize,
        /// The last position that is left.
        after: Position,
    },
    /// A message expires, or is deleted.
    Expire {
        /// Of what.
        partition: usize,
        /// Where it stands.
        position: Position,
    },
    /// Whoever is to accept what is lost reads this shard's stored positions.
    LossRead(usize),
    /// They read the other shard's stored positions, and the record gets what each shard may pass.
    Accept,
    /// A writer is killed and starts again. Its transactions at the shards end with it.
    Crash(usize),
    /// The group takes a partition from a writer.
    Release {
        /// Whose.
        writer: usize,
        /// Of what.
        partition: usize,
    },
    /// A writer takes a partition: the group gives it, or it looks again at one that it refused.
    TakeUp {
        /// Whose.
        writer: usize,
        /// Of what.
        partition: usize,
    },
    /// A partition's reader decides where to start, or finds that the journal lacks what a shard
    /// has; it starts at once, unless [`crate::Bounds::slow_starts`].
    Plan {
        /// Whose.
        writer: usize,
        /// Of what.
        partition: usize,
        /// The lanes that it will feed; the others begin behind.
        carried: [bool; SHARDS],
    },
    /// A partition's reader starts where it has decided to.
    Start {
        /// Whose.
        writer: usize,
        /// Of what.
        partition: usize,
    },
    /// A partition's reader gives the next message to the lanes, or finds that the journal lacks
    /// its last one, or the next.
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
    /// A shard ends a transaction whose connection is gone: it is stored, if its compare still
    /// holds, or refused.
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
    /// It connects and reads the stored positions.
    Connect,
    /// It notices that its worker has other partitions, and reads the stored positions of those.
    Adopt,
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
    /// The shard compares and commits, or refuses, and its answer arrives. An answer that is long
    /// under way is a lane that does nothing for long.
    Commit,
    /// The shard commits, and the answer is lost.
    CommitUnheard,
    /// The connection is lost, before a commit.
    Lose,
    /// The connection is lost, and the shard may still commit.
    Leave,
}
