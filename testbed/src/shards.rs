//! Of which engines a fleet's shards are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sluice_shard::Flavor;

/// The engines of a fleet's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Shards {
    /// All of one.
    All(Flavor),
    /// PostgreSQL, MariaDB, SQLite, and again from the first.
    Mixed,
}

impl Shards {
    /// The engine of the shard with that index.
    pub fn of(self, index: usize) -> Flavor {
        const ORDER: [Flavor; 3] = [Flavor::Postgres, Flavor::Mysql, Flavor::Sqlite];
        match self {
            Self::All(flavor) => flavor,
            Self::Mixed => ORDER[index % ORDER.len()],
        }
    }
}

impl From<Flavor> for Shards {
    fn from(flavor: Flavor) -> Self {
        Self::All(flavor)
    }
}

impl From<Shards> for String {
    fn from(shards: Shards) -> Self {
        shards.to_string()
    }
}

impl TryFrom<String> for Shards {
    type Error = InvalidShards;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(flavor) => flavor.fmt(f),
            Self::Mixed => f.write_str("mixed"),
        }
    }
}

/// The text names neither an engine nor a mixture of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidShards;

impl fmt::Display for InvalidShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of postgres, mysql, sqlite, mixed is wanted")
    }
}

impl std::error::Error for InvalidShards {}

impl FromStr for Shards {
    type Err = InvalidShards;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "mixed" => Ok(Self::Mixed),
            flavor => flavor.parse().map(Self::All).map_err(|_| InvalidShards),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_shards_are_of_each_engine_in_turn_and_each_name_is_read_as_it_is_written() {
        assert_eq!(
            [0, 1, 2, 3].map(|index| Shards::Mixed.of(index)),
            [Flavor::Postgres, Flavor::Mysql, Flavor::Sqlite, Flavor::Postgres]
        );
        for shards in [Shards::Mixed, Flavor::Mysql.into(), Flavor::Sqlite.into()] {
            assert_eq!(shards.to_string().parse(), Ok(shards));
        }
        assert_eq!("oracle".parse::<Shards>(), Err(InvalidShards));
    }
}
