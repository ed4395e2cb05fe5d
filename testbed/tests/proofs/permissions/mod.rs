//! Who may do what in NATS, judged by what really happened.

mod actions;
mod client;

use async_nats::ConnectOptions;
use serde_json::Value;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, Login, NatsUser, wait};
use tokio::process::Command;

use self::{actions::Action, client::Client};
use crate::{LIMIT, all_rows, fleet};

const I: NatsUser = NatsUser::Ingest;
const W: NatsUser = NatsUser::Writer;
const D: NatsUser = NatsUser::Directory;
const O: NatsUser = NatsUser::Operator;
const P: NatsUser = NatsUser::Publisher;

/// Each action, and who may do it. Everybody else may not.
const TABLE: [(Action, &[NatsUser]); 20] = [
    (Action::PublishPerson, &[I, O, P]),
    (Action::PublishToJournal, &[I, O]),
    (Action::PublishFiller, &[O]),
    (Action::ReadEvent, &[I, W, D, O]),
    (Action::ReadDead, &[W, D, O]),
    (Action::Consume, &[W, O]),
    (Action::PurgeJournal, &[W, O]),
    (Action::PurgeDead, &[O]),
    (Action::MakeStream, &[D, O]),
    (Action::DeleteStream, &[O]),
    (Action::Put("sluice_trim"), &[W, D, O]),
    (Action::Put("sluice_writers"), &[W, O]),
    (Action::Put("sluice_repair"), &[O]),
    (Action::Bury, &[W, O]),
    (Action::AskRoute, &[W, O]),
    (Action::AskCredentials, &[W, O]),
    (Action::HearTheWriter, &[W]),
    (Action::HearEverything, &[]),
    (Action::TellIngest, &[W, O]),
    (Action::ServiceInfo, &[O]),
];

#[tokio::test]
async fn each_user_of_nats_may_do_what_its_work_takes_and_nothing_else() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    // Nobody else stores or trims meanwhile.
    fleet.ingest().stop();
    fleet.writer().stop();
    let stage = actions::Stage::set(&fleet).await;
    let mut wrong = Vec::new();
    for user in NatsUser::ALL {
        let mut client = Client::of(&fleet.login(user)).await;
        for (action, allowed) in TABLE {
            let happened = action.attempt(&stage, &mut client).await;
            if happened != allowed.contains(&user) {
                wrong.push(format!("{} {action:?}: {happened}", user.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn nobody_gets_in_with_a_wrong_password_or_with_none() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let connected = async_nats::connect(fleet.nats_url()).await;
    assert!(connected.unwrap_err().to_string().contains("authorization"));
    for user in NatsUser::ALL {
        let wrong = Login { password: "another".into(), ..fleet.login(user) };
        assert!(wrong.connect(ConnectOptions::new()).await.is_err(), "{}", user.name());
        fleet.login(user).connect(ConnectOptions::new()).await.unwrap();
    }
}

/// `writer dead ..` as one of the users: its exit status, and all that it says.
async fn dead(fleet: &Fleet, user: NatsUser, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(fleet.program("writer"));
    command.arg("dead").args(args);
    fleet.login(user).give_to(&mut command);
    let done = command.output().await.unwrap();
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (done.status.code().unwrap(), said)
}

#[tokio::test]
async fn in_all_their_work_the_services_and_commands_try_nothing_that_they_may_not() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "500"]).await.unwrap().accepted, 500);
    assert_eq!(fleet.load(&["--via", "nats", "--customers", "5", "--count", "500"]).await.unwrap().accepted, 500);
    let publisher = fleet.login(P).connect(ConnectOptions::new()).await.unwrap();
    publisher.publish("person.create.1", "no person".into()).await.unwrap();
    publisher.flush().await.unwrap();
    let letters = async || {
        let (status, said) = dead(&fleet, O, &["list", "-o", "json"]).await;
        assert_eq!(status, 0, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()
    };
    wait::until("the dead letter", LIMIT, async || letters().await.as_array().unwrap().len() == 1).await.unwrap();
    let id = letters().await[0]["id"].as_str().unwrap().to_owned();
    let verified = fleet.verify().await.unwrap();
    assert_eq!(all_rows(&fleet).await, 1_000);
    assert!(verified.ok && verified.dead_letters == 1, "{verified:?}");

    let log = fleet.folder().join("logs/nats-server.log");
    let violations = || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(violations(), [""; 0]);

    // The writer's own user may bury the dead, and not bring them back: the command says so at once, with nothing done.
    let began = std::time::Instant::now();
    let (status, said) = dead(&fleet, W, &["replay", &id]).await;
    assert!(status != 0 && said.contains("the NATS user writer may not publish to journal."), "{status} {said}");
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(letters().await[0]["state"], "waiting");
    // Whom even looking is forbidden is told that as soon.
    let (status, said) = dead(&fleet, P, &["list"]).await;
    assert!(status != 0 && said.contains("may not publish to $JS.API.STREAM.INFO.DEAD"), "{status} {said}");
    assert!(violations().iter().all(|line| line.contains("user:publisher")), "{:?}", violations());
}
