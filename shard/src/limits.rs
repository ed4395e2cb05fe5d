//! How long a shard may take.

use std::time::Duration;

/// The time limits of one connection. All follow from one number, so that whatever it is, the inequalities between them hold:
/// waiting for a lock gives up before the statement does (so that the error says which it was), that before a transaction counts
/// as abandoned, and that before the client stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    statement: Duration,
}

impl Limits {
    /// With so much time for each statement.
    pub fn of_statement(statement: Duration) -> Self {
        Self { statement }
    }

    /// What a statement may take: 60 s by default.
    pub fn statement(self) -> Duration {
        self.statement
    }

    /// How long a statement may wait for a lock: a third of that.
    pub fn lock(self) -> Duration {
        self.statement / 3
    }

    /// How long refused rows are searched for in one transaction, before the search ends with what it has found: as long as for a lock. Its
    /// last statement may take [`Limits::statement`], and all of it has to end within [`Limits::batch`].
    pub fn search(self) -> Duration {
        self.lock()
    }

    /// How long a SQLite transaction waits for another one of the same file: a sixth of that.
    pub fn busy(self) -> Duration {
        self.statement / 6
    }

    /// After how long without a word from its client a transaction may be ended by whoever waits for it: half as much again.
    pub fn abandoned(self) -> Duration {
        self.statement * 3 / 2
    }

    /// How long a client waits for a whole batch: twice as much. For a host that has vanished without a word, which no driver
    /// here would notice.
    pub fn batch(self) -> Duration {
        self.statement * 2
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of_statement(Duration::from_secs(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_lock_gives_up_first_and_whoever_holds_it_is_given_up_before_the_client() {
        for ms in [1_000, 3_000, 60_000, 600_000] {
            let limits = Limits::of_statement(Duration::from_millis(ms));
            let order = [limits.busy(), limits.lock(), limits.statement(), limits.abandoned(), limits.batch()];
            assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
            assert!(limits.search() + limits.statement() < limits.batch());
        }
    }
}
