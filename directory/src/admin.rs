//! The administrator's commands: HTTP to a running directory, a table or JSON to standard output.

use std::time::Duration;

use anyhow::{Context, anyhow};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;
use sluice_service::tokens::Token;
use sluice_shard::{CustomerColumn, Flavor, ShardAddress};

use crate::{
    api::{CustomerRoutes, ListedShard, NewShard, Place, ShardChange, Shards},
    cli::{AdminArgs, CustomerCommand, Output, PasswordArgs, ShardAddArgs, ShardCommand, ShardSetArgs},
    transport::{DirectoryError, Http},
};

/// The longest that a command waits: a little more than the directory may take for a request (30 s).
const LIMIT: Duration = Duration::from_secs(35);
/// The same for registering a shard, which lists whose rows the database holds (360 s).
const REGISTER_LIMIT: Duration = Duration::from_secs(365);

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
        ShardCommand::Set(args) => {
            let (name, change) = shard_change(*args)?;
            let path = format!("/shards/{name}");
            let changed: ListedShard = call(admin, Method::PATCH, &path, Some(&change)).await?;
            report(admin.output, &changed, |changed| shard_table(std::slice::from_ref(changed)))
        }
        ShardCommand::Remove { name } => {
            call::<()>(admin, Method::DELETE, &format!("/shards/{name}"), None::<&()>).await?;
            let listed: Shards<ListedShard> = call(admin, Method::GET, "/shards", None::<&()>).await?;
            report(admin.output, &listed, |listed| shard_table(&listed.shards))
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
    let token = Token::either(admin.token.as_ref(), admin.token_file.as_deref());
    let token = token.context("--token-file (DIRECTORY_TOKEN)")?;
    let limit = if method == Method::POST && path == "/shards" { REGISTER_LIMIT } else { LIMIT };
    let http = Http::new(&admin.directory_url, limit).context("--directory-url (DIRECTORY_URL)")?.with(token);
    let body = body.map(serde_json::to_vec).transpose()?;
    http.call(method, path, body).await.map_err(|error| match error {
        DirectoryError::Problem(problem) if matches!(problem.status, 401 | 403) => {
            anyhow!("{problem}; name the administrator's with --token-file (or DIRECTORY_TOKEN)")
        }
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
    let (password, password_file) = (password(&args.password)?.unwrap_or_default(), args.password.password_file);
    let ShardAddArgs { name, flavor, host, port, user, password: _, database, pool, weight } = args;
    // The directory and the writers have other working folders than whoever types the command.
    let database = match flavor {
        Flavor::Sqlite if !database.is_empty() => {
            let path = std::path::absolute(&database).context("--database")?;
            path.into_os_string().into_string().map_err(|_| anyhow!("--database: the path is not UTF-8"))?
        }
        _ => database,
    };
    Ok(NewShard { name, flavor, host, port, user, password, password_file, database, pool, weight })
}

fn shard_change(args: ShardSetArgs) -> anyhow::Result<(String, ShardChange)> {
    let (password, password_file) = (password(&args.password)?, args.password.password_file);
    let ShardSetArgs { name, state, weight, host, port, user, password: _, database } = args;
    let change = ShardChange { state, weight, host, port, user, password, password_file, database };
    let nothing = state.is_none() && weight.is_none() && !change.changes_the_address();
    anyhow::ensure!(!nothing, "what is to change? See directory shard set --help");
    Ok((name, change))
}

/// The password that was given here and now.
fn password(args: &PasswordArgs) -> anyhow::Result<Option<SecretString>> {
    let text = match &args.password_env {
        Some(variable) => {
            std::env::var(variable).with_context(|| format!("--password-env: cannot read the variable {variable}"))?
        }
        None if args.password_stdin => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("--password-stdin")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => return Ok(None),
    };
    Ok(Some(text.into()))
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
    let mut table = table(&["shard", "state", "pool", "weight", "customers", "rows", "size", "answers", "database"]);
    let about = |number: Option<u64>, form: fn(u64) -> String| right(number.map(form).unwrap_or_default());
    for shard in shards {
        table.add_row([
            Cell::new(&shard.name),
            Cell::new(if shard.held { format!("{}, held", shard.state) } else { shard.state.to_string() }),
            Cell::new(shard.pool),
            right(shard.weight),
            right(shard.customers),
            about(shard.rows, |rows| rows.to_string()),
            about(shard.bytes, size),
            Cell::new(shard.trouble.as_deref().map_or("yes".to_owned(), |trouble| format!("no: {trouble}"))),
            Cell::new(place(shard)),
        ]);
    }
    table
}

/// Where a shard is, as an URL without a password.
fn place(shard: &ListedShard) -> String {
    let ListedShard { flavor, host, port, user, database, .. } = shard.clone();
    let (password, customer_column) = (SecretString::default(), CustomerColumn::default());
    ShardAddress { flavor, host, port, user, password, database, customer_column }.to_string()
}

/// Bytes for people, in binary units.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(4);
    let whole = 1_u64 << (10 * unit);
    let tenths = u128::from(bytes) * 10 / u128::from(whole);
    let name = UNITS[unit as usize];
    if unit == 0 { format!("{bytes} {name}") } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
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
    use crate::{
        api::ShardState,
        cli::{Cli, Command},
    };

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
    fn a_password_comes_from_one_place_and_a_file_is_only_named() {
        let new = add(&["postgres", "--database", "d", "--password-file", "/run/secrets/db"]).unwrap();
        assert_eq!(new.password_file.unwrap(), std::path::Path::new("/run/secrets/db"));
        assert_eq!(new.password.expose_secret(), "");
        let both = add(&["postgres", "--database", "d", "--password-file", "/p", "--password-env", "X"]);
        assert!(both.unwrap_err().to_string().contains("cannot be used with"));
        let missing = add(&["postgres", "--database", "d", "--password-env", "NO_SUCH_VARIABLE_HERE"]);
        assert!(missing.unwrap_err().to_string().contains("NO_SUCH_VARIABLE_HERE"));
        let given = add(&["postgres", "--database", "d", "--password-env", "PATH"]).unwrap();
        assert_eq!(given.password.expose_secret(), std::env::var("PATH").unwrap());
        assert!(!format!("{given:?}").contains(given.password.expose_secret()));
    }

    #[test]
    fn a_change_of_nothing_is_refused() {
        let change = |more: &[&str]| match Cli::try_parse_from([&["directory", "shard", "set", "a"], more].concat())
            .unwrap()
            .command
        {
            Command::Shard(ShardCommand::Set(args)) => shard_change(*args),
            other => panic!("{other:?}"),
        };
        assert!(change(&[]).unwrap_err().to_string().contains("--help"));
        assert_eq!(change(&["--state", "draining"]).unwrap().1.state, Some(ShardState::Draining));
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        let told = [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB")];
        for (bytes, wanted) in told {
            assert_eq!(size(bytes), wanted);
        }
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }
}
