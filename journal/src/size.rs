//! The room that a journal sets aside on its server. Pure.
//!
//! Each stream sets its `max_bytes` aside when it is made. A server with too little room makes some
//! of them and refuses the next.

use std::{collections::BTreeMap, fmt};

use sluice_model::{Partition, PartitionCount};

use crate::{stream::DEAD_MAX_BYTES, subject::stream_name};

/// What a journal needs, and what its server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The partitions.
    pub partitions: PartitionCount,
    /// The most bytes of each, as asked for.
    pub max_bytes: i64,
    /// What the account has set aside already, where the server says so.
    pub reserved: Option<u64>,
    /// What the account may set aside in all, where that is limited.
    pub limit: Option<u64>,
}

impl Room {
    /// Returns what all streams of the journal set aside.
    pub fn needed(&self) -> u64 {
        let each = u64::try_from(self.max_bytes).unwrap_or_default();
        each.saturating_mul(u64::from(self.partitions.get())).saturating_add(DEAD_MAX_BYTES.unsigned_abs())
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, max_bytes, reserved, limit } = self;
        let needed = self.needed();
        write!(
            f,
            "{partitions} partitions of {max_bytes} bytes (JOURNAL_MAX_BYTES) and {DEAD_MAX_BYTES} bytes for dead letters \
             are {needed} bytes"
        )?;
        let limit = limit.map(|limit| format!(" of at most {limit}")).unwrap_or_default();
        reserved.map_or(Ok(()), |reserved| write!(f, ", of which the server has set aside {reserved}{limit} so far"))
    }
}

/// Says in the log where the partitions, whose sizes these are, are not alike, or not as asked.
pub(crate) fn tell(sizes: &[i64], asked: i64) {
    match (difference(sizes), sizes.first()) {
        (Some(difference), _) => tracing::warn!("{difference}"),
        // What was asked for may be the default, or meant for a new journal: no reason to warn.
        (None, Some(found)) if *found != asked => {
            tracing::info!(found, asked, "the partitions keep the size that they have (JOURNAL_MAX_BYTES)");
        }
        _ => {}
    }
}

/// Names the partitions that have another size than most.
fn difference(sizes: &[i64]) -> Option<String> {
    let mut by_size: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (partition, bytes) in (0..).zip(sizes) {
        by_size.entry(*bytes).or_default().push(stream_name(Partition::new(partition)));
    }
    // Of two that are as frequent, the larger.
    let usual = *by_size.iter().max_by_key(|(bytes, streams)| (streams.len(), **bytes))?.0;
    by_size.remove(&usual);
    let example = by_size.values().next()?.first()?.clone();
    let others: Vec<_> =
        by_size.iter().map(|(bytes, streams)| format!("{bytes} bytes: {}", streams.join(", "))).collect();
    Some(format!(
        "the journal's partitions differ in size, and the smallest is full first: most have {usual} bytes, but {}. To make \
         them alike: nats stream edit {example} --max-bytes {usual}, and so for each",
        others.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_another_size_are_named_with_the_command_that_changes_them() {
        assert!(difference(&[5, 5, 5]).is_none() && difference(&[]).is_none());
        let told = difference(&[7, 5, 5, 7, 5]).unwrap();
        assert!(told.contains("most have 5 bytes, but 7 bytes: JOURNAL-0, JOURNAL-3. "), "{told}");
        assert!(told.contains("nats stream edit JOURNAL-0 --max-bytes 5"), "{told}");
        assert!(difference(&[3, 3, 4, 4]).unwrap().contains("edit JOURNAL-0 --max-bytes 4"));
    }

    #[test]
    fn what_is_needed_is_told_with_the_setting_and_with_what_the_server_has() {
        let partitions = PartitionCount::try_from(4).unwrap();
        let room = Room { partitions, max_bytes: 1_000, reserved: Some(3_000), limit: Some(3_500) };
        let told = room.to_string();
        for wanted in ["JOURNAL_MAX_BYTES", "4 partitions of 1000 bytes", "268439456 bytes", "3000 of at most 3500"] {
            assert!(told.contains(wanted), "{wanted:?} is not in {told}");
        }
        let endless = Room { max_bytes: i64::MAX, partitions: PartitionCount::try_from(512).unwrap(), ..room };
        assert_eq!(endless.needed(), u64::MAX);
    }
}
