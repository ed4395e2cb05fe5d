//! The way in over NATS: a publish to `person.create.<customer>`, as any client may send it.
//!
//! The server's account mapping leads it into the customer's partition, and JetStream acknowledges storage to the
//! publisher. Each publish waits for that: what counts as accepted is stored.

use std::time::Duration;

use async_nats::jetstream::{
    Context,
    context::{ContextBuilder, PublishError, PublishErrorKind},
};
use sluice_journal::subject::public_create;

use crate::{plan::Parcel, tally::Failure};

/// Publishes persons.
#[derive(Debug, Clone)]
pub struct NatsTarget {
    context: Context,
}

impl NatsTarget {
    /// A target at these servers, for so many publishes in flight.
    pub fn new(client: async_nats::Client, in_flight: usize, timeout: Duration) -> Self {
        // The load keeps to its number of publishes in flight by itself: the context need not refuse any.
        let context = ContextBuilder::new().timeout(timeout).max_ack_inflight(in_flight).build(client);
        Self { context }
    }

    /// Publishes one parcel and waits for JetStream's acknowledgement.
    ///
    /// # Errors
    /// By its cause. After `timeout` the parcel may well be stored: nobody knows.
    pub async fn send(&self, parcel: Parcel<'_>) -> Result<(), Failure> {
        let sent = self.context.publish(public_create(parcel.customer), parcel.payload.into()).await;
        sent.map_err(failure)?.await.map_err(failure)?;
        Ok(())
    }
}

fn failure(error: PublishError) -> Failure {
    let cause = match error.kind() {
        PublishErrorKind::StreamNotFound => {
            let detail = "nothing listens there: is the server's account mapping missing, or has the partition's stream no \
                          leader at the moment?";
            return Failure { cause: "no_stream".to_owned(), detail: detail.to_owned() };
        }
        PublishErrorKind::TimedOut => "timeout",
        PublishErrorKind::BrokenPipe => "broken",
        PublishErrorKind::MaxPayloadExceeded => "too_large",
        _ => "refused",
    };
    Failure { cause: cause.to_owned(), detail: format!("{:#}", anyhow::Error::new(error)) }
}
