//! Why a lane gives a connection up, and what that asks of it.

use std::error::Error;

use sluice_directory::DirectoryError;
use sluice_journal::ReadError;
use sluice_model::Partition;
use sluice_shard::{Class, Operation, ShardError};

use crate::shards::RegisterError;

/// Why a connection was given up.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Try again, for ever.
    Retry(Box<dyn Error + Send + Sync>),
    /// Somebody has to mend it: try again, for ever, and loudly.
    Misconfigured(Box<dyn Error + Send + Sync>),
    /// The shard lets us in, and its tables take no rows: somebody has to mend them. Try again, for
    /// ever; say it once.
    TakesNoRows(Box<dyn Error + Send + Sync>),
    /// The shard is not where we thought: ask it again at once.
    Moved(Box<dyn Error + Send + Sync>),
    /// The journal lost the end of that partition: nobody of this worker may go on with it; the lane goes on with the others.
    Refused(Partition, ReadError),
    /// The journal lacks what the shard needs: stop this lane until somebody has put a newer copy
    /// of the shard in its place, or has accepted the loss.
    Lacks(Box<dyn Error + Send + Sync>),
    /// An invariant broke: stop this lane.
    Stop(Box<dyn Error + Send + Sync>),
}

impl From<ShardError> for Trouble {
    fn from(error: ShardError) -> Self {
        match error.class {
            Class::Transient => Self::Retry(error.into()),
            Class::Configuration if error.operation == Operation::Append => Self::TakesNoRows(error.into()),
            Class::Configuration => Self::Misconfigured(error.into()),
            Class::PositionMoved => Self::Moved(error.into()),
            // No error of a shard has the class of refused rows.
            Class::Data | Class::Invariant => Self::Stop(error.into()),
        }
    }
}

impl From<RegisterError> for Trouble {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Refused(ref problem) if !problem.retry_safe => Self::Misconfigured(error.into()),
            _ => Self::Retry(error.into()),
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Interrupted(_) => Self::Retry(error.into()),
            ReadError::Beyond { wanted: at, .. }
            | ReadError::Replaced { position: at, .. }
            | ReadError::Unrepaired { stored: at, .. } => Self::Refused(at.partition(), error),
            // What is gone from the journal does not come back by trying again.
            ReadError::Trimmed { .. } | ReadError::Gap { .. } | ReadError::Gone { .. } => Self::Lacks(error.into()),
        }
    }
}

impl From<DirectoryError> for Trouble {
    fn from(error: DirectoryError) -> Self {
        Self::Retry(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_takes_no_rows_is_told_from_a_shard_that_lets_nobody_in() {
        let trouble = |operation| Trouble::from(ShardError::new(operation, Class::Configuration, "mend it"));
        assert!(matches!(trouble(Operation::Append), Trouble::TakesNoRows(_)));
        for operation in [Operation::Connect, Operation::VerifyIdentity, Operation::ReadPositions] {
            assert!(matches!(trouble(operation), Trouble::Misconfigured(_)), "{operation}");
        }
    }
}
