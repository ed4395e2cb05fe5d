//! The administrator's commands: HTTP to a running directory, a table or JSON to standard output.

use std::time::Duration;

use anyhow::{Context, anyhow};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;
use sluice_service::{output, tokens::Token};
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
            report(admin.output, &added, |added| shard_report(std::slice::from_ref(added), None))
        }
        ShardCommand::Set(args) => {
            let (name, change) = shard_change(*args)?;
            let path = format!("/shards/{name}");
            let changed: ListedShard = call(admin, Method::PATCH, &path, Some(&change)).await?;
            report(admin.output, &changed, |changed| shard_report(std::slice::from_ref(changed), None))
        }
        ShardCommand::Remove { name } => {
            call::<()>(admin, Method::DELETE, &format!("/shards/{name}"), None::<&()>).await?;
            let listed: Shards<ListedShard> = call(admin, Method::GET, "/shards", None::<&()>).await?;
            report(admin.output, &listed, |listed| shard_report(&listed.shards, None))
        }
        ShardCommand::List => {
            let listed: Shards<ListedShard> = call(admin, Method::GET, "/shards", None::<&()>).await?;
            report(admin.output, &listed, |listed| shard_report(&listed.shards, None))
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
    report(admin.output, &routes, |routes| route_table(routes).to_string())
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

fn report<T: Serialize>(output: Output, answer: &T, table: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    match output {
        Output::Table => output::line(table(answer))?,
        Output::Json => output::line(serde_json::to_string_pretty(answer)?)?,
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

/// A line for each shard, cut to the terminal's width (or the one given), and below them what is
/// wrong with those that do not answer, in full. What matters most stands first.
fn shard_report(shards: &[ListedShard], width: Option<u16>) -> String {
    let columns = ["shard", "state", "answers", "customers", "rows", "size", "as of", "pool", "weight", "database"];
    let mut table = table(&columns);
    // By the database's own statistics.
    let about = |number: Option<u64>, form: fn(u64) -> String| {
        right(number.map(|number| format!("≈{}", form(number))).unwrap_or_default())
    };
    let mut troubles = String::new();
    for shard in shards {
        let answers = match (shard.asked_ago_ms, shard.answers) {
            (Some(ms), true) => format!("yes, {}", age(ms)),
            (Some(ms), false) => format!("no, {}", age(ms)),
            (None, true) => "not asked yet".to_owned(),
            (None, false) => "no".to_owned(),
        };
        table.add_row([
            Cell::new(&shard.name),
            Cell::new(if shard.held { format!("{}, held", shard.state) } else { shard.state.to_string() }),
            Cell::new(answers),
            right(shard.customers),
            about(shard.rows, |rows| rows.to_string()),
            about(shard.bytes, size),
            Cell::new(shard.measured_ago_ms.map(age).unwrap_or_default()),
            Cell::new(shard.pool),
            right(shard.weight),
            Cell::new(place(shard)),
        ]);
        if let Some(trouble) = &shard.trouble {
            troubles.push_str(&format!("\n{} does not answer: {trouble}", shard.name));
        }
    }
    match width.or(table.width()) {
        Some(width) => cut(&table.to_string(), width.into()) + &troubles,
        None => format!("{table}{troubles}"),
    }
}

/// Lines of at most so many characters; one that was longer ends with an ellipsis.
fn cut(lines: &str, width: usize) -> String {
    let short = lines.lines().map(|line| match line.char_indices().nth(width) {
        Some(_) => line.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => line.to_owned(),
    });
    short.collect::<Vec<String>>().join("\n")
}

/// How long ago something was, for people.
fn age(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
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

    fn listed(name: &str, trouble: Option<&str>) -> ListedShard {
        let listed = serde_json::json!({"name": name, "flavor": "postgres", "host": "db-of-a-long-name.example.org", "port": 5432,
            "user": "sluice", "database": "people", "pool": "shared", "state": "open", "weight": 1, "customers": 3,
            "rows": 17_855, "bytes": 1_300_000, "measured_ms": 1, "measured_ago_ms": 7_300, "asked_ms": 1,
            "asked_ago_ms": 3_000, "answers": trouble.is_none(), "trouble": trouble});
        serde_json::from_value(listed).unwrap()
    }

    #[test]
    fn what_is_an_estimate_says_so_and_how_old_it_is() {
        let report = shard_report(&[listed("a", None)], Some(200));
        for part in ["≈17855", "≈1.2 MiB", "7 s ago", "yes, 3 s ago"] {
            assert!(report.contains(part), "{part}: {report}");
        }
        let never = ListedShard { rows: None, asked_ago_ms: None, measured_ago_ms: None, ..listed("a", None) };
        let report = shard_report(&[never], Some(200));
        assert!(report.contains("not asked yet") && !report.contains("≈17"), "{report}");
    }

    #[test]
    fn a_table_is_as_wide_as_the_terminal_and_what_is_wrong_stands_below_it_in_full() {
        let trouble = "it does not answer: ".repeat(20);
        let shards = [listed("a", None), listed("b", Some(&trouble))];
        for width in [80, 100, 200] {
            let report = shard_report(&shards, Some(width));
            let (table, below) = report.split_once("\nb does not answer: ").expect("what is wrong stands below");
            assert_eq!(below, trouble);
            assert!(table.lines().all(|line| line.chars().count() <= usize::from(width)), "{table}");
            for part in ["≈17855", "no, 3 s ago", "7 s ago"] {
                assert!(table.contains(part), "{part}: {table}");
            }
        }
        // Into a file or another program, nothing is cut.
        assert!(shard_report(&shards, None).contains("postgres://sluice@db-of-a-long-name.example.org:5432/people"));
    }

    #[test]
    fn an_age_is_told_in_the_unit_that_fits() {
        for (ms, told) in [(999, "0 s ago"), (119_999, "119 s ago"), (120_000, "2 min ago"), (7_200_000, "2 h ago")] {
            assert_eq!(age(ms), told);
        }
        assert_eq!(age(172_800_000), "2 d ago");
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
