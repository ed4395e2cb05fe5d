//! How a loss is told: what is gone, for whom, what is still known of it, and what can be done.

use std::fmt::Write;

use serde::Serialize;
use sluice_model::{Partition, Position};

use super::{
    known::Known,
    loss::{Cause, Loss, LostRange},
};

/// One range of positions whose messages are gone.
#[derive(Debug, Serialize)]
pub struct LossTold {
    partition: Partition,
    /// The first lost position.
    from: Position,
    /// The last one. Where it stands before the first, only the message is gone by which one could
    /// see a shard's history.
    through: Position,
    /// How many that are.
    positions: u64,
    cause: Cause,
    /// The shards that lack something of it.
    lacking: Vec<Lacking>,
    /// Rows that shards have made of its messages in time.
    known: Vec<KnownRows>,
    /// Its events that are dead letters.
    dead_letters: u64,
    /// Shards of which it is not known whether they have rows of it.
    not_looked_through: Vec<String>,
    /// Whether it was accepted just now.
    accepted: bool,
}

/// A shard that lacks something.
#[derive(Debug, Serialize)]
struct Lacking {
    shard: String,
    /// The first position that it lacks.
    from: Position,
}

/// Rows of lost messages.
#[derive(Debug, Serialize)]
struct KnownRows {
    shard: String,
    events: u64,
}

impl LossTold {
    /// Each range of a partition's loss.
    pub fn all(partition: Partition, loss: &Loss, known: &[Known], accepted: bool) -> Vec<Self> {
        let told = |(range, known)| Self::new(partition, range, known, accepted);
        loss.ranges.iter().zip(known).map(told).collect()
    }

    fn new(partition: Partition, range: &LostRange, known: &Known, accepted: bool) -> Self {
        let LostRange { after, through, cause, lacking } = range;
        let lacks = |(shard, stored, _): &(String, Position, i64)| Lacking {
            shard: shard.clone(),
            from: (*stored).max(*after).next(),
        };
        let rows = |(shard, events): (&String, &u64)| KnownRows { shard: shard.clone(), events: *events };
        Self {
            partition,
            from: after.next(),
            through: *through,
            positions: through.get() - after.get(),
            cause: *cause,
            lacking: lacking.iter().map(lacks).collect(),
            known: known.rows.iter().map(rows).collect(),
            dead_letters: known.dead,
            not_looked_through: known.unread.clone(),
            accepted,
        }
    }

    /// For people.
    pub fn sentences(&self, text: &mut String) {
        let Self { partition, from, through, positions, .. } = self;
        let what = match positions {
            0 => format!(
                "the message at {:?}, by which one could see which history a shard has read, is gone",
                from.previous()
            ),
            1 => format!("the message at {from:?} is gone"),
            _ => format!("the messages at {positions} positions are gone, from {from:?} to {through:?}"),
        };
        let why = match self.cause {
            Cause::Purged => "the stream was purged, or a shard was restored to before what it holds",
            Cause::Removed => "they expired, or were removed, from the middle of the stream",
        };
        let _ = write!(text, "Partition {partition}: {what} ({why}).");
        let lacking: Vec<_> = self.lacking.iter().map(|lacks| self.lacking(lacks)).collect();
        let _ = match (lacking.is_empty(), self.cause) {
            (true, _) => write!(text, " Every shard has stored them; one that is registered later stops there."),
            (false, Cause::Purged) => write!(text, " Lost for {}.", lacking.join(", ")),
            (false, Cause::Removed) => {
                write!(
                    text,
                    " The partition stops there for every shard, new ones included; not yet stored by {}.",
                    lacking.join(", ")
                )
            }
        };
        let known: Vec<_> =
            self.known.iter().map(|known| format!("{} events are rows of {}", known.events, known.shard)).collect();
        let dead = (self.dead_letters > 0).then(|| format!("{} are dead letters", self.dead_letters));
        let known: Vec<_> = known.into_iter().chain(dead).collect();
        let _ = match known.is_empty() {
            true => write!(text, " Nothing else is known of their events."),
            false => write!(text, " Of their events {}.", known.join(", ")),
        };
        if !self.not_looked_through.is_empty() {
            let _ = write!(text, " Not looked through in time: {}.", self.not_looked_through.join(", "));
        }
        let _ = match self.accepted {
            true => writeln!(text, " Accepted as lost: these shards go on at {:?}.", through.next()),
            false => writeln!(
                text,
                " --accept-loss lets these shards go on at {:?}, without what was theirs.",
                through.next()
            ),
        };
    }

    fn lacking(&self, Lacking { shard, from }: &Lacking) -> String {
        if from > &self.through { shard.clone() } else { format!("{shard} from {from:?}") }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(2)).get() + n).unwrap()
    }

    fn told(
        after: u64,
        through: u64,
        cause: Cause,
        lacking: &[(&str, u64)],
        accepted: bool,
    ) -> (String, serde_json::Value) {
        let lacking = lacking.iter().map(|(shard, stored)| ((*shard).to_owned(), at(*stored), 1)).collect();
        let range = LostRange { after: at(after), through: at(through), cause, lacking };
        let loss = Loss { ranges: vec![range], shards: BTreeMap::new() };
        let known = Known { rows: BTreeMap::from([("other".to_owned(), 2)]), dead: 1, unread: Vec::new() };
        let told = LossTold::all(Partition::new(2), &loss, &[known], accepted);
        let mut text = String::new();
        told[0].sentences(&mut text);
        (text, serde_json::to_value(&told[0]).unwrap())
    }

    #[test]
    fn a_loss_is_told_with_its_positions_its_shards_and_what_is_known_of_it() {
        let (text, json) = told(45, 50, Cause::Purged, &[("a", 45), ("b", 47)], false);
        for part in
            ["5 positions", "2/46 to 2/50", "a from 2/46, b from 2/48", "2 events are rows of other", "--accept-loss"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(
            (&json["positions"], &json["cause"], &json["accepted"]),
            (&5.into(), &"purged".into(), &false.into())
        );
        assert_eq!(json["lacking"][1], serde_json::json!({ "shard": "b", "from": at(48).get() }));
        let (text, _) = told(45, 50, Cause::Purged, &[("a", 45)], true);
        assert!(text.contains("go on at 2/51") && !text.contains("--accept-loss"), "{text}");
    }

    #[test]
    fn a_hole_is_told_as_one_that_stops_every_shard_or_those_to_come() {
        let (text, _) = told(5, 6, Cause::Removed, &[("a", 2)], false);
        assert!(text.contains("the message at 2/6 is gone") && text.contains("new ones included"), "{text}");
        let (text, _) = told(5, 6, Cause::Removed, &[], false);
        assert!(text.contains("registered later stops there"), "{text}");
        let (text, json) = told(9, 9, Cause::Purged, &[("a", 9)], false);
        assert!(text.contains("2/9, by which one could see") && text.contains("Lost for a."), "{text}");
        assert_eq!(json["positions"], 0);
    }
}
