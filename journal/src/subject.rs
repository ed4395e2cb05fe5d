//! Every name that NATS knows us by.

use std::fmt;

use sluice_model::{CustomerId, EventId, Partition, PartitionCount, Person, Reason, Refusal};

/// The stream of dead letters.
pub const DEAD_STREAM: &str = "DEAD";
/// What the stream of dead letters listens to.
pub const DEAD_SUBJECTS: &str = "dead.>";

/// The key-value bucket of what trimming has to remember.
pub const TRIM_BUCKET: &str = "sluice_trim";

/// The key-value bucket of the writers that are there.
pub const WRITERS_BUCKET: &str = "sluice_writers";

/// The key of one journal's entry in [`TRIM_BUCKET`]: a journal that is made anew begins with none.
pub fn trim_key(journal_id: &str) -> String {
    format!("journal.{journal_id}")
}

/// The key-value bucket of what was repaired.
pub const REPAIR_BUCKET: &str = "sluice_repair";

/// The key of one partition's entry there. A journal that is made anew begins with none.
pub fn repair_key(journal_id: &str, partition: Partition) -> String {
    format!("journal.{journal_id}.{partition}")
}

/// What a repair takes up positions with: a message on this subject that holds nothing, and that nobody has to do anything about.
///
/// It has three tokens, so the account mapping leads nobody there.
pub fn filler(partition: Partition) -> String {
    format!("journal.{partition}.repair")
}

/// The stream of a partition.
pub fn stream_name(partition: Partition) -> String {
    format!("JOURNAL-{partition}")
}

/// What a partition's stream listens to: everything below its number, so that nothing the mapping leads there is lost
/// without a word.
pub fn stream_subjects(partition: Partition) -> String {
    format!("journal.{partition}.>")
}

/// Where JetStream is asked about a stream.
pub fn stream_info(stream: &str) -> String {
    format!("$JS.API.STREAM.INFO.{stream}")
}

/// Where JetStream is told to make a stream.
pub fn stream_create(stream: &str) -> String {
    format!("$JS.API.STREAM.CREATE.{stream}")
}

/// Where JetStream is told to change a stream's settings.
pub fn stream_update(stream: &str) -> String {
    format!("$JS.API.STREAM.UPDATE.{stream}")
}

/// Whether what is published there would come to a stream of ours, or to the server's own
/// questions.
pub(crate) fn is_ours(subject: &str) -> bool {
    let first = subject.split('.').next().unwrap_or_default();
    // A pattern's first token may become anything.
    matches!(first, "journal" | "dead" | "person" | "$KV" | "$JS" | ">" | "*") || first.contains("{{")
}

/// The stream behind a key-value bucket.
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// The line of the server's configuration that leads `person.create.<customer>` into the customer's partition.
pub fn mapping(partitions: PartitionCount) -> String {
    format!(
        r#"mappings {{ "person.*.*": "journal.{{{{partition({partitions},2)}}}}.person.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}" }}"#
    )
}

/// What an outside publisher writes to; the server's mapping turns it into [`Subject`]'s form.
pub fn public_create(customer: &CustomerId) -> String {
    format!("{}.create.{customer}", Person::TABLE)
}

/// Where a customer's new person is stored: `journal.<partition>.person.create.<customer>`.
pub fn create(partitions: PartitionCount, customer: &CustomerId) -> String {
    format!("journal.{}.{}.create.{customer}", partitions.of(customer), Person::TABLE)
}

/// Reads the customer of a "create this person" subject, as stored in `partition`.
///
/// # Errors
/// A refusal where the subject means something else, names no customer id, or stands in a partition other than its
/// customer's (which only a wrong account mapping or a publisher beside it can bring about).
pub fn customer_of(subject: &str, partition: Partition, partitions: PartitionCount) -> Result<&str, Refusal> {
    let unknown = || Refusal::new(Reason::UnknownSubject, format!("nothing is done with {subject:?} here"));
    let (number, rest) = subject.strip_prefix("journal.").and_then(|rest| rest.split_once('.')).ok_or_else(unknown)?;
    let verb = rest.strip_prefix(Person::TABLE).and_then(|rest| rest.strip_prefix('.'));
    let customer = verb.and_then(|rest| rest.strip_prefix("create.")).ok_or_else(unknown)?;
    CustomerId::check(customer).map_err(|e| Refusal::new(Reason::InvalidCustomer, format!("{customer:?}: {e}")))?;
    if partitions.of_token(customer) != partition || number.parse() != Ok(partition.number()) {
        let right = partitions.of_token(customer);
        let detail = format!("{subject:?} is in partition {partition}, customer {customer} belongs to {right}");
        return Err(Refusal::new(Reason::WrongPartition, detail));
    }
    Ok(customer)
}

