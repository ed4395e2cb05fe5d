//! Does the server's account mapping lead `person.*.<customer>` into the customer's partition?

use async_nats::{Client, HeaderMap, client::RequestErrorKind};
use bytes::Bytes;
use sluice_model::{CustomerId, Partition, PartitionCount};

use crate::{
    rights::Rights,
    subject::{create, header, mapping as mapping_line, public_create, stream_name},
};

/// JetStream's code for "expected stream does not match".
const STREAM_NOT_MATCH: u64 = 10_060;
/// JetStream's code for "wrong last sequence".
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// JetStream's code for "message size exceeds maximum allowed": a repair has shut the stream, and died. It has been reached.
const TOO_LARGE: u64 = 10_054;
/// A sequence that no stream of ours can have.
pub(crate) const IMPOSSIBLE_SEQUENCE: &str = "9223372036854775807";

/// What is wrong with the mapping.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens to where `person.create.<customer>` leads.
    #[error("the NATS server maps person.*.* to no partition; add to its configuration (or the account's): {line}")]
    Missing {
        /// What to add.
        line: String,
    },
    /// It leads to another partition than ours.
    #[error(
        "the NATS server maps customer {customer} elsewhere than to {stream}; its configuration has to say: {line}"
    )]
    Elsewhere {
        /// The customer that was tried.
        customer: CustomerId,
        /// Where it belongs.
        stream: String,
        /// What the configuration has to say.
        line: String,
    },
    /// No answer that says anything.
    #[error("the account mapping could not be tried: {0}")]
    NoAnswer(String),
}

impl ProbeError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoAnswer(_))
    }
}

/// Whether our user may try it: that takes leave to store persons.
pub(crate) fn is_allowed(rights: &Rights, partitions: PartitionCount) -> bool {
    let customer = "probe-0".parse().expect("letters, a dash and a digit");
    rights.allow(&create(partitions, &customer))
}

/// Tries customers of every partition that `is_usable`; the others' streams would not answer as
/// they should. Nothing is stored: each probe says which stream it expects to reach and a last
/// sequence that is impossible. The server looks at the stream first, so "wrong last sequence"
/// means: the right stream.
///
/// # Errors
/// [`ProbeError`], with the line that the configuration wants.
pub async fn mapping(
    client: &Client,
    partitions: PartitionCount,
    is_usable: impl Fn(Partition) -> bool,
) -> Result<(), ProbeError> {
    // Names enough that a mapping onto another number of partitions gets some of them wrong: with P partitions here
    // and Q there, a name is right in both with a chance of at most 1/2.
    let names = (0..u32::from(partitions.get()).max(24)).map(|n| format!("probe-{n}"));
    for name in names {
        let customer: CustomerId = name.parse().expect("letters, a dash and digits");
        if is_usable(partitions.of(&customer)) {
            one(client, partitions, &customer).await?;
        }
    }
    Ok(())
}

async fn one(client: &Client, partitions: PartitionCount, customer: &CustomerId) -> Result<(), ProbeError> {
    let stream = stream_name(partitions.of(customer));
    let public = public_create(customer);
    let mut answer = ask(client, public.clone(), &stream).await?;
    if answer.is_none() {
        // Nobody listens either where the mapping leads nowhere, or where the partition's stream has no leader at the
        // moment: then nobody listens to its own subject. It may have got one in between, so the mapping is tried once more.
        if ask(client, create(partitions, customer), &stream).await?.is_none() {
            return Err(ProbeError::NoAnswer(format!("the stream {stream} has no leader at the moment")));
        }
        answer = ask(client, public, &stream).await?;
    }
    let answer = answer.ok_or_else(|| ProbeError::Missing { line: mapping_line(partitions) })?;
    match error_code(&answer) {
        Some(WRONG_LAST_SEQUENCE) => Ok(()),
        Some(STREAM_NOT_MATCH) => {
            Err(ProbeError::Elsewhere { customer: customer.clone(), stream, line: mapping_line(partitions) })
        }
        Some(TOO_LARGE) if stream_of(&answer).as_deref() == Some(stream.as_str()) => Ok(()),
        _ => Err(ProbeError::NoAnswer(String::from_utf8_lossy(&answer).into_owned())),
    }
}

/// What answers to an event of that subject which cannot be stored; `None` where nobody listens.
async fn ask(client: &Client, subject: String, stream: &str) -> Result<Option<Bytes>, ProbeError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::EXPECTED_STREAM, stream);
    headers.insert(header::EXPECTED_LAST_SEQUENCE, IMPOSSIBLE_SEQUENCE);
    match client.request_with_headers(subject, headers, Bytes::new()).await {
        Ok(answer) => Ok(Some(answer.payload)),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(None),
        Err(error) => Err(ProbeError::NoAnswer(error.to_string())),
    }
}

/// The stream that has refused.
fn stream_of(answer: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    answer["stream"].as_str().map(str::to_owned)
}

fn error_code(answer: &[u8]) -> Option<u64> {
    let answer: async_nats::jetstream::response::Response<async_nats::jetstream::publish::PublishAck> =
        serde_json::from_slice(answer).ok()?;
    match answer {
        async_nats::jetstream::response::Response::Err { error } => Some(error.error_code().0),
        async_nats::jetstream::response::Response::Ok(_) => None,
    }
}
