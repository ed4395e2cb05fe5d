//! What `/readyz` answers.
//!
//! A writer is ready where every partition that it has is read. A shard that is merely away is told
//! as a warning: the other shards are written to, and nobody else could do more for that one.

use std::collections::BTreeMap;

use sluice_journal::JournalHealth;
use sluice_model::Partition;
use sluice_service::http::Readiness;
use tokio::time::Instant;

use super::{Inner, Part, ReaderStatus, Status, Waits};
use crate::{
    lag::Lag,
    lane::{Health, LaneState},
};

impl Status {
    /// Whether the process does its work now, and why not.
    pub fn readiness(&self) -> Readiness {
        let inner = self.inner();
        let health = inner.journal.as_ref().map(|journal| journal.health()).unwrap_or_default();
        let lanes: Vec<_> = inner.lanes.iter().map(|lane| (lane.shard(), lane.health(), lane.lag())).collect();
        let mut readiness = Readiness::default();
        of_journal(&mut readiness, health, &inner);
        of_partitions(&mut readiness, &inner, Instant::now());
        for (shard, health, lag) in lanes {
            of_lane(&mut readiness, shard, &health, lag, inner.stalled_after.as_secs_f64());
        }
        of_parts(&mut readiness, &inner.troubles);
        readiness.reasons.dedup();
        readiness.warnings.dedup();
        readiness
    }
}

/// NATS, and the streams beside the partitions: dead letters and buckets.
fn of_journal(readiness: &mut Readiness, health: JournalHealth, inner: &Inner) {
    readiness.reasons.extend(health.unheard);
    readiness.warnings.extend(health.warnings);
    let is_ours = |partition| inner.assigned.as_ref().is_some_and(|assigned| assigned.contains(&partition));
    for fault in health.faults {
        match fault.partition {
            // Told with the partition, once it has stopped.
            Some(partition) if inner.stopped.contains_key(&partition) => {}
            Some(partition) if !is_ours(partition) => readiness.warn(fault.what),
            _ => readiness.lacks(fault.what),
        }
    }
}

fn of_partitions(readiness: &mut Readiness, inner: &Inner, now: Instant) {
    let Some(assigned) = &inner.assigned else {
        readiness.lacks(inner.starts);
        return;
    };
    for partition in assigned {
        if let Some(why) = inner.stopped.get(partition) {
            readiness.lacks(format!("partition {partition} has stopped: {why}"));
        } else if let Some(reader) = inner.readers.get(partition) {
            of_reader(readiness, *partition, reader, inner.stalled_after.as_secs_f64(), now);
        } else {
            let why = inner.starting.get(partition).map_or("its reader starts", String::as_str);
            readiness.lacks(format!("partition {partition} is not read yet: {why}"));
        }
    }
}

fn of_reader(readiness: &mut Readiness, partition: Partition, reader: &ReaderStatus, limit: f64, now: Instant) {
    let stands = reader.stands.as_secs_f64();
    let failing = reader.failing.as_ref();
    let fails_for_long = failing.filter(|(since, _)| now.saturating_duration_since(*since).as_secs_f64() >= limit);
    if let Some((_, why)) = fails_for_long {
        readiness.lacks(format!("partition {partition} cannot be read: {why}"));
        return;
    }
    if stands < limit {
        return;
    }
    if let Waits::Room(shard) = &reader.waits {
        readiness
            .warn(format!("partition {partition} has waited for room in the lane of shard {shard} for {stands:.0} s"));
    } else {
        let waits = reader.waits.shown().map_or_else(String::new, |what| format!(", waiting for {what}"));
        let why = failing.map_or_else(String::new, |(_, why)| format!(" ({why})"));
        readiness.lacks(format!(
            "partition {partition} has stood still for {stands:.0} s although there is more to read{waits}{why}"
        ));
    }
}

fn of_lane(readiness: &mut Readiness, shard: &str, health: &Health, lag: Option<Lag>, limit: f64) {
    let detail = health.detail.as_deref().unwrap_or("nothing more is known");
    match health.state {
        LaneState::Stopped => readiness.lacks(format!("the lane of shard {shard} has stopped: {detail}")),
        LaneState::Misconfigured => readiness.lacks(format!("shard {shard} takes no rows: {detail}")),
        LaneState::Connecting if health.detail.is_some() => {
            readiness.warn(format!("shard {shard} is not written to: {detail}"))
        }
        LaneState::Connecting | LaneState::Live | LaneState::Behind => {
            if let Some(lag) = lag.filter(|lag| lag.seconds >= limit) {
                let Lag { messages, seconds } = lag;
                readiness
                    .warn(format!("shard {shard} is {messages} messages and {seconds:.0} s behind the journal's end"));
            }
        }
    }
}

