//! Why an event can never become a row.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The closed list of reasons, as they stand in dead letters and problem documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The bytes are not JSON (or not UTF-8).
    MalformedJson,
    /// JSON, but not the event's fields: one is missing, unknown, doubled or of the wrong type.
    InvalidEvent,
    /// The event names another customer than its subject.
    CustomerMismatch,
    /// A field is longer than its limit.
    TooLong,
    /// A field has a NUL character.
    NulCharacter,
    /// A message without a payload: a random person would differ at each reading.
    EmptyMessage,
    /// A message with more events than there are ids for.
    TooManyEvents,
    /// A subject with no meaning here.
    UnknownSubject,
    /// The subject's customer is no customer id.
    InvalidCustomer,
    /// The message is in another partition than its customer's.
    WrongPartition,
    /// Strict placement, and nobody has placed this customer.
    UnknownCustomer,
    /// The shard's database refused this very value.
    RefusedByShard,
}

impl Reason {
    /// The stable code, for example `malformed_json`.
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::InvalidEvent => "invalid_event",
            Self::CustomerMismatch => "customer_mismatch",
            Self::TooLong => "too_long",
            Self::NulCharacter => "nul_character",
            Self::EmptyMessage => "empty_message",
            Self::TooManyEvents => "too_many_events",
            Self::UnknownSubject => "unknown_subject",
            Self::InvalidCustomer => "invalid_customer",
            Self::WrongPartition => "wrong_partition",
            Self::UnknownCustomer => "unknown_customer",
            Self::RefusedByShard => "refused_by_shard",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An event that can never become a row: why, and where to look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// For people: what and where.
    pub detail: String,
    /// For programs: where, as a JSON pointer into the event; `None` where no single place is to blame.
    pub pointer: Option<String>,
}

impl Refusal {
    /// A refusal with a text for people.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string(), pointer: None }
    }

    /// Names the offending place, a JSON pointer (RFC 6901).
    #[must_use]
    pub fn at(self, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..self }
    }
}
