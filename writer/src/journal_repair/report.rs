//! What `writer journal repair` tells: a table and sentences for people, JSON for programs.

use std::fmt::Write;

use serde::Serialize;
use sluice_journal::repair::Way;
use sluice_model::{EventId, Partition, Position};

use super::{
    decision::Decision,
    losses::LossTold,
    plan::Work,
    scan::{Copied, Scanned},
};
use crate::dead::{
    cli::Output,
    report::{print, right, table},
};

/// Everything.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The journal's id.
    pub journal: String,
    /// Whether it was done; else it is what would be done.
    pub done: bool,
    /// The partitions that are repaired.
    pub partitions: Vec<Part>,
    /// Partitions that take events again: a repair had shut them, and died.
    pub opened: Vec<Partition>,
    /// Shards that are given over.
    pub given_over: Vec<GivenOver>,
    /// What is gone for good.
    pub losses: Vec<LossTold>,
    /// Why nothing is done, or not all.
    pub refused: Vec<String>,
}

/// A shard of another journal.
#[derive(Debug, Serialize)]
pub struct GivenOver {
    /// Its name.
    pub shard: String,
    /// The journal that it belonged to.
    pub from_journal: String,
}

/// One partition.
#[derive(Debug, Serialize)]
pub struct Part {
    partition: Partition,
    /// `fill` or `jump`.
    way: &'static str,
    /// Fillers that are needed; others may publish meanwhile, and fewer are then.
    fillers: u64,
    /// No position up to here is given from now on.
    through: Position,
    /// What each shard has that the journal lost: its rows stay, and no other shard has any of it.
    lost: Vec<LostOn>,
    /// Messages that were given positions which shards have stored already.
    given_again: u64,
    /// Those that have to be copied still.
    to_copy: u64,
    /// Those whose customer is placed nowhere yet: placing decides whether they are copied. Only where nothing is done.
    unplaced: u64,
    /// Those that are dead letters.
    dead: u64,
    /// Those that were copied: their events have new ids.
    copied: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct LostOn {
    shard: String,
    /// The first lost position.
    from: Position,
    /// The last that the shard has stored.
    through: Position,
}

/// A copied message's events.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    /// The id of the first in the answer that its publisher got. A row of that id is another's.
    old: EventId,
    /// The id of the first now.
    new: EventId,
    /// How many: their ids follow one by one.
    events: usize,
}

impl Part {
    /// What is to be done, or was, with what was found while looking.
    pub fn new(partition: Partition, work: &Work, scanned: Option<&Scanned>) -> Self {
        let lost = work.lost.iter().filter(|lost| lost.cut < lost.stored);
        let lost = lost.map(|lost| LostOn { shard: lost.shard.clone(), from: lost.cut.next(), through: lost.stored });
        let copied = scanned.into_iter().flat_map(Scanned::copied).map(|Copied { customer, old, new, events }| Line {
            customer: customer.map(Into::into),
            old,
            new,
            events,
        });
        Self {
            partition,
            way: match work.way {
                Way::Fill => "fill",
                Way::Jump { .. } => "jump",
            },
            fillers: work.fillers,
            through: work.top,
            lost: lost.collect(),
            given_again: scanned.map_or(0, |scanned| scanned.given_again),
            to_copy: scanned.map_or(0, Scanned::to_copy),
            unplaced: scanned.map_or(0, |scanned| scanned.unplaced),
            dead: scanned.map_or(0, |scanned| scanned.strays),
            copied: copied.collect(),
        }
    }

    /// What is lost, for people.
    fn sentences(&self, text: &mut String) {
        let partition = self.partition;
        if let Some(first) = self.lost.iter().map(|lost| lost.from).min() {
            let shards: Vec<_> =
                self.lost.iter().map(|lost| format!("{} up to {:?}", lost.shard, lost.through)).collect();
            let through = self.through;
            let shards = shards.join(", ");
            let _ = writeln!(
                text,
                "Partition {partition} lost what stood from {first:?} to {through:?}. Of that there is what these shards have stored \
                 of their own: {shards}. Their rows stay. Nothing is left of what was other shards'."
            );
        }
        if self.unplaced > 0 {
            let messages = self.unplaced;
            let _ = writeln!(
                text,
                "Partition {partition}: {messages} messages are of customers who are placed nowhere yet. They are placed (or refused) \
                 when it is done, and copied where their shard will not read them."
            );
        }
    }
}

