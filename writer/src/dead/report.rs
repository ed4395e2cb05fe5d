//! What a command tells: a table for people, JSON for programs.

use std::fmt::Display;

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use sluice_journal::{DeadLetter, dead::State};
use sluice_model::EventId;
use sluice_service::output;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{cli::Output, outlook::Outlook};

/// Characters of a reason's text in a table.
const SHORT: usize = 60;
/// A time that nobody knows.
const UNKNOWN: &str = "unknown";

/// A dead letter, as lists show it.
#[derive(Debug, Serialize)]
pub struct Line {
    id: EventId,
    /// Null where nobody's.
    customer: Option<String>,
    reason: String,
    detail: String,
    /// How many events of its message it stands for.
    events: usize,
    /// When its message was stored; null where that is not known.
    when: Option<String>,
    bytes: usize,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<EventId>,
}

/// A dead letter with everything.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    line: Line,
    position: u64,
    index: usize,
    /// The indexes of its events, as ranges.
    indexes: String,
    partition: u16,
    subject: String,
    /// How large it was, where only its beginning was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole_bytes: Option<u64>,
    payload: String,
}

/// What was done about one event.
#[derive(Debug, Serialize)]
pub struct Act {
    id: EventId,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<EventId>,
    detail: String,
}

impl Line {
    fn new(letter: &DeadLetter) -> Self {
        let (state, replayed_as) = match letter.state {
            State::Waiting => ("waiting", None),
            State::Replaying { .. } => ("replaying", None),
            State::Replayed { new } => ("replayed", Some(new)),
            State::Dropped => ("dropped", None),
        };
        Self {
            id: letter.id,
            customer: letter.owner().map(|customer| customer.to_string()),
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            events: letter.events.count(),
            when: letter.time().and_then(when),
            bytes: letter.payload.len(),
            state,
            replayed_as,
        }
    }
}

impl Shown {
    /// Everything about a letter.
    pub fn new(letter: &DeadLetter) -> Self {
        Self {
            line: Line::new(letter),
            position: letter.id.position().get(),
            index: letter.id.index(),
            indexes: letter.events.to_string(),
            partition: letter.id.position().partition().number(),
            subject: letter.subject.clone(),
            whole_bytes: letter.whole_bytes,
            payload: String::from_utf8_lossy(&letter.payload).into_owned(),
        }
    }

    fn text(&self) -> String {
        let Line { id, customer, reason, detail, events, when, bytes, state, replayed_as } = &self.line;
        let customer = customer.as_deref().unwrap_or("nobody's");
        let became = replayed_as.map(|new| format!(", as event {new}")).unwrap_or_default();
        let kept = self.whole_bytes.map(|whole| format!(", the first of {whole}")).unwrap_or_default();
        let when = when.as_deref().unwrap_or(UNKNOWN);
        let Self { position, indexes, partition, subject, payload, .. } = self;
        let which = if *events == 1 { "index".to_owned() } else { format!("{events} events, of the indexes") };
        let lines = [
            format!("event     {id}"),
            format!("customer  {customer}"),
            format!("reason    {reason}: {detail}"),
            format!("stored    {when}, partition {partition}, position {position}, {which} {indexes}"),
            format!("subject   {subject}"),
            format!("state     {state}{became}"),
            format!("bytes     {bytes}{kept}"),
            String::new(),
            payload.clone(),
        ];
        harmless(&lines.join("\n"))
    }
}

impl Act {
    fn new(id: EventId, outcome: &'static str, replayed_as: Option<EventId>, detail: impl Display) -> Self {
        Self { id, outcome, replayed_as, detail: detail.to_string() }
    }

    pub(super) fn replayed(letter: &DeadLetter, new: EventId) -> Self {
        let detail = match letter.events.count() {
            1 => format!("it is event {new} now"),
            events => format!("its {events} events are those from {new} on now"),
        };
        Self::new(letter.id, "replayed", Some(new), detail)
    }

    pub(super) fn replayed_before(id: EventId, new: EventId) -> Self {
        Self::new(id, "replayed_before", Some(new), format!("nothing to do: it is event {new} since an earlier replay"))
    }

    pub(super) fn would_replay(letter: &DeadLetter, shard: &str, outlook: &Outlook) -> Self {
        let events = letter.events.count();
        let of = if events == 1 { "it".to_owned() } else { format!("its {events} events") };
        let (outcome, detail) = match outlook {
            Outlook::Hopeless(why) => {
                let detail =
                    format!("replayed, {of} can only die again: {why}; drop it, or publish it anew as it has to be");
                ("would_die_again", detail)
            }
            Outlook::Partly { dead, why } => {
                ("would_replay", format!("{shard} has no row of {of}; {dead} of them can only die again: {why}"))
            }
            Outlook::Refused => {
                let detail = format!(
                    "{shard} has no row of {of}; its database refused it, and will again unless that is mended: {}",
                    shortened(&letter.detail)
                );
                ("would_replay", detail)
            }
            Outlook::Good => ("would_replay", format!("{shard} has no row of {of}")),
        };
        Self::new(letter.id, outcome, None, detail)
    }

    pub(super) fn would_finish(id: EventId, new: EventId) -> Self {
        Self::new(
            id,
            "would_finish",
            Some(new),
            format!("it was stored as event {new} already, and would be noted as such"),
        )
    }

    pub(super) fn dropped(letter: &DeadLetter) -> Self {
        Self::new(letter.id, "dropped", None, described(letter))
    }

    pub(super) fn would_drop(letter: &DeadLetter) -> Self {
        Self::new(letter.id, "would_drop", None, described(letter))
    }

