//! The command line: `directory serve`, and what an administrator asks of a running directory.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sluice_model::CustomerId;
use sluice_service::{nats::NatsArgs, telemetry::TelemetryArgs};
use sluice_shard::Flavor;
use tokio::net::TcpListener;

use crate::{
    api::Pool,
    placement::Policy,
    service::{self, Config},
};

const EXAMPLES: &str = "\
Examples:
  directory serve --meta sqlite:///var/lib/sluice/directory.db
  directory shard add eu-1 --flavor postgres --host 10.0.0.5 --user sluice --password-env PGPASSWORD --database people
  directory shard add tiny --flavor sqlite --database /var/lib/sluice/tiny.db
  directory shard list
  directory customer place 42 eu-1
  directory customer show 42 -o json

All but `serve` talk to a running directory: see --directory-url.";

/// Knows the shards, and where each customer's rows belong.
#[derive(Debug, Parser)]
#[command(name = "directory", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How an administrator's command reaches a directory and reports.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// The running directory that the administrator's commands talk to.
    #[arg(long, global = true, env = "DIRECTORY_URL", default_value = "http://127.0.0.1:7070")]
    pub directory_url: String,
    /// How to report: a table for people, or JSON as the HTTP API has it.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the directory: HTTP and NATS.
    Serve(Box<ServeArgs>),
    /// The shards: register one, list them.
    #[command(subcommand)]
    Shard(ShardCommand),
    /// The customers: where one is, put one somewhere.
    #[command(subcommand)]
    Customer(CustomerCommand),
}

/// What a directory's process is told.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen for HTTP.
    #[arg(long, env = "DIRECTORY_LISTEN", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Listen on an address that other machines can reach, although callers need not prove who they are yet and the
    /// answers hold the shards' passwords.
    #[arg(long, env = "DIRECTORY_INSECURE")]
    pub insecure: bool,
    /// The meta database, sqlite://PATH; made where it is missing, readable for its owner only.
    #[arg(long, env = "DIRECTORY_META", default_value = "sqlite://directory.db")]
    pub meta: String,
    /// What becomes of a customer that nobody has placed: it goes to the least loaded shared shard, or its events
    /// become dead letters.
    #[arg(long, env = "DIRECTORY_PLACEMENT", value_enum, default_value_t = Policy::Auto)]
    pub placement: Policy,
    /// The connection to NATS.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The journal, where it has to be made.
    #[command(flatten)]
    pub journal: sluice_journal::Settings,
    /// Logs.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl ServeArgs {
    /// Listens, connects and serves until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// Where the address is not to be listened on, or [`service::run`] fails.
    pub async fn run(self) -> anyhow::Result<()> {
        let address = self.address()?;
        sluice_service::telemetry::init(&self.telemetry)?;
        let shutdown = sluice_service::shutdown::on_signal()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}; name another with --listen"))?;
        let nats = sluice_service::nats::connect(&self.nats, "directory").await?;
        let config = Config { meta: self.meta, placement: self.placement, journal: self.journal };
        service::run(config, listener, nats, shutdown).await
    }

    fn address(&self) -> anyhow::Result<SocketAddr> {
        anyhow::ensure!(
            self.listen.ip().is_loopback() || self.insecure,
            "{} can be reached from other machines, and anybody who reaches it could read the shards' passwords: \
             callers need not prove who they are yet. Listen on 127.0.0.1, or, behind something that keeps strangers \
             out, add --insecure",
            self.listen
        );
        Ok(self.listen)
    }
}

/// What can be done about shards.
#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// Make a database a shard: it gets its tables, its identity and its first positions.
    #[command(after_help = "\
Examples:
  directory shard add eu-1 --flavor postgres --host 10.0.0.5 --user sluice --password-env PGPASSWORD --database people
  directory shard add big-co --flavor postgres --host /run/postgresql --user sluice --database bigco --pool dedicated
  directory shard add tiny --flavor sqlite --database ./tiny.db

It may be repeated after a failure. A database that is a shard already, under another name, is refused.")]
    Add(Box<ShardAddArgs>),
    /// Every shard, with the number of customers placed on it. Never a password.
    List,
}

/// A database that is to become a shard.
#[derive(Debug, Args)]
pub struct ShardAddArgs {
    /// What to call it: [a-z0-9][a-z0-9_-]{0,62}.
    pub name: String,
    /// The engine: postgres or sqlite.
    #[arg(long)]
    pub flavor: Flavor,
    /// Host name or address, or the folder of a Unix socket. Not for SQLite.
    #[arg(long, default_value = "")]
    pub host: String,
    /// TCP port [default: the engine's usual one]. Not for SQLite.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Database user. Not for SQLite.
    #[arg(long, default_value = "")]
    pub user: String,
    /// The environment variable that holds the user's password.
    #[arg(long, value_name = "VAR", conflicts_with = "password_file")]
    pub password_env: Option<String>,
    /// The file that holds the user's password; line ends after it are left out.
    #[arg(long, value_name = "PATH")]
    pub password_file: Option<PathBuf>,
    /// Database name; for SQLite the file's path.
    #[arg(long)]
    pub database: String,
    /// Which customers it takes: any number by placement, or exactly one by hand.
    #[arg(long, value_enum, default_value_t = Pool::Shared)]
    pub pool: Pool,
}

/// What can be done about customers.
#[derive(Debug, Subcommand)]
pub enum CustomerCommand {
    /// A customer's routes: from which position on it belongs to which shard.
    Show {
        /// Whose.
        id: CustomerId,
    },
    /// Put a customer on a shard before its first event, or confirm that it is there.
    Place {
        /// Whom.
        id: CustomerId,
        /// The shard's name.
        shard: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn serve(args: &[&str]) -> ServeArgs {
        match Cli::try_parse_from([&["directory", "serve"], args].concat()).unwrap().command {
            Command::Serve(serve) => *serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_that_others_can_reach_needs_to_be_asked_for_twice() {
        assert!(serve(&["--listen", "127.0.0.1:1"]).address().is_ok());
        assert!(serve(&["--listen", "[::1]:1"]).address().is_ok());
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let error = serve(&["--listen", open]).address().unwrap_err().to_string();
            assert!(error.contains("passwords") && error.contains("--insecure"), "{error}");
            assert!(serve(&["--listen", open, "--insecure"]).address().is_ok());
        }
    }
}