impl Report {
    /// Of what was decided, and nothing looked at yet.
    pub fn new(journal: &str, decision: &Decision) -> Self {
        let given_over =
            decision.foreign.iter().map(|(shard, from)| GivenOver { shard: shard.clone(), from_journal: from.clone() });
        Self {
            journal: journal.to_owned(),
            given_over: given_over.collect(),
            opened: decision.shut.clone(),
            refused: decision.refused.iter().chain(&decision.away).cloned().collect(),
            ..Self::default()
        }
    }

    /// This, and what is left to be done; that alone where nothing was done.
    pub fn and_left(mut self, left: Self) -> Self {
        let nothing = self.partitions.is_empty() && self.given_over.is_empty() && self.opened.is_empty();
        if nothing && self.losses.is_empty() {
            return left;
        }
        self.losses.extend(left.losses);
        self.refused.extend(left.refused);
        self
    }

    /// Tells it.
    ///
    /// # Errors
    /// Where it cannot be made JSON.
    pub fn tell(&self, output: Output) -> anyhow::Result<()> {
        print(output, self, || self.text())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.partitions.is_empty() {
            let _ = writeln!(text, "{}", self.table());
        }
        self.partitions.iter().for_each(|part| part.sentences(&mut text));
        for GivenOver { shard, from_journal } in &self.given_over {
            let verb = if self.done { "was" } else { "is to be" };
            let _ = writeln!(text, "Shard {shard} {verb} given over from journal {from_journal} to {}.", self.journal);
        }
        for partition in &self.opened {
            let verb = if self.done { "takes" } else { "is to take" };
            let _ = writeln!(text, "Partition {partition} {verb} events again: a repair had shut it, and died.");
        }
        let copies: u64 = self.partitions.iter().map(|part| part.to_copy + part.copied.len() as u64).sum();
        if copies > 0 {
            text.push_str(
                "The events of copied messages get new ids: their publishers were told ids that other rows bear. -o json names both.\n",
            );
        }
        self.losses.iter().for_each(|loss| loss.sentences(&mut text));
        for refused in &self.refused {
            let _ = writeln!(text, "REFUSED: {refused}");
        }
        let nothing = self.partitions.is_empty() && self.given_over.is_empty() && self.opened.is_empty();
        if nothing && self.losses.is_empty() && self.refused.is_empty() {
            text.push_str(
                "Nothing to repair: what every shard has stored is what the journal holds, and what each lacks is there.\n",
            );
        }
        text.trim_end().to_owned()
    }

    fn table(&self) -> comfy_table::Table {
        let copies = if self.done { "copied" } else { "to copy" };
        let mut table = table(&["partition", "way", "fillers", "goes on after", "given again", copies, "dead letters"]);
        for part in &self.partitions {
            let copies = if self.done { part.copied.len() as u64 } else { part.to_copy };
            table.add_row([
                right(part.partition),
                comfy_table::Cell::new(part.way),
                right(part.fillers),
                right(format!("{:?}", part.through)),
                right(part.given_again),
                right(copies),
                right(part.dead),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use sluice_journal::repair::Lost;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(2)).get() + n).unwrap()
    }

    fn work() -> Work {
        let lost =
            |shard: &str, cut, stored| Lost { shard: shard.to_owned(), cut: at(cut), stored: at(stored), stamp: 9 };
        let lost = vec![lost("a", 4, 8), lost("b", 6, 7), lost("follows", 9, 9)];
        Work { lost, way: Way::Fill, top: at(8), fillers: 3, cut: at(4), through: at(9), replaces: None }
    }

    #[test]
    fn the_report_says_what_is_lost_and_where_it_still_is() {
        let part = Part::new(Partition::new(2), &work(), None);
        let report = Report { partitions: vec![part], journal: "j".to_owned(), ..Report::default() };
        let text = report.text();
        assert!(
            text.contains("from 2/5 to 2/8") && text.contains("a up to 2/8, b up to 2/7. Their rows stay"),
            "{text}"
        );
        assert!(!text.contains("follows") && text.contains("to copy"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        let lost = &json["partitions"][0]["lost"];
        assert_eq!(lost[1], serde_json::json!({ "shard": "b", "from": at(7).get(), "through": at(7).get() }));
        assert_eq!((&json["done"], &json["partitions"][0]["way"]), (&false.into(), &"fill".into()));
    }

    #[test]
    fn nothing_to_do_is_said_and_so_is_every_refusal() {
        assert!(Report::default().text().contains("Nothing to repair"));
        let refused = Report { refused: vec!["one".to_owned(), "two".to_owned()], ..Report::default() };
        assert_eq!(refused.text(), "REFUSED: one\nREFUSED: two");
    }
}
