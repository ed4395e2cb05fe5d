//! No directory at all: one database for all customers.

use std::path::PathBuf;

use secrecy::SecretString;
use sluice_model::{Partition, Position};
use sluice_shard::{CustomerColumn, ShardAddress};

use super::ShardEntry;
use crate::{
    DirectoryError, Pool, Route, ShardState, api::NewShard, args::StandaloneArgs, registration::validate,
    store::read_password,
};

/// The one shard that there is.
#[derive(Debug)]
pub(super) struct Standalone {
    name: String,
    address: ShardAddress,
    password_file: Option<PathBuf>,
}

impl Standalone {
    /// As the variables say.
    pub(super) fn new(args: &StandaloneArgs) -> anyhow::Result<Self> {
        let args = args.clone();
        let new = NewShard {
            name: args.sharding_shard,
            flavor: args.sharding_flavor.unwrap_or(sluice_shard::Flavor::Postgres),
            host: args.sharding_host.unwrap_or_default(),
            port: args.sharding_port.unwrap_or_default(),
            user: args.sharding_user.unwrap_or_default(),
            password: args.sharding_password.unwrap_or_default(),
            password_file: args.sharding_password_file.map(std::path::absolute).transpose()?,
            database: args.sharding_database.unwrap_or_default(),
            pool: Pool::Shared,
            weight: 1,
        };
        let new = validate(new).map_err(|problem| {
            let field = problem.pointer.as_deref().unwrap_or_default().trim_start_matches('/');
            let variable = if field == "name" { "SHARD".to_owned() } else { field.to_uppercase() };
            anyhow::anyhow!("SHARDING_MODE=standalone: SHARDING_{variable}: {}", problem.detail)
        })?;
        let NewShard { name, flavor, host, port, user, password, password_file, database, .. } = new;
        let customer_column = CustomerColumn::default();
        let address = ShardAddress { flavor, host, port, user, password, database, customer_column };
        Ok(Self { name, address, password_file })
    }

    /// Where every event belongs.
    pub(super) fn route(&self) -> Route {
        Route { shard: self.name.clone(), from: Position::before_first(Partition::new(0)) }
    }

    /// The shard, with the password as the file says now.
    pub(super) async fn entry(&self) -> Result<ShardEntry, DirectoryError> {
        let mut address = self.address.clone();
        if let Some(path) = &self.password_file {
            let password: Result<SecretString, _> = read_password(path).await;
            address.password = password.map_err(|error| DirectoryError::Unreachable(error.into()))?;
        }
        Ok(ShardEntry { name: self.name.clone(), address, pool: Pool::Shared, state: ShardState::Open, version: 0 })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Client, args::DirectoryArgs};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        directory: DirectoryArgs,
    }

    fn standalone(more: &[&str]) -> anyhow::Result<Standalone> {
        let line = [&["x", "--sharding-mode", "standalone"], more].concat();
        Standalone::new(&Line::try_parse_from(line)?.directory.standalone)
    }

    #[test]
    fn what_is_missing_is_named_as_the_variable_is() {
        let of = |more: &[&str]| standalone(more).unwrap_err().to_string();
        assert!(of(&[]).contains("SHARDING_DATABASE"), "{}", of(&[]));
        assert!(of(&["--sharding-database", "d"]).contains("SHARDING_HOST"));
        assert!(of(&["--sharding-flavor", "sqlite", "--sharding-database", "d.db"]).contains("SHARDING_DATABASE"));
        let taken = ["--sharding-flavor", "sqlite", "--sharding-database", "/d.db", "--sharding-shard", "No!"];
        assert!(of(&taken).contains("SHARDING_SHARD"));
        assert!(of(&["--sharding-flavor", "oracle"]).contains("oracle"));
    }

    #[tokio::test]
    async fn every_customer_is_there_from_the_beginning_and_the_password_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pw");
        let path = file.to_str().unwrap();
        let args = ["--sharding-host", "h", "--sharding-user", "u", "--sharding-database", "d"];
        let one = standalone(&[&args[..], &["--sharding-password-file", path]].concat()).unwrap();
        let client = Client::standalone(one);
        assert!(client.shards().await.unwrap_err().is_transient());
        for password in ["one", "two"] {
            std::fs::write(&file, format!("{password}\n")).unwrap();
            let entries = client.shards().await.unwrap();
            let address = &entries[0].address;
            assert_eq!((entries.len(), entries[0].name.as_str(), address.port), (1, "main", 5_432));
            assert_eq!(secrecy::ExposeSecret::expose_secret(&address.password), password);
        }
        let customer: sluice_model::CustomerId = "42".parse().unwrap();
        let at = Position::new(77).unwrap();
        let written = client.write_routes(&[(customer.clone(), at)]).await.unwrap();
        let route = Route { shard: "main".into(), from: Position::new(0).unwrap() };
        assert_eq!(written, [crate::RouteAnswer::Placed(route.clone())]);
        assert_eq!(client.read_routes(&[customer]).await.unwrap(), [Some(route)]);
    }
}
