//! The command line: `directory serve`, and what an administrator asks of a running directory.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use sluice_model::CustomerId;
use sluice_service::{
    nats::{
        NatsArgs,
        disk_sync::{DiskSync, MonitorArgs},
    },
    settings::Settings,
    telemetry::TelemetryArgs,
};
use sluice_shard::{CustomerColumn, Flavor};
use tokio::net::TcpListener;

use crate::{
    access::AccessArgs,
    api::{Pool, ShardState},
    placement::Policy,
    service::{self, Config},
};

const EXAMPLES: &str = "\
Examples:
  directory serve --meta sqlite:///var/lib/sluice/directory.db --reader-token-file reader --admin-token-file admin
  directory shard add eu-1 --flavor postgres --host 10.0.0.5 --user sluice --password-env PGPASSWORD --database people
  directory shard add tiny --flavor sqlite --database /var/lib/sluice/tiny.db
  directory shard list
  directory shard set eu-1 --state draining
  directory customer place 42 eu-1
  directory customer show 42 -o json

All but `serve` talk to a running directory: see --directory-url and --token-file.

Exit status: 0 done, 1 refused or failed, 2 usage, or no directory answered.";

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
    /// The file with the administrator's token.
    #[arg(long, global = true, env = "DIRECTORY_TOKEN_FILE", value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Instead of the file, the token; better given by the environment than on a command line that others can list.
    #[arg(long, global = true, env = "DIRECTORY_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    pub token: Option<SecretString>,
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
    /// The shards: register one, change one, list them.
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
    /// Who is answered.
    #[command(flatten)]
    pub access: AccessArgs,
    /// The meta database: sqlite://PATH, made where it is missing, readable for its owner only; or
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE, for several directories at once.
    #[arg(long, env = "DIRECTORY_META", default_value = "sqlite://directory.db", hide_env_values = true)]
    pub meta: SecretString,
    /// The file with the key that the shards' passwords are sealed with in the meta database [default: the SQLite database's path
    /// with .key after it]. The first directory of a new meta database makes it; without it nobody can open the passwords.
    #[arg(long, env = "DIRECTORY_KEY_FILE", value_name = "PATH")]
    pub key_file: Option<PathBuf>,
    /// What the column of person is called that says whose a row is, in every shard. Writers have to be told the same.
    #[arg(long, env = "SHARDING_IDENTIFIER_FIELD", default_value_t)]
    pub sharding_identifier_field: CustomerColumn,
    /// How often each shard is asked how much it holds and whether it answers, in seconds. Too low: connections for nothing. Too
    /// high: new customers are placed by what was there long ago.
    #[arg(long, env = "DIRECTORY_MEASURE_S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub measure_s: u64,
    /// What becomes of a customer that nobody has placed: it goes to the least loaded shared shard, or its events
    /// become dead letters.
    #[arg(long, env = "DIRECTORY_PLACEMENT", value_enum, default_value_t = Policy::Auto)]
    pub placement: Policy,
    /// The connection to NATS.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Where NATS says whether its disk has what it acknowledges.
    #[command(flatten)]
    pub monitor: MonitorArgs,
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
    pub async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        sluice_service::telemetry::init(&self.telemetry)?;
        settings.log();
        sluice_service::metrics::install()?;
        let (address, tokens) = (self.listen, self.access.tokens(self.listen)?);
        let shutdown = sluice_service::shutdown::on_signal()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}; name another with --listen"))?;
        let nats = sluice_service::nats::connect(&self.nats, "directory").await?;
        let sync = DiskSync::watch(&self.monitor, nats.clone(), shutdown.clone())?;
        let config = Config {
            meta: self.meta,
            key_file: self.key_file,
            customer_column: self.sharding_identifier_field,
            measure: Duration::from_secs(self.measure_s),
            placement: self.placement,
            journal: self.journal,
            tokens,
            sync,
        };
        service::run(config, listener, nats, shutdown).await
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
    /// Change a shard: whether it takes new customers, its weight, or how the same database is reached.
    #[command(after_help = "\
