//! Which events of a message are meant.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use crate::MAX_EVENTS;

/// A set of events of one message, by their indexes. As text: ranges in growing order, such as `0-41,43,900-1023`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes(Vec<RangeInclusive<u16>>);

/// A text that is no set of indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("indexes are ranges of 0 to {} in growing order, such as 0-41,43", MAX_EVENTS - 1)]
pub struct InvalidIndexes;

impl Indexes {
    /// Adds an index that is greater than all that are in the set.
    ///
    /// # Panics
    /// Where it is not greater, or is no event's index.
    pub fn push(&mut self, index: usize) {
        let index = u16::try_from(index).ok().filter(|index| usize::from(*index) < MAX_EVENTS);
        let index = index.expect("an event's index has ten bits");
        match self.0.last_mut() {
            Some(last) if *last.end() + 1 == index => *last = *last.start()..=index,
            Some(last) if *last.end() >= index => panic!("indexes are added in growing order"),
            _ => self.0.push(index..=index),
        }
    }

    /// Returns the least index.
    pub fn first(&self) -> Option<usize> {
        self.0.first().map(|range| usize::from(*range.start()))
    }

    /// Returns the greatest index.
    pub fn last(&self) -> Option<usize> {
        self.0.last().map(|range| usize::from(*range.end()))
    }

    /// Returns the number of indexes.
    pub fn count(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    /// Returns whether the set has no index.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether an index is in the set.
    pub fn contains(&self, index: usize) -> bool {
        u16::try_from(index).is_ok_and(|index| self.0.iter().any(|range| range.contains(&index)))
    }

    /// Returns every index, in growing order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().cloned().flatten().map(usize::from)
    }

    /// Returns the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<RangeInclusive<u16>>()
    }
}

impl FromIterator<usize> for Indexes {
    /// Makes a set of indexes that come in growing order.
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> Self {
        let mut set = Self::default();
        indexes.into_iter().for_each(|index| set.push(index));
        set
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Indexes {
    type Err = InvalidIndexes;

    fn from_str(text: &str) -> Result<Self, InvalidIndexes> {
        let mut set = Self::default();
        for part in text.split(',') {
            let (start, end) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<u16>().ok().filter(|n| usize::from(*n) < MAX_EVENTS);
            let (start, end) = number(start).zip(number(end)).ok_or(InvalidIndexes)?;
            if start > end || set.0.last().is_some_and(|last| *last.end() >= start) {
                return Err(InvalidIndexes);
            }
            (start..=end).for_each(|index| set.push(usize::from(index)));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Sets of ranges and holes, from a few indexes to all of them.
    fn indexes() -> impl Strategy<Value = BTreeSet<usize>> {
        let dense = prop::collection::vec((0..MAX_EVENTS, 0..MAX_EVENTS), 0..20);
        let sparse = prop::collection::btree_set(0..MAX_EVENTS, 0..600);
        (dense, sparse).prop_map(|(ranges, mut set)| {
            for (start, length) in ranges {
                set.extend(start..(start + length / 20).min(MAX_EVENTS));
            }
            set
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn what_is_written_is_read_back(wanted in indexes()) {
            let set: Indexes = wanted.iter().copied().collect();
            prop_assert!(set.iter().eq(wanted.iter().copied()));
            prop_assert_eq!((set.count(), set.is_empty()), (wanted.len(), wanted.is_empty()));
            prop_assert_eq!((set.first(), set.last()), (wanted.first().copied(), wanted.last().copied()));
            prop_assert!((0..=MAX_EVENTS).all(|index| set.contains(index) == wanted.contains(&index)));
            let text = set.to_string();
            prop_assert!(text.len() <= 2_600, "{} bytes have to fit into a header", text.len());
            if !set.is_empty() {
                prop_assert_eq!(text.parse::<Indexes>(), Ok(set));
            }
        }

        #[test]
        fn whatever_text_is_read_is_a_set_in_growing_order(text in "[0-9,-]{0,12}") {
            if let Ok(set) = text.parse::<Indexes>() {
                prop_assert!(set.iter().collect::<Vec<_>>().is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[test]
    fn a_set_is_written_as_ranges_and_nothing_else_is_read() {
        let set: Indexes = (0..=41).chain([43]).chain(900..=1_023).collect();
        assert_eq!((set.to_string(), set.count()), ("0-41,43,900-1023".to_owned(), 167));
        for wrong in ["", ",", "1,", "3-2", "5,5", "5,4", "0-1024", "-1", "a", "1-2-3", "1 ", "99999"] {
            assert_eq!(wrong.parse::<Indexes>(), Err(InvalidIndexes), "{wrong:?}");
        }
        // Ranges that touch are one.
        assert_eq!("1-2,3".parse::<Indexes>().unwrap().to_string(), "1-3");
    }
}
