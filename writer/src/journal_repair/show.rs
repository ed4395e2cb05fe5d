//! What `writer journal show` tells.

use serde::Serialize;
use sluice_journal::repair::{AcceptedLoss, Standing};
use sluice_model::{Partition, Position};

use super::{
    look::{Look, Reading},
    loss::{self, Cause, Kept, Loss, LostRange},
    plan::Seen,
};
use crate::dead::{
    cli::Output,
    report::{print, right, table},
};

/// One partition.
#[derive(Debug, Serialize)]
pub struct Line {
    partition: Partition,
    first: Position,
    last: Position,
    messages: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    /// It takes no events: a repair was interrupted.
    shut: bool,
    /// A repair was begun, and not finished.
    repair_unfinished: bool,
    /// What is gone for good, and was not accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<LostLine>,
    /// Losses that somebody has accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accepted: Vec<AcceptedLoss>,
    shards: Vec<State>,
}

/// A range of positions whose messages are gone.
#[derive(Debug, Serialize)]
struct LostLine {
    from: Position,
    through: Position,
    cause: Cause,
    /// The shards that lack something of it.
    shards: Vec<String>,
}

#[derive(Debug, Serialize)]
struct State {
    shard: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<i64>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A line for each partition.
pub fn lines(journal_id: &str, readings: &[Reading], looks: &[Look]) -> Vec<Line> {
    looks.iter().map(|look| Line::new(journal_id, readings, look)).collect()
}

/// Whether every shard's state is good, in every partition.
pub fn all_good(lines: &[Line]) -> bool {
    let good = |state: &State| matches!(state.state, "ok" | "repaired" | "accepted");
    let whole = |line: &Line| !line.shut && !line.repair_unfinished && line.lost.is_empty();
    lines.iter().all(|line| whole(line) && line.shards.iter().all(good))
}

/// Tells them.
///
/// # Errors
/// Where they cannot be made JSON.
pub fn tell(output: Output, lines: &[Line]) -> anyhow::Result<()> {
    print(output, &lines, || text(lines))
}

impl Line {
    fn new(journal_id: &str, readings: &[Reading], look: &Look) -> Self {
        let Look { partition, bounds, record, shut, seen, .. } = look;
        let states = readings.iter().map(|reading| state(journal_id, reading, seen, look.kept()));
        Self {
            partition: *partition,
            first: bounds.first,
            last: bounds.last,
            messages: bounds.messages,
            bytes: bounds.bytes,
            max_bytes: bounds.max_bytes,
            shut: *shut,
            repair_unfinished: record.unfinished().is_some(),
            lost: lost(look),
            accepted: record.accepted.clone(),
            shards: states.collect(),
        }
    }
}

fn lost(look: &Look) -> Vec<LostLine> {
    let ranges = Loss::of(look.kept(), &look.seen, &[]).map(|loss| loss.ranges).unwrap_or_default();
    let lost = |LostRange { after, through, cause, lacking }| {
        let shards = lacking.into_iter().map(|(shard, ..)| shard).collect();
        LostLine { from: after.next(), through, cause, shards }
    };
    ranges.into_iter().map(lost).collect()
}

fn state(journal_id: &str, reading: &Reading, seen: &[Seen], kept: Kept<'_>) -> State {
    let shard = reading.shard.clone();
    let seen = seen.iter().find(|seen| seen.shard == shard);
    let (stored, stamp) = (seen.map(|seen| seen.stored), seen.map(|seen| seen.stamp).filter(|stamp| *stamp != 0));
    let (state, detail) = match (&reading.said, seen) {
        (Err(why), _) => ("unreadable", Some(why.clone())),
        (Ok(said), _) if said.journal_id != journal_id => ("other journal", Some(said.journal_id.clone())),
        (Ok(_), None) => ("unreadable", Some("it has no stored position of this partition".to_owned())),
        (Ok(_), Some(seen)) => match seen.standing {
            Standing::Sound | Standing::Repaired => reach(kept, seen),
            Standing::Gone => ("unseen", Some("the message there is gone: writer journal repair".to_owned())),
            Standing::Unfinished => {
                ("unfinished", Some("a repair that concerns it has to be completed before it reads on".to_owned()))
            }
            Standing::Beyond { last } => ("beyond the end", Some(format!("the journal ends at {last:?}"))),
            Standing::Replaced { found } => {
                let detail = format!("written at {} ns, what stands there at {found} ns", seen.stamp);
                ("replaced", Some(detail))
            }
        },
    };
    State { shard, stored, stamp, state, detail }
}

/// Whether the journal reaches back to a shard whose own message it has, or that a repair has seen
/// to, and on from there.
fn reach(kept: Kept<'_>, seen: &Seen) -> (&'static str, Option<String>) {
    let (first, last_lost) = (kept.first, kept.first.previous());
    if loss::is_cut_off(kept, seen) {
        return if loss::is_accepted(kept, seen, seen.stored, last_lost) {
            ("accepted", Some(format!("it goes on at {first:?}")))
        } else {
            ("lacks", Some(format!("the journal begins at {first:?}: writer journal repair")))
        };
    }
    let ahead = kept.holes.iter().find(|(after, through)| {
        let behind = seen.stored.max(*after);
        behind < *through && !loss::is_accepted(kept, seen, behind, *through)
    });
    match ahead {
        Some((after, through)) => {
            ("stops ahead", Some(format!("{:?} to {through:?} are gone: writer journal repair", after.next())))
        }
        None if seen.standing == Standing::Repaired => ("repaired", None),
        None => ("ok", None),
    }
}

fn text(lines: &[Line]) -> String {
    let mut table = table(&["partition", "first", "last", "messages", "bytes", "shard", "stored", "state", "detail"]);
    for line in lines {
        let position = |position: Position| right(format!("{position:?}"));
        for (index, state) in line.shards.iter().enumerate() {
            // The partition is told once.
            let once = |cell: comfy_table::Cell| if index == 0 { cell } else { comfy_table::Cell::new("") };
            table.add_row([
                once(right(line.partition)),
                once(position(line.first)),
                once(position(line.last)),
                once(right(line.messages)),
                once(right(line.bytes)),
                comfy_table::Cell::new(&state.shard),
                state.stored.map_or_else(|| comfy_table::Cell::new(""), position),
                comfy_table::Cell::new(state.state),
                comfy_table::Cell::new(state.detail.as_deref().unwrap_or_default()),
            ]);
        }
    }
    let mut text = table.to_string();
    for line in lines.iter().filter(|line| line.shut || line.repair_unfinished) {
        let shut = if line.shut { ", and takes no events until then" } else { "" };
        text.push_str(&format!(
            "\nPartition {}: a repair was begun and not finished{shut}: writer journal repair goes on with it",
            line.partition
        ));
    }
    for line in lines {
        for LostLine { from, through, shards, .. } in line.lost.iter().filter(|lost| lost.from <= lost.through) {
            let shards = if shards.is_empty() { "those to come".to_owned() } else { shards.join(", ") };
            text.push_str(&format!(
                "\nPartition {}: {from:?} to {through:?} are gone, for {shards}: writer journal repair tells more",
                line.partition
            ));
        }
        for loss in &line.accepted {
            text.push_str(&format!("\nPartition {}: {loss}", line.partition));
        }
    }
    text
}
