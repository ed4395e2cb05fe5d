//! Findings as a table.

use std::{collections::BTreeMap, fmt};

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    cpu::Role,
    finding::{Finding, Goal, Round},
};

/// A table for people.
pub struct Report<'a>(pub &'a [Finding]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "what", "ours", "against", "that", "figure", "rounds", "goal", "", "µs of CPU an event"]);
        for finding in self.0 {
            let Round { ours, other, figure } = finding.median();
            let rounds: Vec<_> = finding.rounds.iter().map(|round| short(round.figure)).collect();
            let verdict = match finding.goal {
                Goal::Known => "",
                _ if finding.is_met() => "met",
                _ => "MISSED",
            };
            let measured = |number| format!("{} {}", short(number), finding.unit);
            table.add_row([
                finding.scenario.to_string(),
                finding.what.clone(),
                measured(ours),
                finding.against.clone(),
                measured(other),
                short(figure),
                rounds.join(" "),
                finding.goal.to_string(),
                verdict.to_owned(),
                by_process(&finding.cpu_us),
                by_process(&finding.other_cpu_us),
            ]);
        }
        for column in [2, 4, 5] {
            table.column_mut(column).expect("there are eleven columns").set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}

fn by_process(cpu_us: &BTreeMap<Role, f64>) -> String {
    let each: Vec<_> =
        cpu_us.iter().map(|(role, us)| format!("{} {us:.2}", format!("{role:?}").to_lowercase())).collect();
    each.join("\n")
}

/// Three digits that mean something, or all that stand before the point.
fn short(number: f64) -> String {
    match number.abs() {
        large if large >= 1_000.0 => indicatif::HumanFloatCount(number.round()).to_string(),
        large if large >= 100.0 => format!("{number:.0}"),
        middle if middle >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_missed() {
        let finding = |goal| Finding {
            scenario: 'A',
            what: "drain".to_owned(),
            against: "COPY".to_owned(),
            unit: "s",
            goal,
            rounds: vec![Round::ratio(4.0, 2.0)],
            cpu_us: [(crate::cpu::Role::Writer, 3.0)].into(),
            other_cpu_us: [(crate::cpu::Role::Bench, 2.0)].into(),
        };
        let table = Report(&[finding(Goal::AtMost(1.5)), finding(Goal::AtMost(2.0))]).to_string();
        assert!(
            table.contains("MISSED")
                && table.contains("met")
                && table.contains("writer 3.00")
                && table.contains("bench 2.00"),
            "{table}"
        );
        assert_eq!(
            (short(1_234_567.8), short(123.4), short(12.34), short(1.234)),
            ("1,234,568".into(), "123".into(), "12.3".into(), "1.23".into())
        );
    }
}
