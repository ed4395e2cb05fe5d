//! What of a lane is counted, for Prometheus.

use std::time::Duration;

use super::{Lane, LaneState};

const STATES: [(LaneState, &str); 5] = [
    (LaneState::Connecting, "connecting"),
    (LaneState::Live, "live"),
    (LaneState::Behind, "behind"),
    (LaneState::Misconfigured, "misconfigured"),
    (LaneState::Stopped, "stopped"),
];

/// A lane's labels: its shard, and which of the process' workers it belongs to.
fn labels(lane: &Lane) -> [(&'static str, String); 2] {
    [("shard", lane.shard().to_owned()), ("worker", lane.worker().to_string())]
}

/// A transaction of so many rows is committed; `took`: with what it takes to store dead letters before.
pub fn committed(lane: &Lane, rows: usize, took: Duration) {
    let labels = labels(lane);
    metrics::counter!("sluice_lane_rows_total", &labels).increment(rows as u64);
    metrics::counter!("sluice_lane_batches_total", &labels).increment(1);
    if rows > 0 {
        #[allow(clippy::cast_precision_loss, reason = "a batch has far fewer rows than 2^53")]
        metrics::histogram!("sluice_lane_batch_rows", &labels).record(rows as f64);
        metrics::histogram!("sluice_lane_commit_seconds", &labels).record(took);
    }
}

/// What a lane is doing now, and how far its shard is from the journal's end.
#[allow(clippy::cast_precision_loss, reason = "what a person looks at needs no more than 53 bits")]
pub fn now(lane: &Lane) {
    let (labels, health) = (labels(lane), lane.health());
    let lag = lane.lag().unwrap_or_default();
    metrics::gauge!("sluice_lane_behind_messages", &labels).set(lag.messages as f64);
    metrics::gauge!("sluice_lane_behind_seconds", &labels).set(lag.seconds);
    metrics::gauge!("sluice_lane_queue_bytes", &labels).set(lane.queued_bytes() as f64);
    for (state, name) in STATES {
        let [shard, worker] = labels.clone();
        let gauge = metrics::gauge!("sluice_lane_state", &[shard, worker, ("state", name.to_owned())]);
        gauge.set(f64::from(u8::from(health.state == state)));
    }
}

/// A lane has ended for good: its gauges say nothing any more.
pub fn ended(lane: &Lane) {
    let labels = labels(lane);
    for name in ["sluice_lane_behind_messages", "sluice_lane_behind_seconds", "sluice_lane_queue_bytes"] {
        metrics::gauge!(name, &labels).set(0.0);
    }
    for (_, name) in STATES {
        let [shard, worker] = labels.clone();
        metrics::gauge!("sluice_lane_state", &[shard, worker, ("state", name.to_owned())]).set(0.0);
    }
}
