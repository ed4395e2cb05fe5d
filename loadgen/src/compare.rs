//! Two results side by side: every number of both, and the second as a multiple of the first.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;
use sluice_service::output;

use crate::args::{CompareArgs, Output};

/// Both results' numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// By name; a number within another object is named `latency_us.p50`, one of a phase `phases.1.rate`.
    pub numbers: BTreeMap<String, Pair>,
}

/// A number of both results; `None` where one lacks it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    /// Of the first.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
    /// The second by the first; `None` where one is missing, or the first is 0.
    pub ratio: Option<f64>,
}

/// Reads both results.
///
/// # Errors
/// Where a file is not what `loadgen run --json` prints.
pub fn run(args: &CompareArgs) -> anyhow::Result<Comparison> {
    Ok(Comparison::of(&read(&args.a)?, &read(&args.b)?))
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let result: Value = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    let is_one = result["accepted"].is_number() && result["rate"].is_number();
    anyhow::ensure!(is_one, "{} is not what `loadgen run --json` prints", path.display());
    Ok(result)
}

impl Comparison {
    /// Puts the numbers of two results side by side.
    pub fn of(a: &Value, b: &Value) -> Self {
        let (mut of_a, mut of_b) = (BTreeMap::new(), BTreeMap::new());
        collect(String::new(), a, &mut of_a);
        collect(String::new(), b, &mut of_b);
        let names: std::collections::BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
        let pair = |name: &String| {
            let (a, b) = (of_a.get(name).copied(), of_b.get(name).copied());
            let ratio = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| b / a);
            Pair { a, b, ratio }
        };
        Self { numbers: names.into_iter().map(|name| (name.clone(), pair(name))).collect() }
    }

    /// Prints it on standard output.
    ///
    /// # Errors
    /// Where it cannot be made JSON.
    pub fn tell(&self, output: Output) -> anyhow::Result<()> {
        match output {
            Output::Json => output::line(serde_json::to_string(self)?)?,
            Output::Table => output::line(self.table())?,
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(vec!["", "A", "B", "B / A"]);
        for (name, pair) in &self.numbers {
            let ratio = pair.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            table.add_row(vec![name.clone(), number(pair.a), number(pair.b), ratio]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

/// Every number below a value, under its path.
fn collect(path: String, value: &Value, numbers: &mut BTreeMap<String, f64>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Number(number) => drop(number.as_f64().map(|number| numbers.insert(path, number))),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(below(name), value, numbers)),
        Value::Array(list) => {
            list.iter().zip(1..).for_each(|(value, place)| collect(below(&place.to_string()), value, numbers));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn number(number: Option<f64>) -> String {
    match number {
        None => "-".to_owned(),
        Some(number) if number.fract() == 0.0 => format!("{number:.0}"),
        Some(number) => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::summary::tests::summary;

    #[test]
    fn every_number_is_compared_and_what_one_lacks_has_no_ratio() {
        let a =
            json!({ "via": "http", "rate": 100.0, "failed": 0, "latency_us": { "p50": 10 }, "failures": { "503": 2 } });
        let b =
            json!({ "via": "nats", "rate": 150.0, "failed": 3, "latency_us": { "p50": 5 }, "phases": [{ "rate": 1 }] });
        let numbers = Comparison::of(&a, &b).numbers;
        assert_eq!(numbers["rate"], Pair { a: Some(100.0), b: Some(150.0), ratio: Some(1.5) });
        assert_eq!(numbers["latency_us.p50"].ratio, Some(0.5));
        assert_eq!(numbers["failed"].ratio, None);
        assert_eq!(numbers["failures.503"], Pair { a: Some(2.0), b: None, ratio: None });
        assert_eq!(numbers["phases.1.rate"].b, Some(1.0));
        assert!(!numbers.contains_key("via"));
    }

    #[test]
    fn what_a_run_prints_can_be_compared_and_anything_else_is_refused() {
        let path = std::env::temp_dir().join(format!("loadgen-compare-{}.json", std::process::id()));
        std::fs::write(&path, serde_json::to_string(&summary()).unwrap()).unwrap();
        let args = CompareArgs { a: path.clone(), b: path.clone(), output: Output::Table, json: false };
        let table = run(&args).unwrap().table();
        assert!(table.contains("latency_us.p99.9") && table.contains("1.000"), "{table}");
        std::fs::write(&path, "{}").unwrap();
        assert!(run(&args).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
