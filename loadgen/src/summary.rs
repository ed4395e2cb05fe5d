//! How a run is told: a table for people, or one JSON object for programs.

use std::{collections::BTreeMap, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{args::Via, tally::Tally};

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The way in.
    pub via: &'static str,
    /// Events that are stored.
    pub accepted: u64,
    /// Events that are not, or of which nobody knows.
    pub failed: u64,
    /// The latter by cause: an HTTP status, or a word.
    pub failures: BTreeMap<String, u64>,
    /// How long it took.
    pub seconds: f64,
    /// Accepted events per second.
    pub rate: f64,
    /// How long accepted requests took.
    pub latency_us: Latency,
    /// What was said the first time, by cause.
    #[serde(skip)]
    pub examples: BTreeMap<String, String>,
}

/// Quantiles, in microseconds; all 0 where nothing was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// One in ten took longer.
    pub p90: u64,
    /// One in a hundred took longer.
    pub p99: u64,
    /// One in a thousand took longer.
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Summary {
    /// Sums a run up.
    pub fn new(via: Via, tally: &Tally, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let quantile = |q| tally.latency_us.value_at_quantile(q);
        #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
        let rate = if seconds > 0.0 { tally.accepted as f64 / seconds } else { 0.0 };
        Self {
            via: match via {
                Via::Http => "http",
                Via::Nats => "nats",
            },
            accepted: tally.accepted,
            failed: tally.failed(),
            failures: tally.failures.iter().map(|(cause, failures)| (cause.clone(), failures.events)).collect(),
            seconds,
            rate,
            latency_us: Latency {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                p99_9: quantile(0.999),
                max: tally.latency_us.max(),
            },
            examples: tally.failures.iter().map(|(cause, found)| (cause.clone(), found.example.clone())).collect(),
        }
    }

    /// Prints it on standard output.
    ///
    /// # Errors
    /// Where it cannot be made JSON.
    #[allow(clippy::print_stdout, reason = "this is the command's report")]
    pub fn tell(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.table());
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let way = if self.via == "http" { "over HTTP" } else { "over NATS" };
        table.set_header(vec![way.to_owned(), format!("in {:.1} s", self.seconds)]);
        table.add_row(vec!["accepted".to_owned(), self.accepted.to_string()]);
        table.add_row(vec!["per second".to_owned(), format!("{:.0}", self.rate)]);
        table.add_row(vec!["failed".to_owned(), self.failed.to_string()]);
        for (cause, events) in &self.failures {
            table.add_row(vec![format!("  {cause}"), events.to_string()]);
        }
        let Latency { p50, p90, p99, p99_9, max } = self.latency_us;
        for (name, microseconds) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p99_9), ("max", max)] {
            table.add_row(vec![format!("latency {name}"), milliseconds(microseconds)]);
        }
        table.column_mut(1).expect("there are two columns").set_cell_alignment(CellAlignment::Right);
        let examples = self.examples.iter().map(|(cause, said)| format!("\nfirst {cause}: {}", said.trim()));
        std::iter::once(table.to_string()).chain(examples).collect()
    }
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03} ms", microseconds / 1_000, microseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Failure;

    fn summary() -> Summary {
        let mut tally = Tally::default();
        for milliseconds in 1..=100 {
            tally.note(1, Duration::from_millis(milliseconds), Ok(()));
        }
        tally.note(1, Duration::ZERO, Err(Failure { cause: "503".into(), detail: "full\n".into() }));
        Summary::new(Via::Nats, &tally, Duration::from_secs(2))
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
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["accepted", "failed", "failures", "latency_us", "rate", "seconds", "via"]);
    }

    #[test]
    fn the_table_names_each_cause_and_what_was_said_first() {
        let text = summary().table();
        for wanted in ["accepted", "100", "  503", "latency p99.9", "first 503: full"] {
            assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
        }
        assert_eq!(milliseconds(1_002), "1.002 ms");
    }

    #[test]
    fn a_run_without_success_has_no_latency() {
        let nothing = Summary::new(Via::Http, &Tally::default(), Duration::ZERO);
        assert_eq!((nothing.latency_us.p50, nothing.latency_us.max, nothing.rate), (0, 0, 0.0));
    }
}
