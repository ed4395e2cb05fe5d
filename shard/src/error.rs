//! What can go wrong at a shard, and what a lane does about it.

use std::fmt;

/// What to do about an error; decided per engine from SQLSTATE and error codes, never from message
/// text. Whether a refused row or its table is wrong, no code says: [`Class::Data`] becomes
/// [`Class::Configuration`] where the table takes no row at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Connection, timeout, deadlock, disk full, read-only, too many connections: try again for ever.
    Transient,
    /// Bad password, missing table or position row, another identity: somebody has to mend it; ask the directory again.
    Configuration,
    /// A row is refused: for its value, or because its table is wrong. Only within this crate:
    /// [`crate::Shard::append`] names rows that are refused for their values.
    Data,
    /// A stored position was not the expected one: read the positions again, in a new transaction.
    PositionMoved,
    /// Our primary key is there already, or the like: an invariant of ours broke. Stop loudly.
    Invariant,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Configuration => "configuration",
            Self::Data => "data",
            Self::PositionMoved => "position moved",
            Self::Invariant => "invariant broken",
        })
    }
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opening a connection.
    Connect,
    /// Comparing the identity row with the expected one.
    VerifyIdentity,
    /// Creating schema, identity and position rows.
    Register,
    /// Giving the shard over to another journal, or moving its positions.
    Rebind,
    /// Reading the stored positions.
    ReadPositions,
    /// The lane's transaction.
    Append,
    /// Reading rows back.
    ReadRows,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::VerifyIdentity => "verify the shard's identity",
            Self::Register => "register the shard",
            Self::Rebind => "give the shard over to its journal",
            Self::ReadPositions => "read the stored positions",
            Self::Append => "append a batch",
            Self::ReadRows => "read rows",
        })
    }
}

/// A failure at a shard. After any error the connection is to be dropped: its state is in doubt.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} ({class})")]
pub struct ShardError {
    /// What was being done.
    pub operation: Operation,
    /// What to do about it.
    pub class: Class,
    /// What the database or driver said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl ShardError {
    /// An error with its class.
    pub fn new(
        operation: Operation,
        class: Class,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { operation, class, source: source.into() }
    }
}
