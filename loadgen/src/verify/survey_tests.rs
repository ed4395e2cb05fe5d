//! Surveys: what sums prove, what they leave to be looked at, what is selected, and how little is kept.

use sluice_model::Partition;

use super::{
    findings::Kind,
    ledger::Ledger,
    ledger_tests::{SHARDS, at, customer, ledger, partitions, show_right_rows, wrong},
    survey::Selection,
};

/// The small journal, surveyed: read, its rows shown by `show`.
fn surveyed(buckets: usize, selection: Selection, show: impl Fn(&mut Ledger)) -> Ledger {
    let mut ledger = ledger();
    ledger.selection = selection;
    ledger.begin_survey(buckets);
    let note = |ledger: &mut Ledger| {
        ledger.expect(at(0, 1), Some(&customer("a")), [true, true]);
        ledger.expect(at(0, 2), Some(&customer("b")), [true]);
        ledger.expect(at(0, 3), Some(&customer("a")), [false]);
    };
    ledger.house(&customer("a"), 0);
    ledger.house(&customer("b"), 1);
    ledger.bury(at(0, 3).event(0));
    note(&mut ledger);
    ledger.read_through(&[at(0, 3), at(1, 0)]);
    show(&mut ledger);
    if !ledger.is_proven() {
        if ledger.look_closer() {
            note(&mut ledger);
        }
        show(&mut ledger);
        ledger.bury(at(0, 3).event(0));
    }
    ledger
}

#[test]
fn sums_alone_prove_a_journal_whose_rows_stand_where_they_belong() {
    let ledger = surveyed(64, Selection::default(), show_right_rows);
    assert!(ledger.is_proven());
    let findings = ledger.close(20);
    assert!(findings.is_clean());
    assert_eq!((findings.events, findings.shards[0].rows, findings.shards[0].customers), (4, 2, 1));
}

#[test]
fn rows_that_come_while_a_survey_runs_are_looked_at_without_reading_the_journal_again() {
    let mut ledger = surveyed(64, Selection::default(), |ledger| {
        show_right_rows(ledger);
        ledger.row(0, "a", at(0, 4).event(0).get());
    });
    assert!(!ledger.look_closer(), "nothing that was read differs");
    show_right_rows(&mut ledger);
    ledger.row(0, "a", at(0, 4).event(0).get());
    assert!(ledger.has_unexplained_rows());
    ledger.from_here_late();
    ledger.expect(at(0, 4), Some(&customer("a")), [true]);
    let findings = ledger.close(20);
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!((findings.events, findings.shards[0].rows), (4, 3));
}

#[test]
fn a_survey_counts_events_that_have_neither_a_route_nor_a_dead_letter() {
    let mut ledger = ledger();
    ledger.begin_survey(64);
    ledger.begin(Partition::new(0), at(0, 5));
    ledger.bury_of(at(0, 5).event(0), Some("c"));
    ledger.expect(at(0, 5), Some(&customer("c")), [true, true, true]);
    ledger.expect(at(0, 6), None, [false]);
    ledger.read_through(&[at(0, 6), at(1, 0)]);
    assert_eq!(ledger.unaccounted(), 3);
    for _ in 0..2 {
        ledger.bury_of(at(0, 5).event(1), Some("c"));
        ledger.bury_of(at(0, 6).event(0), Some("_"));
        // Of what the journal no longer holds, and of what came later.
        ledger.bury_of(at(0, 4).event(0), Some("c"));
        ledger.bury_of(at(0, 9).event(0), Some("c"));
    }
    assert_eq!(ledger.unaccounted(), 1);
    ledger.house(&customer("c"), 0);
    assert_eq!(ledger.unaccounted(), 0);
}

#[test]
fn of_one_customer_only_their_events_and_rows_are_checked() {
    let only = || Selection { customer: Some(customer("b")), shard: None };
    let right = surveyed(64, only(), show_right_rows).close(20);
    assert!(right.is_clean(), "{right:?}");
    assert_eq!((right.events, right.shards[0].rows, right.shards[1].rows), (1, 0, 1));
    let findings = surveyed(64, only(), |_| {}).close(20);
    assert_eq!(wrong(&findings), [(Kind::Missing, "s2", at(0, 2).event(0).get())]);
}

#[test]
fn of_one_shard_only_what_belongs_there_and_what_stands_there_is_checked() {
    let only = || Selection { customer: None, shard: Some(0) };
    let of_s1 = |ledger: &mut Ledger| {
        ledger.row(0, "a", at(0, 1).event(0).get());
        ledger.row(0, "a", at(0, 1).event(1).get());
    };
    let right = surveyed(64, only(), of_s1);
    assert!(right.is_proven());
    assert_eq!(right.goals()[1].len(), 0, "nobody waits for a shard that is not checked");
    let right = right.close(20);
    assert_eq!((right.events, right.shards.len(), right.shards[0].shard.as_str()), (3, 1, "s1"));
    let findings = surveyed(64, only(), |ledger| ledger.row(0, "a", at(0, 1).event(1).get())).close(20);
    assert_eq!(wrong(&findings), [(Kind::Missing, "s1", at(0, 1).event(0).get())]);
    // A row of b's, who belongs on s2.
    let findings = surveyed(64, only(), |ledger| {
        of_s1(ledger);
        ledger.row(0, "b", at(0, 2).event(0).get());
    });
    assert_eq!(wrong(&findings.close(20)), [(Kind::Misplaced, "s1", at(0, 2).event(0).get())]);
}

/// Events of ten customers, ten a message; the rows of all but the events of every so many messages.
fn many(messages: u64, missing_every: u64) -> Ledger {
    let customers: Vec<_> = (0..10).map(|n| customer(&n.to_string())).collect();
    let mut ledger = Ledger::survey(partitions(), SHARDS.map(str::to_owned).to_vec(), Selection::default());
    let note = |ledger: &mut Ledger| {
        for n in 1..=messages {
            ledger.expect(at(0, n), Some(&customers[(n % 10) as usize]), [true; 10]);
        }
    };
    let show = |ledger: &mut Ledger| {
        for n in (1..=messages).filter(|n| missing_every == 0 || n % missing_every > 0) {
            (0..10).for_each(|index| ledger.row(1, customers[(n % 10) as usize].as_str(), at(0, n).event(index).get()));
        }
    };
    customers.iter().for_each(|customer| ledger.house(customer, 1));
    note(&mut ledger);
    ledger.read_through(&[at(0, messages), at(1, 0)]);
    show(&mut ledger);
    if !ledger.is_proven() && ledger.look_closer() {
        note(&mut ledger);
        show(&mut ledger);
    }
    ledger
}

#[test]
fn five_million_events_take_no_more_memory_than_none() {
    let ledger = many(500_000, 0);
    assert!(ledger.is_proven());
    assert_eq!(ledger.kept(), 0);
    assert_eq!(ledger.close(20).events, 5_000_000);
}

#[test]
fn of_many_events_only_those_are_kept_that_share_a_bucket_with_a_wrong_one() {
    let ledger = many(20_000, 2_000);
    let kept = ledger.kept();
    assert!((100..1_000).contains(&kept), "{kept} of 200,000 are kept for 100 that are missing");
    let findings = ledger.close(usize::MAX);
    assert_eq!((findings.wrong.len(), findings.shards[1].missing, findings.events), (100, 100, 200_000));
}
