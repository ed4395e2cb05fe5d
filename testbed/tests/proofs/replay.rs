//! Dead letters listed, shown, replayed and dropped by `writer dead`, as an administrator does it.

use std::time::Duration;

use serde_json::Value;
use sluice_journal::{
    Ask, DeadLetters, Journal, Publisher, Settings,
    dead::{ChangeError, Intent, ReplayError, Sought, State},
    subject::stream_name,
};
use sluice_model::{EventId, MessageBuilder, Person};
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, NatsUser, Placement, tool, wait};
use tokio::process::Command;

use crate::{LIMIT, all_rows, fleet};

const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;

/// `writer dead ..`: its exit status, and its report.
async fn dead(fleet: &Fleet, line: &str) -> (i32, Value) {
    let mut command = Command::new(fleet.program("writer"));
    command.arg("dead").args(line.split_whitespace()).args(["-o", "json"]);
    fleet.login(NatsUser::Operator).give_to(&mut command);
    let done = tool::output(&mut command).await.unwrap();
    (done.status.code().unwrap(), serde_json::from_str(&done.stdout).unwrap_or_default())
}

/// The ids and the named field of each in a report.
fn told<'a>(report: &'a Value, field: &str) -> Vec<(&'a str, &'a str)> {
    let each = report.as_array().unwrap().iter();
    each.map(|one| (one["id"].as_str().unwrap(), one[field].as_str().unwrap_or_default())).collect()
}

