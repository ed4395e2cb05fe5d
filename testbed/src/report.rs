//! What the commands print for people, on standard output.

use std::io;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use secrecy::ExposeSecret;
use sluice_service::{outln, output};
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, NatsUser};

use crate::demo::Outcome;

/// A table per shard, and the rates.
pub(crate) fn outcome(outcome: &Outcome) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["shard", "rows", "customers", "missing", "doubled", "misplaced"]);
    for shard in &outcome.verified.shards {
        let numbers = [shard.rows, shard.customers, shard.missing, shard.doubled, shard.misplaced];
        table.add_row(std::iter::once(shard.shard.clone()).chain(numbers.map(|number| number.to_string())));
    }
    for column in 1..=5 {
        table.column_mut(column).expect("there are six columns").set_cell_alignment(CellAlignment::Right);
    }
    outln!("\n{table}\n")?;
    let load = &outcome.load;
    let (accepted, requests) = (HumanCount(load.accepted), HumanCount(load.accepted + load.failed));
    outln!("accepted:  {accepted} of {requests} requests in {:.2} s: {}/s", load.seconds, per_second(load.rate))?;
    match outcome.committed {
        Some(took) => {
            let seconds = took.as_secs_f64();
            #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
            let rate = per_second(load.accepted as f64 / seconds);
            outln!("committed: {accepted} rows in {seconds:.2} s: {rate}/s, from the first request to the last row")?;
        }
        None => outln!("committed: not all rows came")?,
    }
    output::line(if outcome.is_right() { "every row is right" } else { "ROWS ARE WRONG: see the table" })
}

fn per_second(rate: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is a small positive number")]
    let whole = rate.round() as u64;
    HumanCount(whole).to_string()
}

/// Where everything is.
pub(crate) fn addresses(fleet: &Fleet) -> io::Result<()> {
    outln!("\ningest     {}", fleet.ingest_url())?;
    outln!("directory  {}", fleet.directory_url())?;
    outln!("nats       {}", fleet.nats_url())?;
    for shard in fleet.shards() {
        outln!("{:<10} {}", shard.name, shard.address)?;
    }
    outln!("folder     {} (logs in logs/)", fleet.folder().display())?;
    outln!("\nctrl-C ends everything.")
}

/// What to try with a fleet that was left running.
pub(crate) fn hints(fleet: &Fleet) -> io::Result<()> {
    let (ingest, nats, directory) = (fleet.ingest_url(), fleet.nats_url(), fleet.directory_url());
    let person = r#"{"name":"Ada","address":"London"}"#;
    outln!("\nTry, in another terminal:")?;
    outln!("  curl -i -X POST {ingest}/person/1 -d '{person}'")?;
    outln!("  ab -p /dev/null -T application/json -n 1000 -c 100 -H 'X-Customer-ID: 3' {ingest}/person/3")?;
    // The passwords of servers that listen on loopback alone, and are made anew at each start.
    let [publisher, operator] = [NatsUser::Publisher, NatsUser::Operator].map(|user| fleet.login(user));
    let password = publisher.password.expose_secret();
    outln!("  nats --server {nats} --user publisher --password {password} pub person.create.2 '{person}'")?;
    for shard in fleet.shards().iter().take(1) {
        outln!("  {}", query(&shard.address))?;
    }
    let program = |name: &str| fleet.program(name).display().to_string();
    let (reader, admin) = (fleet.tokens().reader.expose_secret(), fleet.tokens().admin.expose_secret());
    outln!("  curl -H 'Authorization: Bearer {reader}' {directory}/read/2")?;
    let admin = format!("DIRECTORY_TOKEN={admin} {} --directory-url {directory}", program("directory"));
    outln!("  {admin} shard list")?;
    outln!("  {admin} customer show 2")?;
    let operator = format!("NATS_URL={nats} NATS_USER=operator NATS_PASSWORD={}", operator.password.expose_secret());
    outln!("  {operator} {} dead list", program("writer"))?;
    outln!("  {operator} JOURNAL_PARTITIONS={} {} verify", fleet.partitions(), program("loadgen"))
}

/// The original's query, with what every machine has.
fn query(address: &ShardAddress) -> String {
    let ShardAddress { host, port, user, password, database, .. } = address;
    let query = "SELECT COUNT(*), COUNT(DISTINCT customer_id) FROM person";
    match address.flavor {
        Flavor::Sqlite => format!("sqlite3 {database} '{query}'"),
        Flavor::Mysql => {
            let password = password.expose_secret();
            format!(
                "MYSQL_PWD='{password}' mariadb --no-defaults -h {host} -P {port} -u {user} -e '{query}' {database}"
            )
        }
        // The password of a server that is made anew for each fleet and listens on loopback alone.
        Flavor::Postgres => {
            let password = password.expose_secret();
            format!("PGPASSWORD='{password}' psql -h {host} -p {port} -U {user} -c '{query}' {database}")
        }
    }
}
