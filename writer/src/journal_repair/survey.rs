//! What stands after the cut: which messages have to be copied, and which have been. Pure.

use sluice_journal::repair::{Lost, Origin};
use sluice_model::Position;

/// A message that stands after the cut.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its place.
    pub position: Position,
    /// When it was stored.
    pub stamp: i64,
    /// The shard that its customer's route names; `None` where there is none, or nobody asked.
    pub home: Option<&'a str>,
    /// What it says that it is a copy of.
    pub origin: Option<Origin>,
    /// Of its subject and its payload. A copy has its original's.
    pub digest: u64,
}

/// A message that was given again, and that its shard will not read where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its place.
    pub position: Position,
    /// Where its copy stands, if it has one.
    pub copy: Option<Position>,
    stamp: i64,
    digest: u64,
}

/// Takes in every message after the cut, in the order of the journal.
#[derive(Debug, Default)]
pub struct Survey {
    lost: Vec<Lost>,
    candidates: Vec<Candidate>,
}

impl Survey {
    /// Nothing seen yet.
    pub fn new(lost: &[Lost]) -> Self {
        Self { lost: lost.to_vec(), candidates: Vec::new() }
    }

    /// Takes in a message; true where it will need a copy, as its shard has stored that position with another message.
    pub fn note(&mut self, entry: &Entry<'_>) -> bool {
        self.note_origin(entry);
        let skips = |lost: &Lost| entry.home == Some(lost.shard.as_str()) && lost.covers(entry.position);
        let needed = self.lost.iter().any(skips);
        if needed {
            self.want(entry);
        }
        needed
    }

    /// Says of the message taken in last that it needs a copy, whatever its shard.
    ///
    /// # Panics
    /// Where messages do not come in order.
    pub fn want(&mut self, entry: &Entry<'_>) {
        let Entry { position, stamp, digest, .. } = *entry;
        assert!(self.candidates.last().is_none_or(|last| last.position < position), "a partition is read in order");
        self.candidates.push(Candidate { position, copy: None, stamp, digest });
    }

    /// Anybody can claim to be a copy: only one that holds the same counts.
    fn note_origin(&mut self, entry: &Entry<'_>) {
        let Some(origin) = entry.origin else { return };
        if let Ok(index) = self.candidates.binary_search_by_key(&origin.position, |candidate| candidate.position) {
            let candidate = &mut self.candidates[index];
            if (candidate.stamp, candidate.digest) == (origin.stamp, entry.digest) && candidate.copy.is_none() {
                candidate.copy = Some(entry.position);
            }
        }
    }

    /// Notes where a copy was stored just now.
    pub fn copied(&mut self, position: Position, copy: Position) {
        if let Ok(index) = self.candidates.binary_search_by_key(&position, |candidate| candidate.position) {
            self.candidates[index].copy = Some(copy);
        }
    }

    /// Every message that needs a copy, or has one.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Whether the message at a position has to be copied still.
    pub fn lacks_copy(&self, position: Position) -> bool {
        let found = self.candidates.binary_search_by_key(&position, |candidate| candidate.position);
        found.is_ok_and(|index| self.candidates[index].copy.is_none())
    }

    /// The first and the last message that has to be copied still.
    pub fn left(&self) -> Option<(Position, Position)> {
        let mut left = self.candidates.iter().filter(|candidate| candidate.copy.is_none());
        let first = left.next()?.position;
        Some((first, left.next_back().map_or(first, |last| last.position)))
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Partition;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(1)).get() + n).unwrap()
    }

    fn entry(position: u64, home: &str) -> Entry<'_> {
        Entry { position: at(position), stamp: 100, home: Some(home), origin: None, digest: position }
    }

    fn copy_of(original: u64, position: u64, stamp: i64, digest: u64) -> Entry<'static> {
        let origin = Some(Origin { position: at(original), stamp });
        Entry { position: at(position), stamp: 200, home: None, origin, digest }
    }

    fn survey() -> Survey {
        let lost =
            |shard: &str, cut, stored| Lost { shard: shard.to_owned(), cut: at(cut), stored: at(stored), stamp: 9 };
        Survey::new(&[lost("a", 4, 8), lost("b", 6, 7)])
    }

    #[test]
    fn a_message_is_copied_where_its_own_shard_has_stored_that_position_after_its_own_cut() {
        let mut survey = survey();
        for position in 1..=10 {
            for home in ["a", "b", "c"] {
                let skipped = match home {
                    "a" => (5..=8).contains(&position),
                    "b" => position == 7,
                    _ => false,
                };
                // One partition has one message at a position; each shard is tried for itself.
                let mut alone = Survey { lost: survey.lost.clone(), ..Survey::default() };
                assert_eq!(alone.note(&entry(position, home)), skipped, "{home} {position}");
            }
        }
        assert!(survey.note(&entry(5, "a")) && !survey.note(&entry(6, "c")) && survey.note(&entry(7, "b")));
        assert_eq!(survey.left(), Some((at(5), at(7))));
        survey.copied(at(7), at(20));
        assert_eq!(survey.left(), Some((at(5), at(5))));
        assert!(survey.lacks_copy(at(5)) && !survey.lacks_copy(at(7)) && !survey.lacks_copy(at(6)));
    }

    #[test]
    fn a_copy_counts_only_with_its_originals_place_stamp_and_content() {
        for (copy, counts) in [
            (copy_of(5, 11, 100, 5), true),
            (copy_of(6, 11, 100, 5), false),
            (copy_of(5, 11, 99, 5), false),
            (copy_of(5, 11, 100, 6), false),
        ] {
            let mut survey = survey();
            survey.note(&entry(5, "a"));
            assert!(!survey.note(&copy));
            assert_eq!(survey.left().is_none(), counts, "{copy:?}");
        }
    }

    #[test]
    fn a_copy_that_is_skipped_itself_is_copied_in_its_turn_and_its_original_is_not() {
        let mut survey = survey();
        survey.note(&entry(5, "a"));
        let again = Entry { home: Some("a"), ..copy_of(5, 7, 100, 5) };
        assert!(survey.note(&again));
        assert_eq!(survey.left(), Some((at(7), at(7))));
    }
}
