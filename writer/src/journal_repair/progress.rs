//! How far a long piece of work is, on standard error: a line now and then.

use std::time::{Duration, Instant};

use sluice_service::output;

/// How often. What is done sooner says nothing.
const EVERY: Duration = Duration::from_secs(2);

/// One piece of work after the other.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: u64,
    told: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self { what: String::new(), total: 0, told: Instant::now() }
    }
}

impl Progress {
    /// Work of so many messages.
    pub fn begin(&mut self, what: impl Into<String>, messages: u64) {
        (self.what, self.total) = (what.into(), messages);
    }

    /// So many are left.
    pub fn left(&mut self, messages: u64) {
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let total = self.total.max(messages);
            output::note(format_args!("{}: {messages} of {total} messages left", self.what));
        }
    }
}
