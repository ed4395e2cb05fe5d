//! How a run is told: a table for people, or one JSON object for programs.

use comfy_table::{CellAlignment, Table, presets};
use sluice_service::output;

use crate::{
    part::Part,
    summary::{PhaseSummary, Summary},
};

impl Summary {
    /// Prints it on standard output.
    ///
    /// # Errors
    /// Where it cannot be made JSON, or not be written.
    pub fn tell(&self, json: bool) -> anyhow::Result<()> {
        if json {
            output::line(serde_json::to_string(self)?)?;
        } else {
            output::line(self.text())?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let way = if self.via == "http" { "over HTTP" } else { "over NATS" };
        let mut tables = Vec::new();
        // One phase is the whole.
        if self.phases.len() > 1 {
            tables.extend(self.phases.iter().map(|phase| table(&title(phase), &phase.part)));
        }
        tables.push(table(way, &self.whole));
        let examples = self.examples.iter().map(|(cause, said)| format!("first {cause}: {}", said.trim()));
        tables.into_iter().chain(examples).collect::<Vec<_>>().join("\n")
    }
}

fn title(phase: &PhaseSummary) -> String {
    match phase.asked.rate {
        Some(rate) => format!("phase {}, {rate} a second", phase.phase),
        None => format!("phase {}", phase.phase),
    }
}

fn table(title: &str, part: &Part) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(vec![title.to_owned(), format!("in {:.1} s", part.seconds)]);
    let mut row = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), value]);
    };
    row("accepted", part.accepted.to_string());
    row("per second", format!("{:.0}", part.rate));
    row("failed", part.failed.to_string());
    for (cause, events) in &part.failures {
        row(&format!("  {cause}"), events.to_string());
    }
    let some = [
        ("bad, and rejected", part.rejected),
        ("bad, and published", part.bad_published),
        ("sent twice, stored once", part.replayed),
        ("starts that were late", part.starts.late),
        ("never started", part.starts.never),
    ];
    for (name, count) in some.into_iter().filter(|(_, count)| *count > 0) {
        row(name, count.to_string());
    }
    if part.starts.worst_lag_us > 0 {
        row("worst lag of a start", milliseconds(part.starts.worst_lag_us));
    }
    for (name, microseconds) in part.latency_us.named() {
        row(&format!("latency {name}"), milliseconds(microseconds));
    }
    if part.commits.committed + part.commits.not_committed_in_time > 0 {
        row("told of the commit", part.commits.committed.to_string());
        row("not committed in time", part.commits.not_committed_in_time.to_string());
        for (name, microseconds) in part.commits.latency_us.named() {
            row(&format!("commit {name}"), milliseconds(microseconds));
        }
    }
    table.column_mut(1).expect("there are two columns").set_cell_alignment(CellAlignment::Right);
    table.to_string()
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03} ms", microseconds / 1_000, microseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::summary;

    #[test]
    fn the_table_names_each_cause_and_what_was_said_first() {
        let text = summary().text();
        for wanted in ["accepted", "100", "  503", "latency p99.9", "first 503: full"] {
            assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
        }
        assert_eq!(milliseconds(1_002), "1.002 ms");
    }

    #[test]
    fn each_phase_has_its_table_and_what_there_was_none_of_has_no_line() {
        let mut summary = summary();
        let text = summary.text();
        for wanted in ["phase 1, 50.5 a second", "phase 2", "over NATS", "never started"] {
            assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
        }
        assert!(!text.contains("commit") && !text.contains("bad"), "{text}");
        summary.phases.truncate(1);
        summary.whole.commits.committed = 1;
        let text = summary.text();
        assert!(!text.contains("phase") && text.contains("commit p50"), "{text}");
    }
}