/// The subject of an event's dead letter: `dead.<partition>.<table>.<customer>.<event id>`.
///
/// Where there is no valid customer, `_` stands in its place: that is no customer id.
pub struct DeadSubject<'a> {
    /// The event.
    pub id: EventId,
    /// Whose it is, if anybody's.
    pub customer: Option<&'a CustomerId>,
}

impl fmt::Display for DeadSubject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let customer = self.customer.map_or("_", CustomerId::as_str);
        write!(f, "dead.{}.{}.{customer}.{}", self.id.position().partition(), Person::TABLE, self.id)
    }
}

/// The subject of an event's dead letter, whoever's it is: a pattern that one message matches.
pub fn dead_of_anybody(id: EventId) -> String {
    format!("dead.{}.{}.*.{id}", id.position().partition(), Person::TABLE)
}

/// Names of message headers.
pub mod header {
    /// A dead letter's reason code.
    pub const REASON: &str = "Sluice-Reason";
    /// A dead letter's text for people.
    pub const DETAIL: &str = "Sluice-Detail";
    /// The indexes of the events that a dead letter stands for, where it stands for several of its message, such as `0-41,43`.
    pub const EVENTS: &str = "Sluice-Events";
    /// How many these are, for people.
    pub const EVENT_COUNT: &str = "Sluice-Event-Count";
    /// How many bytes the event had, where only the first of them fit.
    pub const WHOLE_BYTES: &str = "Sluice-Whole-Bytes";
    /// The position of the message that the dead event came in.
    pub const POSITION: &str = "Sluice-Position";
    /// The dead event's index in that message.
    pub const INDEX: &str = "Sluice-Index";
    /// The subject of that message.
    pub const SUBJECT: &str = "Sluice-Subject";
    /// When that message was stored, in nanoseconds since 1970.
    pub const STAMP: &str = "Sluice-Stamp";
    /// A replay was begun: the first position that it could have got.
    pub const REPLAY_FROM: &str = "Sluice-Replay-From";
    /// The dead letter was replayed: the id that the event has now.
    pub const REPLAYED_AS: &str = "Sluice-Replayed-As";
    /// The dead letter was dropped.
    pub const DROPPED: &str = "Sluice-Dropped";
    /// A message of the journal that is a replay: the id that the event had when it died.
    pub const REPLAY_OF: &str = "Sluice-Replay";
    /// A message of the journal that is a copy, made by a repair: the position of what it is a copy of. Its stamp stands beside it.
    pub const REPAIRED_FROM: &str = "Sluice-Repaired-From";
    /// What a stream knows a message again by, for its duplicate window.
    pub const MESSAGE_ID: &str = "Nats-Msg-Id";
    /// The atomic batch that a message belongs to.
    pub const BATCH_ID: &str = "Nats-Batch-Id";
    /// The message's place in it, counted from 1.
    pub const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
    /// Whether the batch ends with this message, and is stored.
    pub const BATCH_COMMIT: &str = "Nats-Batch-Commit";
    /// The only stream that a publish may be stored in.
    pub const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
    /// The stream sequence that the last stored message must have.
    pub const EXPECTED_LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
    /// The stream sequence that the last message of the same subject must have; 0 for none.
    pub const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
    /// Which subject that is, where it is not the message's own.
    pub const EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: &str) -> Result<&str, Reason> {
        let partitions = PartitionCount::try_from(4).unwrap();
        let partition = partitions.of_token("42");
        customer_of(subject, partition, partitions).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn no_event_and_nothing_that_the_mapping_gives_has_a_fillers_subject() {
        let partition = Partition::new(3);
        assert_eq!(filler(partition), "journal.3.repair");
        let partitions = PartitionCount::try_from(4).unwrap();
        assert_eq!(customer_of(&filler(partition), partition, partitions).unwrap_err().reason, Reason::UnknownSubject);
        let mapped =
            mapping(partitions).matches('.').count() - public_create(&"1".parse().unwrap()).matches('.').count();
        assert_eq!(mapped, 4, "five tokens: a filler has three");
    }

    #[test]
    fn only_a_create_subject_of_a_customer_in_its_own_partition_is_an_event() {
        let partitions = PartitionCount::try_from(4).unwrap();
        let own = partitions.of_token("42");
        let other = (own.number() + 1) % 4;
        assert_eq!(of(&create(partitions, &"42".parse().unwrap())), Ok("42"));
        assert_eq!(of(&format!("journal.{other}.person.create.42")), Err(Reason::WrongPartition));
        assert_eq!(of(&format!("journal.{own}.person.delete.42")), Err(Reason::UnknownSubject));
        assert_eq!(of(&format!("journal.{own}.animal.create.42")), Err(Reason::UnknownSubject));
        assert_eq!(of(&format!("journal.{own}.person.create")), Err(Reason::UnknownSubject));
        assert_eq!(of(&format!("journal.{own}.person.create.*")), Err(Reason::InvalidCustomer));
        assert_eq!(of(&format!("journal.{own}.person.create.42.more")), Err(Reason::InvalidCustomer));
    }
}
