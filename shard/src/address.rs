//! Where a shard is and how to get in.

use std::{fmt, str::FromStr};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::CustomerColumn;

/// The database engine of a shard. A closed set: each has its own file of SQL in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// PostgreSQL, written by `COPY`.
    #[serde(alias = "postgresql")]
    Postgres,
    /// MySQL 8 or MariaDB, written by multi-row `INSERT`s.
    #[serde(alias = "mariadb")]
    Mysql,
    /// SQLite: `database` is the file's path; host, port, user and password are empty.
    Sqlite,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
        })
    }
}

/// The text names no engine that Sluice knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a flavor: one of postgres, mysql, sqlite is wanted")]
pub struct InvalidFlavor;

impl FromStr for Flavor {
    type Err = InvalidFlavor;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "postgres" | "postgresql" => Ok(Self::Postgres),
            "mysql" | "mariadb" => Ok(Self::Mysql),
            "sqlite" => Ok(Self::Sqlite),
            _ => Err(InvalidFlavor),
        }
    }
}

/// One shard's engine, place and credentials. `Debug` and `Display` leave the password out.
#[derive(Debug, Clone)]
pub struct ShardAddress {
    /// The engine.
    pub flavor: Flavor,
    /// Host name or address; a path that begins with `/` is the folder of a Unix socket (PostgreSQL).
    pub host: String,
    /// TCP port; 0 where there is none.
    pub port: u16,
    /// Database user.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
    /// Database name, or for SQLite the file's path.
    pub database: String,
    /// The column of `person` that says whose a row is.
    pub customer_column: CustomerColumn,
}

impl fmt::Display for ShardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flavor {
            Flavor::Sqlite => write!(f, "sqlite:{}", self.database),
            flavor => write!(f, "{flavor}://{}@{}:{}/{}", self.user, self.host, self.port, self.database),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flavor_is_read_by_each_of_its_names_and_written_by_one() {
        for (name, flavor) in [("postgresql", Flavor::Postgres), ("mariadb", Flavor::Mysql), ("sqlite", Flavor::Sqlite)]
        {
            for name in [name, &flavor.to_string()] {
                assert_eq!(name.parse(), Ok(flavor));
            }
        }
        assert_eq!(Flavor::Mysql.to_string(), "mysql");
        assert_eq!("MySQL".parse::<Flavor>(), Err(InvalidFlavor));
    }
}
