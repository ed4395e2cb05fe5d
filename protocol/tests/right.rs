//! DESIGN.md's protocol keeps its promises in every state of these instances: each is searched to
//! its end.

use std::time::Instant;

use sluice_protocol::{Bounds, Protocol, Variant, invariants};
use stateright::{Checker, Model};

/// Two writers of the same partition, each with a lane for both shards, one of which is set back,
/// while the journal is trimmed.
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
    expiries: 0,
    slow_starts: false,
    joins: true,
};

/// Searches all of an instance, prints how much that was, and wants these things to have happened
/// on the way.
#[expect(clippy::print_stdout, reason = "how much was searched is what a reader of the test wants to see")]
fn search_all(name: &str, bounds: Bounds, happens: &[&'static str]) {
    let begun = Instant::now();
    let search = Protocol { bounds, variant: Variant::Right, only: None }.checker().threads(2).spawn_bfs().join();
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
fn two_writers_whose_partitions_are_taken_and_given_back() {
    let happens = [invariants::DRAINED, invariants::RELEASED, invariants::JOINING];
    let bounds = Bounds {
        lanes: [1, 1],
        partitions: 2,
        messages: [1, 1],
        trim: false,
        set_backs: 0,
        assignments: true,
        ..TWO_BY_TWO
    };
    search_all("two writers whose two partitions are taken and given back", bounds, &happens);
}

#[test]
fn two_writers_of_a_partition_that_changes_hands_while_it_is_trimmed() {
    let happens = [invariants::DRAINED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds { lanes: [1, 1], messages: [2, 0], assignments: true, ..TWO_BY_TWO };
    search_all("two writers of a partition that changes hands", bounds, &happens);
}

#[test]
fn a_reader_that_starts_long_after_it_asked_the_shards() {
    let happens = [invariants::DRAINED, invariants::JOINING, invariants::STOPPED];
    let bounds =
        Bounds { writers: 1, lanes: [2, 0], messages: [2, 0], assignments: true, slow_starts: true, ..TWO_BY_TWO };
    search_all("a reader that starts long after it asked the shards", bounds, &happens);
}

#[test]
fn two_writers_of_a_journal_that_loses_its_end() {
    let happens = [invariants::AGAIN, invariants::REFUSED, invariants::JOINING];
    let bounds = Bounds { lanes: [1, 1], messages: [2, 0], trim: false, losses: 1, ..TWO_BY_TWO };
    search_all("two writers of a journal that loses its end", bounds, &happens);
}

#[test]
fn one_writer_of_two_shards_of_a_journal_that_is_trimmed_and_loses_its_end() {
    let happens = [invariants::AGAIN, invariants::REFUSED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds { writers: 1, lanes: [2, 0], messages: [2, 0], losses: 1, ..TWO_BY_TWO };
    search_all("one writer of two shards of a journal that is trimmed and loses its end", bounds, &happens);
}

#[test]
fn two_writers_that_overlap_on_one_of_two_shards_of_a_journal_that_loses_its_end() {
    let happens = [invariants::AGAIN, invariants::REFUSED];
    let bounds = Bounds { lanes: [2, 1], messages: [1, 0], set_backs: 0, losses: 1, trim: false, ..TWO_BY_TWO };
    search_all("two writers that overlap on one of two shards of a journal that loses its end", bounds, &happens);
}

#[test]
fn a_commit_that_comes_after_the_journal_lost_its_end() {
    let happens = [invariants::AGAIN, invariants::REFUSED, invariants::JOINING, invariants::STOPPED];
    let bounds = Bounds {
        writers: 1,
        lanes: [1, 0],
        messages: [2, 0],
        orphans: true,
        losses: 1,
        slow_starts: true,
        ..TWO_BY_TWO
    };
    search_all("a commit that comes after the journal lost its end", bounds, &happens);
}

#[test]
fn two_writers_and_a_commit_that_comes_after_the_journal_lost_its_end() {
    let happens = [invariants::AGAIN, invariants::REFUSED];
    let bounds = Bounds { lanes: [1, 1], messages: [1, 0], orphans: true, losses: 1, ..TWO_BY_TWO };
    search_all("two writers and a commit that comes after the journal lost its end", bounds, &happens);
}

#[test]
fn a_partition_that_lost_its_end_is_refused_and_the_other_goes_on() {
    let happens = [invariants::AGAIN, invariants::REFUSED, invariants::PARTED, invariants::RELEASED];
    let bounds = Bounds {
        writers: 1,
        lanes: [1, 0],
        partitions: 2,
        messages: [2, 1],
        losses: 1,
        trim: false,
        assignments: true,
        ..TWO_BY_TWO
    };
    search_all("one partition of two loses its end", bounds, &happens);
}

#[test]
fn one_writer_of_two_shards_of_a_journal_whose_loss_is_accepted() {
    let happens = [invariants::DRAINED, invariants::STOPPED, invariants::ACCEPTED, invariants::UNNAMED];
    let bounds = Bounds { writers: 1, lanes: [2, 0], messages: [2, 0], expiries: 1, trim: false, ..TWO_BY_TWO };
    search_all("one writer of two shards of a journal whose loss is accepted", bounds, &happens);
}

#[test]
fn two_writers_of_a_journal_whose_loss_is_accepted() {
    let happens = [invariants::DRAINED, invariants::STOPPED, invariants::ACCEPTED];
    let bounds = Bounds { lanes: [1, 1], messages: [1, 0], expiries: 1, trim: false, ..TWO_BY_TWO };
    search_all("two writers of a journal whose loss is accepted", bounds, &happens);
}

#[test]
fn one_writer_of_a_journal_that_is_trimmed_and_of_which_much_is_lost_and_accepted() {
    let happens = [invariants::DRAINED, invariants::STOPPED, invariants::ACCEPTED];
    let bounds = Bounds { writers: 1, lanes: [1, 0], messages: [3, 0], expiries: 2, set_backs: 0, ..TWO_BY_TWO };
    search_all("one writer of a journal that is trimmed and of which much is lost and accepted", bounds, &happens);
}