/// A fleet in which customer 1 is placed, 9 is not, and these were published plainly.
async fn with(published: &[(&str, &str)]) -> (Fleet, Journal) {
    let options = FleetOptions { placement: Placement::Strict, ..FleetOptions::default() };
    let fleet = fleet(Flavor::Sqlite, options).await;
    fleet.admin().unwrap().place("1", "shard1").await.unwrap();
    let client = fleet.nats_client().await.unwrap();
    for (subject, payload) in published {
        client.publish((*subject).to_owned(), (*payload).to_owned().into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let journal = Journal::open(client, &Settings::default()).await.unwrap();
    let count = published.len();
    let letters = journal.dead_letters();
    wait::until("the dead letters", LIMIT, async || letters.list().await.unwrap().len() == count).await.unwrap();
    (fleet, journal)
}

/// The only letter with a reason.
async fn only(letters: &DeadLetters, reason: &str) -> EventId {
    let all = letters.list().await.unwrap();
    let found: Vec<_> = all.iter().filter(|l| l.reason == reason && !l.state.is_tombstone()).collect();
    assert_eq!(found.len(), 1, "{reason}: {all:?}");
    found[0].id
}

async fn verified(fleet: &Fleet) {
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

/// Waits until a shard has passed an event: a replay is refused before.
async fn replayable(fleet: &Fleet, id: &str) {
    let line = format!("replay {id} --dry-run");
    wait::until("the event can be replayed", LIMIT, async || dead(fleet, &line).await.0 == 0).await.unwrap();
}

#[tokio::test]
async fn a_refused_event_is_replayed_into_exactly_one_row_once_its_customer_is_placed() {
    let (fleet, journal) = with(&[("person.create.9", GOOD), ("person.create.1", "nonsense")]).await;
    let letters = journal.dead_letters();
    let (id, bad) = (only(&letters, "unknown_customer").await, only(&letters, "malformed_json").await);
    let (id, bad) = (id.to_string(), bad.to_string());
    let (code, listed) = dead(&fleet, "list").await;
    let mut reasons = told(&listed, "reason");
    reasons.sort_unstable_by_key(|(_, reason)| *reason);
    assert_eq!((code, reasons), (0, vec![(bad.as_str(), "malformed_json"), (id.as_str(), "unknown_customer")]));
    let (_, of_9) = dead(&fleet, "list --customer 9").await;
    assert_eq!(told(&of_9, "customer"), [(id.as_str(), "9")]);
    let (code, shown) = dead(&fleet, &format!("show {id}")).await;
    assert_eq!((code, &shown["payload"], &shown["state"]), (0, &GOOD.into(), &"waiting".into()));
    assert_eq!(dead(&fleet, "show 7").await.0, 1);

    // Not placed: a replay could only die again.
    let (code, refused) = dead(&fleet, &format!("replay {id}")).await;
    assert!(code == 1 && refused[0]["detail"].as_str().unwrap().contains("directory customer place 9"), "{refused}");
    fleet.admin().unwrap().place("9", "shard2").await.unwrap();
    replayable(&fleet, &id).await;
    let (_, would) = dead(&fleet, "replay --reason unknown_customer --dry-run").await;
    assert_eq!(told(&would, "outcome"), [(id.as_str(), "would_replay")]);
    let letter = letters.find(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((letter.state, all_rows(&fleet).await), (State::Waiting, 0), "a dry run changes nothing");

    // Two at once, and once more: one row.
    let line = format!("replay {id}");
    let (one, two) = tokio::join!(dead(&fleet, &line), dead(&fleet, "replay --customer 9"));
    assert_eq!((one.0, two.0), (0, 0), "{one:?} {two:?}");
    let (code, again) = dead(&fleet, &line).await;
    assert_eq!((code, told(&again, "outcome")), (0, vec![(id.as_str(), "replayed_before")]));
    assert_eq!(told(&one.1, "replayed_as"), told(&again, "replayed_as"));
    wait::until("its row", LIMIT, async || all_rows(&fleet).await == 1).await.unwrap();
    assert_eq!(told(&dead(&fleet, "list").await.1, "reason"), [(bad.as_str(), "malformed_json")]);
    let (_, tombstones) = dead(&fleet, "list --tombstones --customer 9").await;
    assert_eq!(told(&tombstones, "state"), [(id.as_str(), "replayed")]);
    verified(&fleet).await;
    assert_eq!(all_rows(&fleet).await, 1);
}

#[tokio::test]
async fn a_malformed_event_that_is_replayed_becomes_one_new_dead_letter_and_a_dropped_one_is_not_missed() {
    let (fleet, journal) = with(&[("person.create.1", "nonsense"), ("person.create.*", GOOD)]).await;
    let letters = journal.dead_letters();
    let first = only(&letters, "malformed_json").await.to_string();
    let nobodys = only(&letters, "invalid_customer").await.to_string();
    let (code, refused) = dead(&fleet, &format!("replay {nobodys}")).await;
    assert!(code == 1 && refused[0]["detail"].as_str().unwrap().contains("cannot be replayed"), "{refused}");

    replayable(&fleet, &first).await;
    let (_, would) = dead(&fleet, &format!("replay {first} --dry-run")).await;
    assert_eq!(told(&would, "outcome"), [(first.as_str(), "would_die_again")], "{would}");
    assert!(would[0]["detail"].as_str().unwrap().contains("malformed_json"), "{would}");
    let (code, replayed) = dead(&fleet, "replay --reason malformed_json").await;
    assert_eq!((code, told(&replayed, "outcome")), (0, vec![(first.as_str(), "replayed")]));
    let second = replayed[0]["replayed_as"].as_str().unwrap().to_owned();
    let died = async || letters.list().await.unwrap().len() == 3;
    wait::until("it has died again", LIMIT, died).await.unwrap();
    assert_eq!(only(&letters, "malformed_json").await.to_string(), second);
    verified(&fleet).await;
    assert!(died().await, "nothing replays by itself");

    // Dropping says first what it would do; then the event is still accounted for.
    let (code, shown) = dead(&fleet, "drop --all").await;
    assert_eq!((code, told(&shown, "outcome").len()), (2, 2), "{shown}");
    let (code, shown) = dead(&fleet, &format!("drop {second} --dry-run")).await;
    assert_eq!((code, told(&shown, "outcome")), (0, vec![(second.as_str(), "would_drop")]));
    assert_eq!(only(&letters, "malformed_json").await.to_string(), second);
    let (code, dropped) = dead(&fleet, "drop --all --yes").await;
    assert!(code == 0 && told(&dropped, "outcome").iter().all(|(_, outcome)| *outcome == "dropped"), "{dropped}");
    assert_eq!(dead(&fleet, "list").await, (0, Value::Array(Vec::new())));
    assert_eq!(dead(&fleet, &format!("replay {second}")).await.0, 1, "what was dropped cannot be replayed");
    assert_eq!(told(&dead(&fleet, "list --tombstones").await.1, "state").len(), 3);
    verified(&fleet).await;
}

#[tokio::test]
async fn a_replay_that_was_killed_after_publishing_is_only_finished_by_the_next_one_and_a_sleeper_cannot_double_it() {
    let (fleet, journal) = with(&[("person.create.9", GOOD)]).await;
    let letters = journal.dead_letters();
    let id = only(&letters, "unknown_customer").await;
    fleet.admin().unwrap().place("9", "shard2").await.unwrap();
    replayable(&fleet, &id.to_string()).await;

    // One process has noted its intent, has found nothing, and is stopped before it publishes.
    let letter = letters.find(id).await.unwrap().unwrap();
    let mut intent = letters.intend(&letter).await.unwrap().unwrap();
    let Sought::Absent(fence) = letters.seek(&mut intent).await.unwrap() else { panic!("nothing was published yet") };
    assert!(matches!(letters.intend(&letter).await, Err(ChangeError::Changed)), "one letter has one intent");
    let (code, refused) = dead(&fleet, &format!("drop {id} --yes")).await;
    assert_eq!((code, told(&refused, "outcome")[0].1), (1, "refused"));

    // A second one goes on from there, and is killed once it has published.
    let mut second = Intent::of(&letters.find(id).await.unwrap().unwrap()).unwrap();
    let Sought::Absent(its_fence) = letters.seek(&mut second).await.unwrap() else { panic!("still nothing") };
    let new = letters.publish(&second, &its_fence).await.unwrap();
    // The customer's life goes on, and the server forgets the message's id.
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    let mut other = MessageBuilder::new();
    other.push(&Person { name: "Grace".into(), address: "New York".into() });
    publisher.publish(&"9".parse().unwrap(), other, Ask::default()).await.unwrap();
    forget_message_ids(&journal, new).await;
    let woken_up = async || match letters.publish(&intent, &fence).await {
        // Within the duplicate window it is told what stands there.
        Ok(known) => {
            assert_eq!(known, new);
            false
        }
        Err(ReplayError::Overtaken) => true,
        Err(error) => panic!("{error}"),
    };
    wait::until("the server has forgotten the message's id", LIMIT, woken_up).await.unwrap();

    let (code, finished) = dead(&fleet, &format!("replay {id} --dry-run")).await;
    assert_eq!((code, told(&finished, "outcome")[0].1), (0, "would_finish"));
    let (code, finished) = dead(&fleet, &format!("replay {id}")).await;
    assert_eq!((code, finished[0]["replayed_as"].as_str()), (0, Some(new.to_string().as_str())));
    assert!(matches!(letters.finish(&second, new).await, Err(ChangeError::Changed)), "it was finished already");
    wait::until("two rows", LIMIT, async || all_rows(&fleet).await == 2).await.unwrap();
    verified(&fleet).await;
    assert_eq!(all_rows(&fleet).await, 2);
}

/// As if the duplicate window had passed.
async fn forget_message_ids(journal: &Journal, stored: EventId) {
    let jetstream = async_nats::jetstream::new(journal.client().clone());
    let stream = jetstream.get_stream(stream_name(stored.position().partition())).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.duplicate_window = Duration::from_millis(100);
    jetstream.update_stream(&config).await.unwrap();
}

#[tokio::test]
async fn many_bad_events_of_a_message_have_one_letter_and_are_replayed_once_as_one_message() {
    const EVENTS: usize = 40;
    // One of them can never become a row, and the customer is not placed.
    let lines: Vec<_> = (0..EVENTS).map(|index| if index == 3 { "nonsense" } else { GOOD }).collect();
    let (fleet, journal) = with(&[("person.create.9", &lines.join("\n"))]).await;
    let letters = journal.dead_letters();
    let first = only(&letters, "unknown_customer").await;
    let (_, listed) = dead(&fleet, "list").await;
    assert_eq!((&listed[0]["events"], &listed[0]["id"]), (&EVENTS.into(), &first.to_string().into()));
    // An event in its middle is found, and not replayed or dropped by itself.
    let inside = first.position().event(17);
    let (code, shown) = dead(&fleet, &format!("show {inside}")).await;
    assert_eq!((code, &shown["id"], &shown["indexes"]), (0, &first.to_string().into(), &"0-39".into()));
    for act in ["replay", "drop --yes"] {
        let (code, refused) = dead(&fleet, &format!("{act} {inside}")).await;
        let detail = refused[0]["detail"].as_str().unwrap();
        assert!(code == 1 && detail.contains(&format!("its dead letter is {first}")), "{refused}");
    }

    fleet.admin().unwrap().place("9", "shard2").await.unwrap();
    replayable(&fleet, &first.to_string()).await;
    for outcome in ["replayed", "replayed_before"] {
        let (code, report) = dead(&fleet, &format!("replay {first}")).await;
        assert_eq!((code, &report[0]["outcome"]), (0, &outcome.into()), "{report}");
    }
    let rows = i64::try_from(EVENTS).unwrap() - 1;
    wait::until("its rows", LIMIT, async || all_rows(&fleet).await == rows).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.dead_letters == EVENTS as u64 + 1, "{verified:?}");
    // The tombstone stands for all of them.
    let tombstone = letters.find(first).await.unwrap().unwrap();
    assert!(tombstone.state.is_tombstone() && tombstone.events.count() == EVENTS && tombstone.payload.is_empty());
    // Dropped as a whole, too.
    let again = only(&letters, "malformed_json").await;
    assert_eq!(dead(&fleet, &format!("drop {again} --yes")).await.0, 0);
    assert!(fleet.verify().await.unwrap().ok);
}