    pub(super) fn dropped_before(id: EventId) -> Self {
        Self::new(id, "dropped_before", None, "nothing to do: it was dropped earlier")
    }

    pub(super) fn refused(id: EventId, why: &dyn std::error::Error) -> Self {
        Self::new(id, "refused", None, why)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.outcome == "refused"
    }
}

/// Tells which dead letters there are.
///
/// # Errors
/// Where they cannot be made JSON.
pub(super) fn list(output: Output, letters: &[&DeadLetter]) -> anyhow::Result<()> {
    let lines: Vec<_> = letters.iter().map(|letter| Line::new(letter)).collect();
    print(output, &lines, || list_table(&lines).to_string())
}

/// Tells everything about one.
///
/// # Errors
/// Where it cannot be made JSON.
pub(super) fn show(output: Output, shown: &Shown) -> anyhow::Result<()> {
    print(output, shown, || shown.text())
}

/// Tells what was done.
///
/// # Errors
/// Where it cannot be made JSON.
pub(super) fn acts(output: Output, acts: &[Act]) -> anyhow::Result<()> {
    print(output, &acts, || {
        let mut table = table(&["event", "outcome", "detail"]);
        for act in acts {
            table.add_row([right(act.id), Cell::new(act.outcome), Cell::new(harmless(&act.detail))]);
        }
        table.to_string()
    })
}

pub(crate) fn print(output: Output, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match output {
        Output::Table => output::line(text())?,
        Output::Json => output::line(serde_json::to_string_pretty(value)?)?,
    }
    Ok(())
}

fn list_table(lines: &[Line]) -> Table {
    let mut table = table(&["event", "events", "customer", "reason", "stored", "bytes", "state", "detail"]);
    for line in lines {
        let customer = line.customer.as_deref().unwrap_or("_");
        // To the second: that is enough for people.
        let stored = line.when.as_deref().map_or(UNKNOWN, |when| when.get(..19).unwrap_or(when));
        let state = line.replayed_as.map_or(line.state.to_owned(), |new| format!("{} as {new}", line.state));
        let detail = shortened(&harmless(&line.detail));
        table.add_row([
            right(line.id),
            right(line.events),
            Cell::new(customer),
            Cell::new(&line.reason),
            Cell::new(stored),
            right(line.bytes),
            Cell::new(state),
            Cell::new(detail),
        ]);
    }
    table
}

pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(columns.iter().copied());
    table
}

pub(crate) fn right(number: impl Display) -> Cell {
    Cell::new(number.to_string()).set_alignment(CellAlignment::Right)
}

fn described(letter: &DeadLetter) -> String {
    let (events, bytes) = (letter.events.count(), letter.payload.len());
    let several = if events == 1 { String::new() } else { format!("{events} events, ") };
    format!("customer {}, {}: {} ({several}{bytes} bytes)", letter.customer, letter.reason, shortened(&letter.detail))
}

fn when(stamp: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(stamp.into()).ok()?.format(&Rfc3339).ok()
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHORT { text.to_owned() } else { text.chars().take(SHORT - 1).chain(['…']).collect() }
}

/// What a stranger has sent must not steer the terminal that it is shown on.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead::select::tests::letter;

    #[test]
    fn json_has_ids_as_texts_and_the_whole_event_and_a_table_is_short_and_harmless() {
        let new = letter(9, "1", "too_long", State::Waiting).id;
        let long = DeadLetter { detail: "x".repeat(500), ..letter(1, "_", "too_long", State::Replayed { new }) };
        let json = serde_json::to_value(Line::new(&long)).unwrap();
        let expected = serde_json::json!({ "id": "1025", "customer": null, "reason": "too_long", "detail": long.detail,
            "events": 1, "when": "2023-11-14T22:13:20Z", "bytes": 3, "state": "replayed", "replayed_as": "1033" });
        assert_eq!(json, expected);
        let table = list_table(&[Line::new(&long)]).to_string();
        assert!(table.contains("2023-11-14T22:13:20 ") && table.contains("replayed as 1033"), "{table}");
        assert!(!table.contains(&"x".repeat(SHORT)) && table.contains('…'), "{table}");

        let timeless = DeadLetter { stamp: 0, ..letter(1, "42", "refused_by_shard", State::Dropped) };
        assert_eq!(serde_json::to_value(Line::new(&timeless)).unwrap()["when"], serde_json::Value::Null);
        let texts = [Shown::new(&timeless).text(), list_table(&[Line::new(&timeless)]).to_string()];
        assert!(texts.iter().all(|text| text.contains("unknown") && !text.contains("1970")), "{texts:?}");

        let several = DeadLetter { events: "1-3,9".parse().unwrap(), ..letter(1, "42", "too_long", State::Waiting) };
        let text = Shown::new(&several).text();
        assert!(text.contains("position 1, 4 events, of the indexes 1-3,9\n"), "{text}");
        assert!(Act::dropped(&several).detail.contains("(4 events, 3 bytes)"));

        let shown = Shown::new(&letter(1, "42", "too_long", State::Waiting));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!((&json["payload"], &json["customer"]), (&"{\n\u{1b}".into(), &"42".into()));
        assert_eq!((&json["position"], &json["index"]), (&1.into(), &1.into()));
        let text = shown.text();
        assert!(text.contains("customer  42") && text.contains("position 1, index 1\n"), "{text}");
        assert!(text.ends_with("{\n\u{fffd}") && !text.contains('\u{1b}'), "{text}");
    }
}
