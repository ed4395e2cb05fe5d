//! The administrator's commands: HTTP to a running directory, a table or JSON to standard output.

use std::time::Duration;

use anyhow::{Context, anyhow};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;
use sluice_shard::Flavor;

use crate::{
    api::{CustomerRoutes, ListedShard, NewShard, Place, Shards},
    cli::{AdminArgs, CustomerCommand, Output, ShardAddArgs, ShardCommand},
    transport::{DirectoryError, Http},
};

/// The longest that a command waits: a little more than the directory may take for a request (30 s).
const LIMIT: Duration = Duration::from_secs(35);

/// `directory shard ..`
///
/// # Errors
/// What went wrong and what to do next.
pub async fn shard(admin: &AdminArgs, command: ShardCommand) -> anyhow::Result<()> {
    match command {
        ShardCommand::Add(args) => {
            let new = new_shard(*args)?;
            let added: ListedShard = call(admin, Method::POST, "/shards", Some(&new)).await?;
            report(admin.output, &added, |added| shard_table(std::slice::from_ref(added)))
        }
        ShardCommand::List => {
            let listed: Shards<ListedShard> = call(admin, Method::GET, "/shards", None::<&()>).await?;
            report(admin.output, &listed, |listed| shard_table(&listed.shards))
        }
    }
}

/// `directory customer ..`
///
/// # Errors
/// What went wrong and what to do next.
pub async fn customer(admin: &AdminArgs, command: CustomerCommand) -> anyhow::Result<()> {
    let routes: CustomerRoutes = match command {
        CustomerCommand::Show { id } => call(admin, Method::GET, &format!("/customers/{id}"), None::<&()>).await?,
        CustomerCommand::Place { id, shard } => {
            call(admin, Method::PUT, &format!("/customers/{id}"), Some(&Place { shard })).await?
        }
    };
    report(admin.output, &routes, route_table)
}

async fn call<A: serde::de::DeserializeOwned>(
    admin: &AdminArgs,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> anyhow::Result<A> {
    let http = Http::new(&admin.directory_url, LIMIT).context("--directory-url (DIRECTORY_URL)")?;
    let body = body.map(serde_json::to_vec).transpose()?;
    http.call(method, path, body).await.map_err(|error| match error {
        DirectoryError::Problem(problem) => {
            let again = if problem.retry_safe { "; the same command may be given again" } else { "" };
            anyhow!("{problem}{again}")
        }
        other => {
            let url = &admin.directory_url;
            anyhow::Error::new(other).context(format!(
                "no directory answers at {url}: start one (directory serve), or name another with --directory-url"
            ))
        }
    })
}

fn new_shard(args: ShardAddArgs) -> anyhow::Result<NewShard> {
    let password = password(&args)?;
    let ShardAddArgs { name, flavor, host, port, user, password_env: _, password_file: _, database, pool } = args;
    // The directory and the writers have other working folders than whoever types the command.
    let database = match flavor {
        Flavor::Sqlite if !database.is_empty() => {
            let path = std::path::absolute(&database).context("--database")?;
            path.into_os_string().into_string().map_err(|_| anyhow!("--database: the path is not UTF-8"))?
        }
        _ => database,
    };
    Ok(NewShard { name, flavor, host, port, user, password, database, pool })
}

fn password(args: &ShardAddArgs) -> anyhow::Result<SecretString> {
    let text = match (&args.password_env, &args.password_file) {
        (Some(variable), _) => {
            std::env::var(variable).with_context(|| format!("--password-env: cannot read the variable {variable}"))?
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("--password-file: cannot read {}", path.display()))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => String::new(),
    };
    Ok(text.into())
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn report<T: Serialize>(output: Output, answer: &T, table: impl FnOnce(&T) -> Table) -> anyhow::Result<()> {
    match output {
        Output::Table => println!("{}", table(answer)),
        Output::Json => println!("{}", serde_json::to_string_pretty(answer)?),
    }
    Ok(())
}

fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(columns.iter().copied());
    table
}

fn right(number: impl ToString) -> Cell {
    Cell::new(number.to_string()).set_alignment(CellAlignment::Right)
}

fn shard_table(shards: &[ListedShard]) -> Table {
    let mut table = table(&["shard", "flavor", "host", "port", "user", "database", "pool", "state", "customers"]);
    for shard in shards {
        let port = if shard.port == 0 { String::new() } else { shard.port.to_string() };
        table.add_row([
            Cell::new(&shard.name),
            Cell::new(shard.flavor),
            Cell::new(&shard.host),
            right(port),
            Cell::new(&shard.user),
            Cell::new(&shard.database),
            Cell::new(shard.pool),
            Cell::new(shard.state),
            right(shard.customers),
        ]);
    }
    table
}

fn route_table(customer: &CustomerRoutes) -> Table {
    let mut table = table(&["customer", "from position", "shard"]);
    for route in &customer.routes {
        table.add_row([Cell::new(&customer.customer), right(route.from), Cell::new(&route.shard)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::cli::{Cli, Command};

    fn add(args: &[&str]) -> anyhow::Result<NewShard> {
        let line = [&["directory", "shard", "add", "a", "--flavor"], args].concat();
        match Cli::try_parse_from(line)?.command {
            Command::Shard(ShardCommand::Add(args)) => new_shard(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_relative_sqlite_path_is_made_absolute_and_a_database_name_is_not() {
        let here = std::env::current_dir().unwrap();
        let path = add(&["sqlite", "--database", "tiny.db"]).unwrap().database;
        assert_eq!(path, here.join("tiny.db").to_str().unwrap());
        assert_eq!(add(&["postgres", "--database", "people"]).unwrap().database, "people");
    }

    #[test]
    fn a_password_comes_from_a_file_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " hunter2 \r\n").unwrap();
        let path = file.path().to_str().unwrap();
        let new = add(&["postgres", "--database", "d", "--password-file", path]).unwrap();
        assert_eq!(new.password.expose_secret(), " hunter2 ");
        assert!(!format!("{new:?}").contains("hunter2"));
        let both = add(&["postgres", "--database", "d", "--password-file", path, "--password-env", "X"]);
        assert!(both.unwrap_err().to_string().contains("cannot be used with"));
        let missing = add(&["postgres", "--database", "d", "--password-env", "NO_SUCH_VARIABLE_HERE"]);
        assert!(missing.unwrap_err().to_string().contains("NO_SUCH_VARIABLE_HERE"));
    }
}
