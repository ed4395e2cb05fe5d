//! No password is shown to anybody who is not to have it.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde_json::json;
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, FleetShard, NatsUser, admin::Admin, rows, wait};
use tokio::process::Command;

use crate::{LIMIT, connect, fleet};

const CANARY: &str = "canary-7f3a";
const WRONG: &str = "canary-wrong-91";

/// Every file below, as bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(files(&entry.path())),
            false => all.extend(std::fs::read(entry.path()).ok().map(|bytes| (entry.path(), bytes))),
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What an administrator's commands print, all of it.
async fn commands(fleet: &Fleet, directory: &str) -> String {
    let mut printed = String::new();
    for (program, args) in [
        ("directory", &["shard", "list"][..]),
        ("directory", &["shard", "list", "-o", "json"]),
        ("directory", &["customer", "show", "1"]),
        ("writer", &["journal", "show"]),
        ("writer", &["dead", "list"]),
        ("loadgen", &["verify"]),
    ] {
        let mut command = Command::new(fleet.program(program));
        command.args(args).env("DIRECTORY_URL", directory).env("RUST_LOG", "debug");
        fleet.login(NatsUser::Operator).give_to(&mut command);
        command.env("DIRECTORY_TOKEN", fleet.tokens().admin.expose_secret());
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        printed += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    printed
}

/// Neither these passwords nor NATS' own.
fn nothing_of_it_was_printed(fleet: &Fleet, printed: &str) {
    let nats = NatsUser::ALL.map(|user| fleet.login(user).password.expose_secret().to_owned());
    for secret in [CANARY, WRONG].into_iter().chain(nats.iter().map(String::as_str)) {
        assert!(!printed.contains(secret), "{secret} was printed: {printed}");
        let files = files(&fleet.folder().join("logs"));
        assert!(files.iter().any(|(path, bytes)| path.to_string_lossy().contains("loud") && bytes.len() > 1_000));
        for (path, bytes) in files {
            assert!(!holds(&bytes, secret), "{secret} is in {}", path.display());
        }
    }
}

#[tokio::test]
async fn a_canary_password_is_in_nothing_that_the_fleet_printed_or_kept() {
    let options = FleetOptions { shard_count: 1, writers: 0, ..FleetOptions::default() };
    let mut fleet = fleet(Flavor::Postgres, options).await;
    fleet.directory().stop();
    let server = &fleet.servers()[0];
    for name in ["meta", "people"] {
        server.create_database(name).await.unwrap();
    }
    let (meta, people) = (server.address("meta"), server.address("people"));
    let role = format!("CREATE ROLE tenant SUPERUSER LOGIN PASSWORD '{CANARY}'");
    sqlx::raw_sql(&role).execute(&mut connect(&people).await).await.unwrap();
    let tenant = |password: &str, address: &ShardAddress| ShardAddress {
        user: "tenant".into(),
        password: password.into(),
        ..address.clone()
    };
    // The directory's own database has it as well, and everything tells what it does.
    let loud = ("RUST_LOG", "debug".to_owned());
    let meta = format!("postgres://tenant:{CANARY}@{}:{}/meta", meta.host, meta.port);
    let key = fleet.folder().join("secret.key").display().to_string();
    let env = [("DIRECTORY_META", meta), ("DIRECTORY_KEY_FILE", key), loud.clone()];
    let (mut directory, url) =
        fleet.start_further("loud-directory", NatsUser::Directory, &["serve"], &env).await.unwrap();
    let admin = Admin::new(&url, &fleet.tokens().admin).unwrap();
    let shard = |password: &str| FleetShard { name: "people".into(), address: tenant(password, &people) };
    let mut printed = format!("{:#}", admin.register(&[shard(WRONG)]).await.unwrap_err());
    assert!(printed.contains("shard_refused") && printed.contains(r#""pointer":"/password""#), "{printed}");
    admin.register(&[shard(CANARY)]).await.unwrap();
    printed +=
        &format!("{:#}", admin.register(&[FleetShard { name: "again".into(), ..shard(CANARY) }]).await.unwrap_err());
    let args = ["run", "--idle-advance-ms", "300", "--trim-interval-ms", "200"];
    let (mut writer, status) = fleet.start_further("loud-writer", NatsUser::Writer, &args, &[loud]).await.unwrap();
    assert_eq!(fleet.load(&["--customers", "3", "--count", "300"]).await.unwrap().accepted, 300);
    let there = async || rows::count(&people).await.is_ok_and(|found| found.rows == 300);
    wait::until("all rows", LIMIT, there).await.unwrap();

    // Trouble is when one talks: connections cut, a password that is wrong for a while, a shard that is away.
    let mut operator = connect(&people).await;
    for sql in [
        "ALTER ROLE tenant PASSWORD 'another'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenant'",
    ] {
        sqlx::raw_sql(sql).execute(&mut operator).await.unwrap();
    }
    printed += &format!("{:#}", admin.change("people", &json!({"password": WRONG})).await.unwrap_err());
    let lanes = async || reqwest::get(format!("{status}/lanes")).await.unwrap().text().await.unwrap();
    wait::until("a lane in trouble", LIMIT, async || lanes().await.contains("password authentication")).await.unwrap();
    printed += &lanes().await;
    let back = format!("ALTER ROLE tenant PASSWORD '{CANARY}'");
    sqlx::raw_sql(&back).execute(&mut operator).await.unwrap();
    wait::until("a lane without trouble", LIMIT, async || lanes().await.contains("\"live\"")).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    printed += &commands(&fleet, &url).await;
    writer.stop();
    directory.stop();

    nothing_of_it_was_printed(&fleet, &printed);
    // At rest neither: what the directory keeps is sealed.
    let at_rest: String = sqlx::query_scalar("SELECT password FROM shard WHERE name = 'people'")
        .fetch_one(&mut connect(&ShardAddress { database: "meta".into(), ..people.clone() }).await)
        .await
        .unwrap();
    assert!(at_rest.starts_with("v1:") && !at_rest.contains(CANARY), "{at_rest}");
    assert!(!people.password.expose_secret().is_empty());
}
