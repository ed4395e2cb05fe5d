//! The JSON that both faces speak, over HTTP and over NATS alike.
//!
//! Questions and routes stand here, shards in `shard.rs`, the reader that names a bad field in `json.rs`.

mod json;
mod shard;

pub use json::parse;
use serde::{Deserialize, Serialize, Serializer};
pub use shard::{Destination, ListedShard, NewShard, Pool, ShardChange, ShardCredentials, ShardState, Shards};
use sluice_model::{CustomerId, Position};

/// The most questions of one request. More would hold the store's write lock for long; the client cuts by itself.
pub const MAX_QUESTIONS: usize = 1_000;

/// The subjects of the NATS face. Nobody else spells them.
pub mod subject {
    /// Where to write for one customer: the last token is the customer.
    pub const WRITE_ONE: &str = "directory.write.*";
    /// Where to read one customer: the last token is the customer.
    pub const READ_ONE: &str = "directory.read.*";
    /// Where to write, for many.
    pub const WRITE_MANY: &str = "directory.routes.write";
    /// Where to read, for many.
    pub const READ_MANY: &str = "directory.routes.read";
    /// Every shard with its credentials.
    pub const SHARDS: &str = "directory.shards";
    /// The header of an error's problem document (beside the two headers of the NATS services API).
    pub const PROBLEM_HEADER: &str = "Sluice-Problem";
}

/// A position that came from outside: what no journal can give is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct At(pub Position);

impl TryFrom<u64> for At {
    type Error = &'static str;
    fn try_from(sequence: u64) -> Result<Self, Self::Error> {
        Position::new(sequence).map(Self).ok_or("not a position: it is a whole number below 2^53")
    }
}

fn position<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
    At::deserialize(deserializer).map(|at| at.0)
}

/// From this position on, the customer's events belong to that shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The shard's name.
    pub shard: String,
    /// The first position that the route is for.
    #[serde(deserialize_with = "position")]
    pub from: Position,
}

/// Where an event of a customer belongs: `{"shard","from"}` or `{"refused":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RouteAnswer {
    /// There.
    Placed(Route),
    /// Nowhere, and for this position that holds for ever: the customer was unknown under strict placement.
    #[serde(with = "refused")]
    Refused,
}

mod refused {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Refused {
        refused: bool,
    }

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        Refused { refused: true }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let said = Refused::deserialize(deserializer)?.refused;
        said.then_some(()).ok_or_else(|| serde::de::Error::custom("neither a route nor a refusal"))
    }
}

/// One answer per question, in the order of the questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes<T> {
    /// The answers.
    pub routes: Vec<T>,
}

/// "Where does this customer's event at this position belong?", for many.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteQuestions {
    /// The questions.
    pub customers: Vec<WriteQuestion>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteQuestion {
    /// Whose event.
    pub customer: CustomerId,
    /// At which position; without one: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// "Where are these customers' rows?"
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadQuestions {
    /// Whose.
    pub customers: Vec<CustomerId>,
}

/// The position that a question about one customer is for (the query of a URL, or the payload of a NATS request).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtQuery {
    /// The position; without one: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// Where a customer was and is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRoutes {
    /// Who.
    pub customer: CustomerId,
    /// By position, the newest last.
    pub routes: Vec<Route>,
}

/// The shard that a customer is to be placed on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its name.
    pub shard: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_documented_form_and_come_back_equal() {
        let placed = RouteAnswer::Placed(Route { shard: "a".into(), from: Position::new(7).unwrap() });
        let routes = Routes { routes: vec![placed, RouteAnswer::Refused] };
        let json = serde_json::to_string(&routes).unwrap();
        assert_eq!(json, r#"{"routes":[{"shard":"a","from":7},{"refused":true}]}"#);
        assert_eq!(serde_json::from_str::<Routes<RouteAnswer>>(&json).unwrap(), routes);
        assert!(serde_json::from_str::<RouteAnswer>(r#"{"refused":false}"#).is_err());
        assert!(serde_json::from_str::<Route>(r#"{"shard":"a","from":9007199254740992}"#).is_err());
    }
}
