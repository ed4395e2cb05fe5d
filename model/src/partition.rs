//! Which of the journal's streams a customer's events are in.

use std::{fmt, num::NonZeroU16, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::CustomerId;

/// One partition of the journal, counted from 0. A customer always has the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(u16);

impl Partition {
    /// The partition with this number.
    ///
    /// # Panics
    /// Where the number is 512 or more: no journal has such a partition.
    pub const fn new(number: u16) -> Self {
        assert!(number < PartitionCount::MAX, "a journal has at most 512 partitions");
        Self(number)
    }

    /// The partition's number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The number, for indexing a list with one entry per partition.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions a journal has: 1 to [`PartitionCount::MAX`], fixed when the journal is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PartitionCount(NonZeroU16);

impl PartitionCount {
    /// 512: nine bits of a position name its partition, and a position has to fit an `i64` together with its index.
    pub const MAX: u16 = 512;

    /// How many there are.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// Every partition, in order.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.get()).map(Partition)
    }

    /// The partition of a customer: FNV-1a (32 bits) of the id's bytes, modulo the count.
    ///
    /// This is what the NATS server computes for `partition(P, token)` in a subject mapping (`server/subject_transform.go`),
    /// so that an event published by `nats pub` meets those of the ingest service in the same stream.
    pub fn of(self, customer: &CustomerId) -> Partition {
        self.of_token(customer.as_str())
    }

    /// [`PartitionCount::of`] for a subject token that need not be a customer id.
    pub fn of_token(self, token: &str) -> Partition {
        let number = fnv1a32(token.as_bytes()) % u32::from(self.get());
        Partition(u16::try_from(number).expect("a remainder is less than its divisor, a u16"))
    }
}

impl TryFrom<u16> for PartitionCount {
    type Error = InvalidPartitionCount;
    fn try_from(count: u16) -> Result<Self, Self::Error> {
        NonZeroU16::new(count).filter(|c| c.get() <= Self::MAX).map(Self).ok_or(InvalidPartitionCount)
    }
}

impl From<PartitionCount> for u16 {
    fn from(count: PartitionCount) -> Self {
        count.get()
    }
}

impl FromStr for PartitionCount {
    type Err = InvalidPartitionCount;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u16>().map_err(|_| InvalidPartitionCount)?.try_into()
    }
}

impl fmt::Display for PartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition count outside 1 to 512.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a journal has 1 to 512 partitions")]
pub struct InvalidPartitionCount;

/// FNV-1a with the 32-bit offset basis and prime of its authors (RFC 9923, section 2).
fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_gives_its_authors_test_vectors() {
        assert_eq!(fnv1a32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a32(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn counts_outside_1_to_512_are_refused() {
        for bad in ["0", "513", "-1", "x", ""] {
            assert!(bad.parse::<PartitionCount>().is_err(), "{bad:?} was taken");
        }
        assert_eq!("512".parse::<PartitionCount>().unwrap().all().count(), 512);
    }
}
