//! What a lane shows of how it fares: in `/lanes`, in the log and in what is counted.

use std::{error::Error, time::Duration};

use sluice_shard::Batch;

use super::{LaneState, observe, task::Task, work};

/// What is said of a shard that takes no rows, beside what its database says.
const MEND: &str = "mend its tables or our user's rights there, and its lane goes on by itself; \
                    until then its events wait in the journal, and none becomes a dead letter";

impl Task {
    /// Shows what is wrong, until something is stored again.
    pub(super) fn in_trouble(&mut self, state: LaneState, detail: String) {
        self.is_in_trouble = true;
        self.lane.set_health(state, Some(detail));
    }

    /// Shows that the shard's tables have to be mended, and says so once.
    pub(super) fn takes_no_rows(&mut self, error: &(dyn Error + 'static)) {
        if !std::mem::replace(&mut self.is_misconfigured, true) {
            tracing::error!(shard = self.lane.shard(), error, "this shard takes no rows: {MEND}");
        } else {
            tracing::warn!(shard = self.lane.shard(), error, "trying the shard again: it takes no rows yet");
        }
        self.in_trouble(LaneState::Misconfigured, format!("{}; {MEND}", chain(error)));
    }

    /// Shows that nothing is wrong.
    pub(super) fn is_well(&mut self, state: LaneState) {
        if std::mem::take(&mut self.is_misconfigured) {
            tracing::info!(shard = self.lane.shard(), "this shard takes rows again");
            self.backoff.reset();
        }
        self.is_in_trouble = false;
        self.lane.set_health(state, None);
    }

    /// Notes that a batch is stored.
    pub(super) fn committed(&mut self, batch: &Batch, took: Duration) {
        // Positions alone do not show that the shard takes rows.
        if self.is_in_trouble && !(self.is_misconfigured && batch.rows.is_empty()) {
            self.is_well(LaneState::Behind);
        }
        observe::committed(&self.lane, batch.rows.len(), took);
        work::committed(batch, &mut self.stored);
        self.lane.set_stored(&self.stored);
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
