//! What a run did, as one JSON object. `loadgen run --json` prints it, `loadgen compare` compares two of them, and
//! `told` makes a table of it.
//!
//! The object has `via`, `seed`, every field of a [`Part`] for the run as a whole, and `phases`: for each phase `phase` (from 1),
//! `asked` (what was asked of it) and a [`Part`]'s fields again. Times are in seconds, or in microseconds where the name ends in `_us`.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{args::Via, part::Part, phase::Phase, tally::Tally};

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The way in.
    pub via: &'static str,
    /// The seed of its persons.
    pub seed: u64,
    /// All phases together.
    #[serde(flatten)]
    pub whole: Part,
    /// One for each phase that was begun.
    pub phases: Vec<PhaseSummary>,
    /// What was said the first time, by cause.
    #[serde(skip)]
    pub examples: BTreeMap<String, String>,
}

/// What one phase did.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseSummary {
    /// Its number, from 1.
    pub phase: usize,
    /// What was asked of it.
    pub asked: Asked,
    /// What came of that.
    #[serde(flatten)]
    pub part: Part,
}

/// What was asked of a phase; what nothing was said of is not there.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Asked {
    /// Events per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// How long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Requests in flight at most.
    pub concurrency: usize,
}

impl Summary {
    /// Sums a run up: all of it together, and its phases.
    pub fn new(via: Via, seed: u64, phases: Vec<PhaseSummary>, tally: &Tally, took: Duration) -> Self {
        let never = phases.iter().map(|phase| phase.part.starts.never).sum();
        Self {
            via: match via {
                Via::Http => "http",
                Via::Nats => "nats",
            },
            seed,
            whole: Part::new(tally, took, never),
            phases,
            examples: tally.failures.iter().map(|(cause, found)| (cause.clone(), found.example.clone())).collect(),
        }
    }
}

impl PhaseSummary {
    /// Sums a phase up, `never` of whose events did not start.
    pub fn new(index: usize, phase: &Phase, concurrency: usize, tally: &Tally, took: Duration, never: u64) -> Self {
        let asked = Asked { rate: phase.rate, seconds: phase.seconds, count: phase.count, concurrency };
        Self { phase: index + 1, asked, part: Part::new(tally, took, never) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tally::tests::note;

    /// A run of two phases; the first did everything.
    pub(crate) fn summary() -> Summary {
        let mut tally = Tally::default();
        for milliseconds in 1..=100 {
            note(&mut tally, 1, Duration::from_millis(milliseconds), None);
        }
        note(&mut tally, 1, Duration::ZERO, Some(("503", "full\n")));
        let open = Phase { rate: Some(50.5), seconds: Some(2.0), ..Phase::default() };
        let phases = vec![
            PhaseSummary::new(0, &open, 7, &tally, Duration::from_secs(2), 9),
            PhaseSummary::new(
                1,
                &Phase { count: Some(1), ..Phase::default() },
                7,
                &Tally::default(),
                Duration::ZERO,
                0,
            ),
        ];
        Summary::new(Via::Nats, 3, phases, &tally, Duration::from_secs(2))
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        let json = serde_json::to_value(summary()).unwrap();
        assert_eq!(json["via"], "nats");
        assert_eq!((&json["accepted"], &json["failed"]), (&100.into(), &1.into()));
        assert_eq!(json["failures"], serde_json::json!({ "503": 1 }));
        assert_eq!(json["seconds"], 2.0);
        assert_eq!(json["rate"], 50.0);
        let p50 = json["latency_us"]["p50"].as_u64().unwrap();
        assert!((49_900..=50_100).contains(&p50), "{p50}");
        assert!(json["latency_us"]["p99.9"].as_u64().unwrap() >= 99_900);
        let part = [
            "accepted",
            "bad_published",
            "commits",
            "failed",
            "failures",
            "latency_us",
            "rate",
            "rejected",
            "replayed",
            "requests",
            "seconds",
            "starts",
        ];
        let keys = |json: &serde_json::Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let with = |more: &[&str]| {
            let mut keys: Vec<_> = part.iter().chain(more).map(ToString::to_string).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(&json), with(&["phases", "seed", "via"]));
        assert_eq!(keys(&json["phases"][0]), with(&["asked", "phase"]));
        assert_eq!(json["phases"][0]["asked"], serde_json::json!({ "rate": 50.5, "seconds": 2.0, "concurrency": 7 }));
        assert_eq!((&json["starts"]["never"], &json["phases"][1]["phase"]), (&9.into(), &2.into()));
    }

    #[test]
    fn a_run_without_success_has_no_latency() {
        let nothing = Summary::new(Via::Http, 1, Vec::new(), &Tally::default(), Duration::ZERO).whole;
        assert_eq!((nothing.latency_us.p50, nothing.latency_us.max, nothing.rate), (0, 0, 0.0));
    }
}
