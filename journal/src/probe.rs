//! Does the server's account mapping lead `person.*.<customer>` into the customer's partition?

use async_nats::{Client, HeaderMap, client::RequestErrorKind};
use sluice_model::{CustomerId, PartitionCount};

use crate::subject::{header, mapping as mapping_line, public_create, stream_name};

/// JetStream's code for "expected stream does not match".
const STREAM_NOT_MATCH: u64 = 10_060;
/// JetStream's code for "wrong last sequence".
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// A sequence that no stream of ours can have.
const IMPOSSIBLE_SEQUENCE: &str = "9223372036854775807";

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

/// Tries customers of every partition. Nothing is stored: each probe says which stream it expects to reach and a last
/// sequence that is impossible. The server looks at the stream first, so "wrong last sequence" means: the right stream.
///
/// # Errors
/// [`ProbeError`], with the line that the configuration wants.
pub async fn mapping(client: &Client, partitions: PartitionCount) -> Result<(), ProbeError> {
    // Names enough that a mapping onto another number of partitions gets some of them wrong: with P partitions here
    // and Q there, a name is right in both with a chance of at most 1/2.
    let names = (0..u32::from(partitions.get()).max(24)).map(|n| format!("probe-{n}"));
    for name in names {
        let customer: CustomerId = name.parse().expect("letters, a dash and digits");
        one(client, partitions, &customer).await?;
    }
    Ok(())
}

async fn one(client: &Client, partitions: PartitionCount, customer: &CustomerId) -> Result<(), ProbeError> {
    let stream = stream_name(partitions.of(customer));
    let mut headers = HeaderMap::new();
    headers.insert(header::EXPECTED_STREAM, stream.as_str());
    headers.insert(header::EXPECTED_LAST_SEQUENCE, IMPOSSIBLE_SEQUENCE);
    let answer = client.request_with_headers(public_create(customer), headers, "".into()).await;
    let answer = answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => ProbeError::Missing { line: mapping_line(partitions) },
        _ => ProbeError::NoAnswer(error.to_string()),
    })?;
    match error_code(&answer.payload) {
        Some(WRONG_LAST_SEQUENCE) => Ok(()),
        Some(STREAM_NOT_MATCH) => {
            Err(ProbeError::Elsewhere { customer: customer.clone(), stream, line: mapping_line(partitions) })
        }
        _ => Err(ProbeError::NoAnswer(String::from_utf8_lossy(&answer.payload).into_owned())),
    }
}

fn error_code(answer: &[u8]) -> Option<u64> {
    let answer: async_nats::jetstream::response::Response<async_nats::jetstream::publish::PublishAck> =
        serde_json::from_slice(answer).ok()?;
    match answer {
        async_nats::jetstream::response::Response::Err { error } => Some(error.error_code().0),
        async_nats::jetstream::response::Response::Ok(_) => None,
    }
}
