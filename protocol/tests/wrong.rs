//! Each wrong variant of the protocol breaks a promise, and the search finds it: so the model can see what it should see.

use sluice_protocol::{Bounds, Protocol, Variant, invariants, step::Step};
use stateright::{Checker, HasDiscoveries, Model};

/// Two writers, the second of which has a lane for the first shard only; one shard is set back, the journal trimmed.
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
    slow_starts: false,
};

/// One writer of both shards, and messages published while it works.
const ALONE: Bounds = Bounds { writers: 1, lanes: [2, 0], published: false, ..OVERLAP };

/// More steps than any counterexample has.
const LONGEST: usize = 30;

/// The shortest way to break the promise.
#[expect(clippy::print_stdout, reason = "the counterexample is what a reader of the test wants to see")]
fn counterexample(variant: Variant, bounds: Bounds, promise: &'static str) -> Vec<Step> {
    // A search goes on for a while after it has found something. So each looks one step further than the last.
    let search = |depth| {
        let search = Protocol { bounds, variant }.checker().target_max_depth(depth);
        search.finish_when(HasDiscoveries::AllOf([promise].into())).spawn_bfs().join().discovery(promise)
    };
    let found = (2..LONGEST).find_map(search).unwrap_or_else(|| panic!("{variant:?} does not break {promise}"));
    let steps = found.into_actions();
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
