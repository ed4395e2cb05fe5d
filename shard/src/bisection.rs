//! Finding the rows that a database refuses, without a statement for each row.
//!
//! Pure: it says which range of rows to try next, and is told how that went.

use std::ops::Range;

/// The search for refused rows in a batch that is known to hold some.
#[derive(Debug)]
pub(crate) struct Bisection {
    /// Ranges still to be tried, the first rows last.
    todo: Vec<Range<usize>>,
    refused: Vec<(usize, String)>,
}

impl Bisection {
    /// Begins with the halves: the whole has been refused already.
    pub(crate) fn new(rows: usize) -> Self {
        let mut bisection = Self { todo: Vec::new(), refused: Vec::new() };
        if rows > 1 {
            bisection.halve(0..rows);
        } else if rows == 1 {
            bisection.todo.push(0..1);
        }
        bisection
    }

    /// The next rows to store, never none of them. All ranges together are the batch less what was refused.
    pub(crate) fn next_range(&mut self) -> Option<Range<usize>> {
        self.todo.pop()
    }

    /// The database refused a row of this range, and nothing of the range is stored.
    pub(crate) fn refuse(&mut self, range: Range<usize>, detail: impl FnOnce() -> String) {
        if range.len() == 1 {
            self.refused.push((range.start, detail()));
        } else {
            self.halve(range);
        }
    }

    /// Index and detail of every refused row, in order.
    pub(crate) fn into_refused(self) -> Vec<(usize, String)> {
        self.refused
    }

    fn halve(&mut self, range: Range<usize>) {
        let middle = range.start + range.len() / 2;
        self.todo.push(middle..range.end);
        self.todo.push(range.start..middle);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Runs a bisection over rows of which some are bad; gives what was stored, what was refused, and the attempts.
    fn run(rows: usize, bad: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut stored, mut attempts) = (Vec::new(), 0);
        let mut bisection = Bisection::new(rows);
        while let Some(range) = bisection.next_range() {
            attempts += 1;
            if bad.range(range.clone()).next().is_some() {
                bisection.refuse(range, String::new);
            } else {
                stored.extend(range);
            }
        }
        (stored, bisection.into_refused().into_iter().map(|(index, _)| index).collect(), attempts)
    }

    proptest! {
        #[test]
        fn every_row_is_either_stored_once_or_refused(
            rows in 0usize..3_000, bad in prop::collection::btree_set(0usize..3_000, 0..40),
        ) {
            let bad: BTreeSet<_> = bad.into_iter().filter(|index| *index < rows).collect();
            let (stored, refused, _) = run(rows, &bad);
            prop_assert_eq!(&refused, &bad.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(stored, (0..rows).filter(|index| !bad.contains(index)).collect::<Vec<_>>());
        }

        #[test]
        fn one_bad_row_of_ten_thousand_costs_two_attempts_a_halving(bad in 0usize..10_000) {
            prop_assert!(run(10_000, &[bad].into()).2 <= 2 * 14);
        }
    }
}