fn of_parts(readiness: &mut Readiness, troubles: &BTreeMap<Part, String>) {
    for (part, trouble) in troubles {
        match part {
            // The others take its partitions over, and it does not hear of that.
            Part::Group => readiness.lacks(format!("this writer does not hear the others: {trouble}")),
            Part::Directory => readiness.warn(format!("the directory does not answer: {trouble}")),
            Part::Trimming => readiness.warn(format!("the journal was not trimmed the last time: {trouble}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use sluice_model::Position;

    use super::*;

    const ONE: Partition = Partition::new(1);

    /// A writer that reads the partitions 1 and 2.
    fn status() -> Status {
        let status = Status::default();
        status.assigned(BTreeSet::new(), [ONE, Partition::new(2)].into());
        for partition in [1, 2].map(Partition::new) {
            status.reading(partition, Position::before_first(partition));
        }
        status
    }

    fn reasons(status: &Status) -> Vec<String> {
        status.readiness().reasons
    }

    #[test]
    fn a_writer_is_ready_where_every_partition_that_it_has_is_read_and_says_which_is_not() {
        let new = Status::default();
        assert!(reasons(&new)[0].contains("journal is not open"));
        let status = status();
        assert_eq!(status.readiness(), Readiness::default());
        status.stopped(ONE, "JOURNAL-1: discard is old, has to be new".to_owned());
        assert_eq!(reasons(&status), ["partition 1 has stopped: JOURNAL-1: discard is old, has to be new"]);
        status.released(ONE);
        status.starts(ONE, "no shard has said how far it is".to_owned());
        assert_eq!(reasons(&status), ["partition 1 is not read yet: no shard has said how far it is"]);
    }

    #[test]
    fn a_reader_that_stands_still_makes_it_unready_and_one_that_waits_for_a_shards_room_does_not() {
        let status = status();
        let stand = |seconds| status.reader(ONE, |reader| reader.stands = Duration::from_secs(seconds));
        stand(29);
        assert!(status.readiness().is_ready());
        stand(31);
        assert!(reasons(&status)[0].contains("partition 1 has stood still for 31 s"), "{:?}", reasons(&status));
        status.waits(ONE, Waits::Directory("no answer".to_owned()));
        assert!(reasons(&status)[0].contains("waiting for the directory: no answer"));
        status.waits(ONE, Waits::Room("b".to_owned()));
        let waits = status.readiness();
        assert!(waits.is_ready() && waits.warnings[0].contains("shard b"), "{waits:?}");
    }

    #[test]
    fn a_reader_that_cannot_be_opened_for_long_is_told_of_also_where_there_is_nothing_to_read() {
        let status = status();
        status.cannot_read(ONE, "no consumers left".to_owned());
        assert!(status.readiness().is_ready(), "it may mend itself");
        status.reader(ONE, |reader| reader.failing.as_mut().unwrap().0 = Instant::now() - Duration::from_secs(31));
        status.cannot_read(ONE, "no consumers left".to_owned());
        assert_eq!(reasons(&status), ["partition 1 cannot be read: no consumers left"]);
        status.can_read(ONE);
        assert!(status.readiness().is_ready());
    }

    #[test]
    fn a_stopped_lane_makes_it_unready_and_a_shard_that_is_away_or_behind_is_a_warning() {
        let told = |state, detail: Option<&str>, seconds| {
            let health = Health { state, detail: detail.map(str::to_owned), stored: None };
            let mut readiness = Readiness::default();
            of_lane(&mut readiness, "b", &health, Some(Lag { messages: 7, seconds }), 30.0);
            readiness
        };
        assert!(!told(LaneState::Stopped, Some("a row is missing"), 0.0).is_ready());
        let away = told(LaneState::Connecting, Some("refused"), 90.0);
        assert!(away.is_ready() && away.warnings == ["shard b is not written to: refused"], "{away:?}");
        let behind = told(LaneState::Behind, None, 90.0);
        assert_eq!(behind.warnings, ["shard b is 7 messages and 90 s behind the journal's end"]);
        assert_eq!(told(LaneState::Live, None, 2.0), Readiness::default());
    }

    #[test]
    fn faults_of_streams_count_where_this_writer_uses_them() {
        let status = status();
        let fault = |stream: &str, partition: Option<u16>| sluice_journal::Fault {
            stream: stream.to_owned(),
            partition: partition.map(Partition::new),
            what: stream.to_owned(),
        };
        let faults = vec![fault("JOURNAL-1", Some(1)), fault("JOURNAL-9", Some(9)), fault("DEAD", None)];
        let mut readiness = Readiness::default();
        of_journal(&mut readiness, JournalHealth { faults, ..JournalHealth::default() }, &status.inner());
        assert_eq!(
            (readiness.reasons, readiness.warnings),
            (vec!["JOURNAL-1".into(), "DEAD".into()], vec!["JOURNAL-9".into()])
        );
        status.part(Part::Group, Some("deaf".to_owned()));
        assert!(!status.readiness().is_ready());
        status.part(Part::Group, None);
        status.part(Part::Trimming, Some("no answer".to_owned()));
        assert!(status.readiness().is_ready() && status.readiness().warnings.len() == 1);
    }
}