Examples:
  directory shard set eu-1 --state draining
  directory shard set eu-1 --weight 4
  directory shard set eu-1 --password-env NEW_PASSWORD
  directory shard set eu-1 --host 10.0.0.6

Another address or password is tried first, and has to lead to the same database. Writers go by it within seconds, without a restart.")]
    Set(Box<ShardSetArgs>),
    /// Take a closed shard out that no customer is, or was, on. Its database stays as it is.
    Remove {
        /// Its name.
        name: String,
    },
    /// Every shard: its state, customers, about how many rows and bytes, and whether it answered
    /// when it was last asked. What is wrong with one that does not stands below, in full. Never a
    /// password.
    List,
}

/// How a password is given. Never on the command line itself, which others can list.
#[derive(Debug, Clone, Default, Args)]
pub struct PasswordArgs {
    /// The environment variable that holds the user's password.
    #[arg(long, value_name = "VAR", conflicts_with_all = ["password_stdin", "password_file"])]
    pub password_env: Option<String>,
    /// Read the user's password from standard input, up to the end of the line.
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// The file, where the directory runs, that holds the user's password. The directory keeps the path and reads the file whenever
    /// somebody is told the password: so it may change, and stands nowhere else.
    #[arg(long, value_name = "PATH")]
    pub password_file: Option<PathBuf>,
}

/// What is to become of a shard.
#[derive(Debug, Args)]
pub struct ShardSetArgs {
    /// Its name.
    pub name: String,
    /// Whether it takes new customers: open does; draining and closed do not. Those that it has stay.
    #[arg(long, value_enum)]
    pub state: Option<ShardState>,
    /// How much of its pool's load it is to take, as against the others: 1 to 1000.
    #[arg(long)]
    pub weight: Option<u16>,
    /// Where the same database is reached now.
    #[arg(long)]
    pub host: Option<String>,
    /// Its port.
    #[arg(long)]
    pub port: Option<u16>,
    /// Its user.
    #[arg(long)]
    pub user: Option<String>,
    /// The user's new password.
    #[command(flatten)]
    pub password: PasswordArgs,
    /// What the same database is called now.
    #[arg(long)]
    pub database: Option<String>,
}

/// A database that is to become a shard.
#[derive(Debug, Args)]
pub struct ShardAddArgs {
    /// What to call it: [a-z0-9][a-z0-9_-]{0,62}.
    pub name: String,
    /// The engine: postgres, mysql (also for MariaDB) or sqlite.
    #[arg(long)]
    pub flavor: Flavor,
    /// Host name or address, or for PostgreSQL the folder of a Unix socket. Not for SQLite.
    #[arg(long, default_value = "")]
    pub host: String,
    /// TCP port [default: the engine's usual one]. Not for SQLite.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Database user. Not for SQLite.
    #[arg(long, default_value = "")]
    pub user: String,
    /// The user's password. Not for SQLite.
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Database name; for SQLite the file's path.
    #[arg(long)]
    pub database: String,
    /// Which customers it takes: any number by placement, or exactly one by hand.
    #[arg(long, value_enum, default_value_t = Pool::Shared)]
    pub pool: Pool,
    /// How much of its pool's load it is to take, as against the others: 1 to 1000.
    #[arg(long, default_value_t = 1)]
    pub weight: u16,
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
    fn whoever_listens_is_told_apart_by_address_tokens_and_wish() {
        let tokens = |args: &[&str]| {
            let serve = serve(args);
            serve.access.tokens(serve.listen).map(|tokens| tokens.are_wanted()).map_err(|error| error.to_string())
        };
        for here in ["127.0.0.1:1", "[::1]:1"] {
            assert!(tokens(&["--listen", here]).unwrap_err().contains("--insecure"));
            assert_eq!(tokens(&["--listen", here, "--insecure"]), Ok(false));
        }
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert!(tokens(&["--listen", open, "--insecure"]).unwrap_err().contains("passwords"));
            assert_eq!(tokens(&["--listen", open, "--admin-token", "0123456789abcdef"]), Ok(true));
        }
    }
}
