//! Each wrong variant of the protocol breaks a promise, and the search finds it: so the model can
//! see what it should see.

use sluice_protocol::{Bounds, Protocol, Variant, invariants, step::Step};
use stateright::{Checker, HasDiscoveries, Model, Path};

/// Two writers, the second of which has a lane for the first shard only; one shard is set back, the
/// journal trimmed.
const OVERLAP: Bounds = Bounds {
    writers: 2,
    lanes: [2, 1],
    partitions: 1,
    messages: [2, 0],
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

/// One writer of both shards, and messages published while it works.
const ALONE: Bounds = Bounds { writers: 1, lanes: [2, 0], published: false, ..OVERLAP };

/// More steps than any counterexample has.
const LONGEST: usize = 30;

/// Finds the shortest way to break the promise, and prints it.
#[expect(clippy::print_stdout, reason = "the counterexample is what a reader of the test wants to see")]
fn counterexample(variant: Variant, bounds: Bounds, promise: &'static str) -> Vec<Step> {
    // A search goes on for a while after it has found something. So one that ends just before what
    // was found looks for less.
    let search = |states| {
        let search = Protocol { bounds, variant, only: Some(promise) }.checker().target_max_depth(states);
        search.finish_when(HasDiscoveries::Any).spawn_bfs().join().discovery(promise).map(Path::into_actions)
    };
    let mut steps = search(LONGEST).unwrap_or_else(|| panic!("{variant:?} does not break {promise}"));
    while let Some(fewer) = search(steps.len() + 1) {
        steps = fewer;
    }
    println!("{variant:?} breaks {promise} in {} steps:", steps.len());
    steps.iter().for_each(|step| println!("    {step:?}"));
    steps
}

#[test]
fn a_position_advanced_apart_from_its_rows_is_found() {
    counterexample(Variant::PositionApart, ALONE, invariants::TOGETHER);
    counterexample(Variant::PositionApart, ALONE, invariants::ONCE);
}

#[test]
fn a_missing_compare_is_found() {
    counterexample(Variant::NoCompare, OVERLAP, invariants::ONCE);
    counterexample(Variant::NoCompare, Bounds { set_backs: 0, ..OVERLAP }, invariants::ONCE);
}

#[test]
fn a_lane_that_starts_at_the_live_position_is_found() {
    counterexample(Variant::StartsAtLive, ALONE, invariants::ONCE);
    counterexample(Variant::StartsAtLive, ALONE, invariants::WHOLE);
}

#[test]
fn trimming_to_the_live_position_is_found() {
    counterexample(Variant::TrimsToLive, ALONE, invariants::KEPT);
}

#[test]
fn a_missing_contiguity_check_is_found() {
    counterexample(Variant::NoContiguityCheck, ALONE, invariants::ONCE);
}

#[test]
fn joining_without_reading_through_to_the_reader_is_found() {
    counterexample(Variant::JoinsUnread, ALONE, invariants::ONCE);
}

#[test]
fn pending_work_kept_after_a_set_back_without_a_check_is_found() {
    let steps = counterexample(Variant::KeepsPending, ALONE, invariants::ONCE);
    assert!(
        steps.iter().any(|step| matches!(step, Step::SetBack(_))),
        "only a set-back leaves a gap before pending work"
    );
}

#[test]
fn a_lane_that_keeps_other_shards_events_is_found() {
    counterexample(Variant::KeepsForeign, ALONE, invariants::PLACED);
}

#[test]
fn a_lane_that_stops_without_asking_its_shard_is_found() {
    counterexample(Variant::StopsUnasked, OVERLAP, invariants::TOLD);
}

#[test]
fn a_lane_that_waits_for_a_message_to_see_its_gap_is_found() {
    counterexample(Variant::WaitsForMore, ALONE, invariants::DRAINS);
}

/// One writer of one shard and one partition, whose journal loses its end.
const LOSS: Bounds =
    Bounds { lanes: [1, 0], messages: [2, 0], published: true, set_backs: 0, trim: false, losses: 1, ..ALONE };

/// The same with lanes that never join: then all that a lane has in hand comes from the readers.
const LOSS_WITHOUT_JOINS: Bounds = Bounds { joins: false, ..LOSS };

#[test]
fn work_that_lost_its_covered_rows_and_kept_its_range_is_found() {
    let bounds = Bounds { published: true, trim: false, ..ALONE };
    let steps = counterexample(Variant::PreparesDestructively, bounds, invariants::ONCE);
    assert!(steps.iter().any(|step| matches!(step, Step::SetBack(_))), "the covered rows are needed once more");
}

#[test]
fn work_that_lost_a_released_partitions_rows_and_kept_its_range_is_found() {
    let bounds = Bounds { partitions: 2, messages: [1, 1], losses: 0, assignments: true, ..LOSS };
    let steps = counterexample(Variant::KeepsWorkOverRelease, bounds, invariants::ONCE);
    assert!(steps.iter().any(|step| matches!(step, Step::TakeUp { .. })), "the partition comes back");
}

#[test]
fn work_kept_while_its_partition_is_refused_and_taken_again_is_found() {
    let variant = Variant::KeepsWorkOverRefusal { stamps: false };
    let steps = counterexample(variant, LOSS_WITHOUT_JOINS, invariants::ONCE);
    assert!(steps.iter().any(|step| matches!(step, Step::TakeUp { .. })), "the partition is looked at again");
    counterexample(variant, LOSS_WITHOUT_JOINS, invariants::LINKED);
}

#[test]
fn a_reader_that_starts_from_health_of_before_a_release_is_found() {
    let variant = Variant::TrustsStaleHealth { stamps: false };
    let steps = counterexample(variant, LOSS_WITHOUT_JOINS, invariants::LINKED);
    assert!(steps.iter().any(|step| matches!(step, Step::TakeUp { .. })), "the partition is taken again");
}

#[test]
fn work_that_is_fitted_by_its_position_alone_is_found() {
    counterexample(Variant::FitsByPosition, LOSS, invariants::LINKED);
    counterexample(Variant::FitsByPosition, LOSS, invariants::ONCE);
}

#[test]
fn a_reader_that_opens_without_a_look_at_the_stamp_is_found() {
    counterexample(Variant::OpensUnverified, LOSS, invariants::LINKED);
    counterexample(Variant::OpensUnverified, LOSS, invariants::ONCE);
}

#[test]
fn a_lane_that_opens_without_a_look_at_the_stamp_is_found() {
    counterexample(Variant::LaneOpensUnverified, LOSS, invariants::LINKED);
    counterexample(Variant::LaneOpensUnverified, LOSS, invariants::ONCE);
}

#[test]
fn a_compare_without_the_stamp_is_found() {
    let bounds = Bounds { writers: 2, lanes: [1, 1], set_backs: 1, ..LOSS };
    let steps = counterexample(Variant::ComparesNoStamp, bounds, invariants::LINKED);
    assert!(
        steps.iter().any(|step| matches!(step, Step::SetBack(_))),
        "nothing else leads a shard to that position again"
    );
}

#[test]
fn a_trimmer_that_does_not_look_at_the_stamps_is_found() {
    counterexample(Variant::TrimsUnverified, Bounds { trim: true, ..LOSS }, invariants::KEPT);
}

#[test]
fn a_place_whose_message_is_trimmed_taken_for_one_that_the_journal_holds_is_found() {
    let bounds = Bounds { set_backs: 1, orphans: true, trim: true, ..LOSS };
    counterexample(Variant::TrustsTrimmed, bounds, invariants::LINKED);
    counterexample(Variant::TrustsTrimmed, bounds, invariants::ONCE);
}

#[test]
fn an_unknown_stamp_taken_for_any_stamp_is_found() {
    let bounds = Bounds { set_backs: 1, orphans: true, trim: true, ..LOSS };
    counterexample(Variant::UnknownFitsAll, bounds, invariants::LINKED);
}

/// One writer of two shards, of whose journal a message expires.
const EXPIRY: Bounds = Bounds { messages: [2, 0], published: true, trim: false, expiries: 1, ..ALONE };

#[test]
fn a_loss_that_was_accepted_for_one_shard_and_is_passed_by_every_shard_is_found() {
    let steps = counterexample(Variant::PassesForAll, EXPIRY, invariants::WHOLE);
    assert!(steps.iter().any(|step| matches!(step, Step::SetBack(_))), "the other shard had stored it");
    counterexample(Variant::PassesForAll, EXPIRY, invariants::ONCE);
}

#[test]
fn accepting_what_the_journal_still_has_is_found() {
    counterexample(Variant::AcceptsHeld, EXPIRY, invariants::WHOLE);
}

#[test]
fn accepting_the_first_message_that_is_left_is_found() {
    counterexample(Variant::AcceptsBeyond, EXPIRY, invariants::WHOLE);
}

#[test]
fn shards_that_are_moved_on_without_a_compare_are_found() {
    counterexample(Variant::MovesUncompared, EXPIRY, invariants::LINKED);
}

/// Wrong in one point, but kept harmless by another. The search has to find nothing.
#[expect(clippy::print_stdout, reason = "how much was searched is what a reader of the test wants to see")]
fn holds(variant: Variant, bounds: Bounds) {
    let search = Protocol { bounds, variant, only: None }.checker().threads(2).spawn_bfs().join();
    println!("{variant:?} breaks nothing in {} unique states", search.unique_state_count());
    for (promise, path) in search.discoveries() {
        let broken = search.model().property(promise).expectation.discovery_is_failure();
        assert!(!broken, "{variant:?} breaks {promise}: {:?}", path.into_actions());
    }
    assert!(search.is_done(), "the search ended early");
}

#[test]
fn without_joins_a_fit_by_position_alone_is_harmless_so_that_what_is_found_there_has_another_cause() {
    holds(Variant::FitsByPosition, LOSS_WITHOUT_JOINS);
}

#[test]
fn stamps_in_the_work_make_old_work_and_old_health_harmless() {
    let again = Bounds { assignments: true, ..LOSS };
    holds(Variant::KeepsWorkOverRefusal { stamps: true }, again);
    holds(Variant::TrustsStaleHealth { stamps: true }, again);
}

#[test]
fn without_a_set_back_a_compare_without_the_stamp_is_harmless() {
    holds(Variant::ComparesNoStamp, Bounds { writers: 2, lanes: [1, 1], ..LOSS });
}
