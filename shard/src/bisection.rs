//! Finds the rows that a database refuses, without a statement for each row.
//!
//! Pure: it says which range of rows to try next, and is told how that went. Its attempts are limited. A search that has used them
//! up names the refused rows that it has found until then.

use std::ops::Range;

/// The most attempts of one search. Lower: more transactions where many rows are refused, each of which sends the rows before the
/// refused ones again. Higher: a transaction that holds its locks for longer over a slow line.
pub(crate) const ATTEMPTS: usize = 256;
/// A refused range of at most so many rows is tried row by row. Lower: nearly two attempts for each row where all are refused.
/// Higher: more attempts for one refused row among many good ones.
const ROW_BY_ROW: usize = 8;

/// The search for refused rows in a batch that is known to hold some.
#[derive(Debug)]
pub(crate) struct Bisection {
    /// Ranges still to be tried, the first rows last.
    todo: Vec<Range<usize>>,
    refused: Vec<(usize, String)>,
    attempts: usize,
}

/// What a search has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Index and detail of each refused row, in order.
    pub(crate) refused: Vec<(usize, String)>,
    /// Whether the database takes all the others.
    pub(crate) complete: bool,
}

impl Bisection {
    /// Begins with the parts of the whole, which has been refused already.
    pub(crate) fn new(rows: usize) -> Self {
        let mut bisection = Self { todo: Vec::new(), refused: Vec::new(), attempts: 0 };
        if rows == 1 {
            bisection.todo.push(0..1);
        } else {
            bisection.divide(0..rows);
        }
        bisection
    }

    /// Returns the rows to try next, at least one; `None` where the search has ended. `late`: it ends with the first refused row.
    pub(crate) fn next_range(&mut self, late: bool) -> Option<Range<usize>> {
        if self.attempts == ATTEMPTS || (late && !self.refused.is_empty()) {
            return None;
        }
        self.attempts += 1;
        self.todo.pop()
    }

    /// Notes that the database refused a row of this range, and that nothing of the range is stored.
    pub(crate) fn refuse(&mut self, range: Range<usize>, detail: impl FnOnce() -> String) {
        if range.len() == 1 {
            self.refused.push((range.start, detail()));
        } else {
            self.divide(range);
        }
    }

    /// Returns what was found.
    pub(crate) fn into_found(self) -> Found {
        Found { refused: self.refused, complete: self.todo.is_empty() }
    }

    fn divide(&mut self, range: Range<usize>) {
        if range.len() <= ROW_BY_ROW {
            self.todo.extend(range.rev().map(|index| index..index + 1));
        } else {
            let middle = range.start + range.len() / 2;
            self.todo.push(middle..range.end);
            self.todo.push(range.start..middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What came of a search in rows of which some are bad.
    struct Search {
        stored: Vec<usize>,
        refused: Vec<usize>,
        complete: bool,
        attempts: usize,
    }

    fn search(rows: usize, bad: &BTreeSet<usize>, late_after: usize) -> Search {
        let (mut stored, mut attempts) = (Vec::new(), 0);
        let mut bisection = Bisection::new(rows);
        while let Some(range) = bisection.next_range(attempts >= late_after) {
            attempts += 1;
            assert!(!range.is_empty());
            if bad.range(range.clone()).next().is_some() {
                bisection.refuse(range, String::new);
            } else {
                stored.extend(range);
            }
        }
        let Found { refused, complete } = bisection.into_found();
        Search { stored, refused: refused.into_iter().map(|(index, _)| index).collect(), complete, attempts }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn what_was_tried_is_either_stored_once_or_refused_and_the_search_is_limited(
            rows in 1usize..3_000, bad in prop::collection::btree_set(0usize..3_000, 0..300), late_after in 0usize..400,
        ) {
            let bad: BTreeSet<_> = bad.into_iter().filter(|index| *index < rows).collect();
            let found = search(rows, &bad, late_after);
            prop_assert!(found.attempts <= ATTEMPTS);
            prop_assert!(found.refused.iter().eq(bad.iter().take(found.refused.len())));
            let reached = if found.complete { rows } else { found.refused.last().map_or(0, |last| last + 1) };
            let good = |index: &usize| !bad.contains(index);
            prop_assert!(found.stored.iter().copied().eq((0..found.stored.len() + found.refused.len()).filter(good)));
            prop_assert!(found.stored.len() + found.refused.len() >= reached);
            if found.complete {
                prop_assert_eq!(found.stored.len() + found.refused.len(), rows);
            } else {
                prop_assert!(!found.refused.is_empty(), "a search that ends early has found something");
            }
        }
    }

    #[test]
    fn one_bad_row_of_ten_thousand_costs_two_attempts_a_halving() {
        for bad in 0..10_000 {
            let found = search(10_000, &[bad].into(), usize::MAX);
            assert!(found.complete && found.attempts <= 2 * 14, "{bad}: {} attempts", found.attempts);
        }
    }

    #[test]
    fn where_every_row_is_bad_most_attempts_find_one() {
        let found = search(25_000, &(0..25_000).collect(), usize::MAX);
        assert!(!found.complete && found.refused.len() > ATTEMPTS * 2 / 3, "{}", found.refused.len());
    }
}
