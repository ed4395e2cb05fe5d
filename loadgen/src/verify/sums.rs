//! Whether two sets of rows are the same, found out without keeping either: buckets of sums.
//!
//! Each id falls into one of a fixed number of buckets. A bucket holds the sum of a 128-bit hash over every row that is expected,
//! less that over every row that stands there. Where that is 0 the two sets are equal (but for one chance in 2^128): nothing is
//! missing, nothing is doubled, nothing stands elsewhere. Where it is not, something is wrong with some id of that bucket.

use std::hash::{BuildHasher, RandomState};

/// Buckets of a whole check: 24 MiB.
pub(super) const BUCKETS: usize = 1 << 20;

/// The buckets.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    buckets: Vec<Bucket>,
    place: RandomState,
    /// Two hashes of 64 bits, with keys of their own, make one of 128.
    low: RandomState,
    high: RandomState,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    low: u64,
    high: u64,
    /// Rows expected, and rows found.
    expected: u32,
    found: u32,
}

/// What is expected and found: whose row, which event, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) customer: u32,
    pub(super) id: i64,
    /// On the shard that the customer's route names. Every expected row is.
    pub(super) at_home: bool,
}

impl Bucket {
    fn differs(self) -> bool {
        self.expected != self.found || self.low != 0 || self.high != 0
    }

    fn sum(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    #[allow(clippy::cast_possible_truncation, reason = "each half is kept in its field")]
    fn set(&mut self, sum: u128) {
        self.low = sum as u64;
        self.high = (sum >> 64) as u64;
    }
}

impl Sums {
    /// So many empty buckets.
    pub(super) fn new(buckets: usize) -> Self {
        let keys = RandomState::new;
        Self { buckets: vec![Bucket::default(); buckets], place: keys(), low: keys(), high: keys() }
    }

    /// A row that has to be there.
    pub(super) fn expect(&mut self, entry: Entry) {
        let hash = self.hash(entry);
        let bucket = self.bucket(entry.id);
        let bucket = &mut self.buckets[bucket];
        bucket.expected = bucket.expected.wrapping_add(1);
        bucket.set(bucket.sum().wrapping_add(hash));
    }

    /// A row that is there.
    pub(super) fn find(&mut self, entry: Entry) {
        let hash = self.hash(entry);
        let bucket = self.bucket(entry.id);
        let bucket = &mut self.buckets[bucket];
        bucket.found = bucket.found.wrapping_add(1);
        bucket.set(bucket.sum().wrapping_sub(hash));
    }

    /// Makes the bucket of this id differ: what the id needs is more than a sum can tell.
    pub(super) fn doubt(&mut self, id: i64) {
        // An entry that no row can be found for.
        self.expect(Entry { customer: u32::MAX, id, at_home: false });
    }

    /// The bucket of an id.
    pub(super) fn bucket(&self, id: i64) -> usize {
        let buckets = self.buckets.len() as u64;
        usize::try_from(self.place.hash_one(id) % buckets).expect("less than a list's length")
    }

    /// Whether any bucket differs.
    pub(super) fn differ(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.differs())
    }

    /// Which buckets differ and can be looked into with no more than so many entries, and how many cannot: expected rows and rows
    /// found of those.
    pub(super) fn differing(&self, cap: u64) -> (Vec<bool>, u64) {
        let (mut taken, mut left_out) = (0, 0);
        let mut look = |bucket: &Bucket| {
            let entries = u64::from(bucket.expected.max(bucket.found));
            if !bucket.differs() {
                return false;
            }
            // The first one always: something has to be named.
            let fits = taken == 0 || taken + entries <= cap;
            *(if fits { &mut taken } else { &mut left_out }) += entries;
            fits
        };
        (self.buckets.iter().map(&mut look).collect(), left_out)
    }

    fn hash(&self, entry: Entry) -> u128 {
        u128::from(self.high.hash_one(entry)) << 64 | u128::from(self.low.hash_one(entry))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (0u32..3, 0i64..30, prop::bool::weighted(0.9));
        prop::collection::vec(entry, 0..40)
            .prop_map(|list| list.into_iter().map(|(customer, id, at_home)| Entry { customer, id, at_home }).collect())
    }

    proptest! {
        #[test]
        fn sums_differ_exactly_where_what_is_expected_is_not_what_is_found(expected in entries(), found in entries()) {
            let mut sums = Sums::new(4);
            expected.iter().for_each(|entry| sums.expect(*entry));
            found.iter().for_each(|entry| sums.find(*entry));
            let (differing, left_out) = sums.differing(u64::MAX);
            for (bucket, differs) in differing.iter().enumerate() {
                let of_bucket = |list: &[Entry]| {
                    let entry = |entry: &&Entry| sums.bucket(entry.id) == bucket;
                    let mut list: Vec<_> = list.iter().filter(entry).map(|e| (e.id, e.customer, e.at_home)).collect();
                    list.sort_unstable();
                    list
                };
                prop_assert_eq!(*differs, of_bucket(&expected) != of_bucket(&found));
            }
            prop_assert_eq!((sums.differ(), left_out), (differing.contains(&true), 0));
        }
    }

    #[test]
    fn no_more_buckets_are_looked_into_than_the_cap_allows_and_the_rest_is_counted() {
        let mut sums = Sums::new(64);
        (0..1_000).for_each(|id| sums.expect(Entry { customer: 0, id, at_home: true }));
        let (differing, left_out) = sums.differing(100);
        let taken = (0..1_000).filter(|id| differing[sums.bucket(*id)]).count() as u64;
        assert!((1..=100).contains(&taken), "{taken}");
        assert_eq!(taken + left_out, 1_000);
        assert_eq!(size_of::<Bucket>(), 24);
    }

    #[test]
    fn a_doubt_makes_a_bucket_differ_that_agrees_otherwise() {
        let mut sums = Sums::new(64);
        let entry = Entry { customer: 0, id: 7, at_home: true };
        sums.expect(entry);
        sums.find(entry);
        assert!(!sums.differ());
        sums.doubt(7);
        assert!(sums.differ() && sums.differing(9).0[sums.bucket(7)]);
    }
}
