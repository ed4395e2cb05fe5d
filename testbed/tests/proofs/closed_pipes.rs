//! Commands whose reader goes away (`.. | head -1`): they do their work, and end as they would have.

use std::process::Stdio;

use secrecy::ExposeSecret;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, NatsUser, wait};
use tokio::process::Command;

use crate::{
    LIMIT, fleet,
    starting::{closed_pipe, ended},
};

fn command(fleet: &Fleet, line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(fleet.program(words.next().unwrap()));
    command.args(words).env("DIRECTORY_URL", fleet.directory_url()).stdin(Stdio::null()).kill_on_drop(true);
    command.env("DIRECTORY_TOKEN", fleet.tokens().admin.expose_secret());
    command.env("JOURNAL_PARTITIONS", fleet.partitions().to_string());
    fleet.login(NatsUser::Operator).give_to(&mut command);
    command
}

#[tokio::test]
async fn no_command_panics_or_ends_otherwise_where_nobody_reads_what_it_prints() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    let client = fleet.nats_client().await.unwrap();
    client.publish("person.create.1", "nonsense".into()).await.unwrap();
    client.flush().await.unwrap();
    let letters = async || {
        let listed = command(&fleet, "writer dead list -o json").output().await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&listed.stdout).unwrap()
    };
    wait::until("a dead letter", LIMIT, async || letters().await[0]["id"].is_string()).await.unwrap();
    let id = letters().await[0]["id"].as_str().unwrap().to_owned();
    for line in [
        "writer dead list",
        "writer dead list -o json",
        &format!("writer dead show {id}"),
        "writer dead show 7",
        &format!("writer dead replay {id} --dry-run"),
        "writer dead drop --all",
        "writer journal show",
        "writer journal repair",
        "directory shard list",
        "directory shard list -o json",
        "directory customer show 1",
        "directory customer show nobody",
        "loadgen verify",
    ] {
        let (open, _) = ended(&mut command(&fleet, line), Stdio::null(), Stdio::null()).await;
        let (closed, said) = ended(&mut command(&fleet, line), closed_pipe().into(), Stdio::piped()).await;
        assert!(closed == open && !said.contains("panicked"), "{line}: {closed} instead of {open}: {said}");
        let (both, _) = ended(&mut command(&fleet, line), closed_pipe().into(), closed_pipe().into()).await;
        assert_eq!(both, open, "{line}");
    }
    // Words on standard error alone, and a report that finds no room.
    let (full, said) = {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        ended(&mut command(&fleet, "writer dead list"), full.into(), Stdio::piped()).await
    };
    assert!(full.code() == Some(2) && said.contains("No space left") && said.lines().count() == 1, "{full} {said}");
}
