//! DESIGN.md's protocol keeps its promises in every state of these instances: each is searched to its end.

use std::time::Instant;

use sluice_protocol::{Bounds, Protocol, Variant, invariants};
use stateright::{Checker, Model};

/// Two writers of the same partition, each with a lane for both shards, one of which is set back, while the journal is trimmed.
const TWO_BY_TWO: Bounds = Bounds {
    writers: 2,
    lanes: [2, 2],
    partitions: 1,
    messages: [1, 0],
    published: true,
    set_backs: 1,
    orphans: false,
    trim: true,
    assignments: false,
    losses: 0,
    slow_starts: false,
    joins: true,
};

/// Searches all of an instance, prints how much that was, and wants these things to have happened on the way.
#[expect(clippy::print_stdout, reason = "how much was searched is what a reader of the test wants to see")]
fn search_all(name: &str, bounds: Bounds, happens: &[&'static str]) {
    let begun = Instant::now();
    let search = Protocol { bounds, variant: Variant::Right, only: std::env::var("ONLY").ok().map(|_| "Once") }
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    let (unique, all, depth) = (search.unique_state_count(), search.state_count(), search.max_depth());
    println!("{name}: {unique} unique states of {all}, depth {depth}, in {:.1?}", begun.elapsed());
    for (promise, path) in search.discoveries() {
        let broken = search.model().property(promise).expectation.discovery_is_failure();
        let steps: Vec<_> = path.into_actions().iter().map(|step| format!("    {step:?}\n")).collect();
        assert!(!broken, "{promise} is broken by\n{}", steps.concat());
    }
    assert!(search.is_done(), "the search ended early");
    happens.iter().for_each(|what| assert!(search.discovery(what).is_some(), "it never happens that {what}"));
}

#[test]
fn two_writers_of_two_shards() {
    search_all("two writers of two shards", TWO_BY_TWO, &[invariants::DRAINED]);
}

#[test]
fn two_writers_that_overlap_on_one_of_two_shards() {
    let bounds = Bounds { lanes: [2, 1], messages: [2, 0], set_backs: 0, ..TWO_BY_TWO };
    search_all("two writers that overlap on one of two shards", bounds, &[invariants::DRAINED, invariants::JOINING]);
}

#[test]
fn two_writers_of_one_shard() {
    let happens = [invariants::DRAINED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds { lanes: [1, 1], messages: [3, 0], ..TWO_BY_TWO };
    search_all("two writers of one shard", bounds, &happens);
}

#[test]
fn two_writers_and_a_commit_that_comes_long_after_its_connection() {
    let happens = [invariants::DRAINED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds { lanes: [1, 1], messages: [2, 0], orphans: true, ..TWO_BY_TWO };
    search_all("two writers and a commit that comes late", bounds, &happens);
}

#[test]
fn two_writers_of_two_partitions() {
    let bounds = Bounds { lanes: [1, 1], partitions: 2, messages: [1, 1], trim: false, ..TWO_BY_TWO };
    search_all("two writers of two partitions", bounds, &[invariants::DRAINED, invariants::JOINING]);
}

#[test]
fn one_writer_of_two_shards_while_messages_are_published() {
    let happens = [invariants::DRAINED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds { writers: 1, lanes: [2, 0], messages: [2, 0], published: false, orphans: true, ..TWO_BY_TWO };
    search_all("one writer of two shards while messages are published", bounds, &happens);
}

#[test]
fn one_writer_of_two_shards_and_three_messages() {
    let happens = [invariants::DRAINED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds { writers: 1, lanes: [2, 0], messages: [3, 0], ..TWO_BY_TWO };
    search_all("one writer of two shards and three messages", bounds, &happens);
}

#[test]
fn n1_two_partitions_assigned() {
    let bounds = Bounds {
        writers: 1,
        lanes: [1, 0],
        partitions: 2,
        messages: [2, 1],
        trim: false,
        assignments: true,
        ..TWO_BY_TWO
    };
    search_all("n1", bounds, &[invariants::DRAINED, invariants::RELEASED]);
}
#[test]
fn n2_two_writers_assigned() {
    let bounds = Bounds { lanes: [1, 1], messages: [2, 0], set_backs: 0, trim: false, assignments: true, ..TWO_BY_TWO };
    search_all("n2", bounds, &[invariants::DRAINED]);
}
#[test]
fn n3_loss_two_shards() {
    let bounds =
        Bounds { writers: 1, lanes: [2, 0], messages: [2, 0], set_backs: 0, trim: true, losses: 1, ..TWO_BY_TWO };
    search_all("n3", bounds, &[invariants::DRAINED]);
}
#[test]
fn n4_loss_two_writers() {
    let bounds = Bounds { lanes: [1, 1], messages: [2, 0], set_backs: 0, trim: false, losses: 1, ..TWO_BY_TWO };
    search_all("n4", bounds, &[invariants::DRAINED]);
}
#[test]
fn n5_loss_two_partitions() {
    let bounds = Bounds {
        writers: 1,
        lanes: [1, 0],
        partitions: 2,
        messages: [2, 1],
        set_backs: 0,
        trim: false,
        losses: 1,
        ..TWO_BY_TWO
    };
    search_all("n5", bounds, &[invariants::DRAINED, invariants::PARTED]);
}
#[test]
fn n6_slow_starts_loss() {
    let bounds = Bounds {
        writers: 1,
        lanes: [1, 0],
        messages: [3, 0],
        trim: true,
        losses: 1,
        assignments: true,
        slow_starts: true,
        ..TWO_BY_TWO
    };
    search_all("n6", bounds, &[invariants::DRAINED]);
}
