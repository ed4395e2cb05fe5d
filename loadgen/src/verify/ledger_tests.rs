//! The ledger against small cases, and against a slow and simple judge of the same question.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_model::{CustomerId, EventId, Partition, PartitionCount, Position};

use super::{
    findings::{Findings, Kind},
    ledger::Ledger,
};

pub(super) const SHARDS: [&str; 3] = ["s1", "s2", "s3"];

pub(super) fn partitions() -> PartitionCount {
    PartitionCount::try_from(2).unwrap()
}

pub(super) fn at(partition: u16, n: u64) -> Position {
    Position::new(Position::before_first(Partition::new(partition)).get() + n).unwrap()
}

pub(super) fn customer(name: &str) -> CustomerId {
    name.parse().unwrap()
}

pub(super) fn ledger() -> Ledger {
    Ledger::new(partitions(), SHARDS.map(str::to_owned).to_vec())
}

/// Customer a on s1, b on s2, n nowhere; two events of a in one message, one of b, one of a that cannot become a row.
fn a_small_journal() -> Ledger {
    let mut ledger = ledger();
    ledger.house(&customer("a"), 0);
    ledger.house(&customer("b"), 1);
    ledger.expect(at(0, 1), Some(&customer("a")), [true, true]);
    ledger.expect(at(0, 2), Some(&customer("b")), [true]);
    ledger.expect(at(0, 3), Some(&customer("a")), [false]);
    ledger.bury(at(0, 3).event(0));
    ledger
}

pub(super) fn show_right_rows(ledger: &mut Ledger) {
    ledger.row(0, "a", at(0, 1).event(0).get());
    ledger.row(0, "a", at(0, 1).event(1).get());
    ledger.row(1, "b", at(0, 2).event(0).get());
}

/// Kind, shard and id of everything that is wrong.
pub(super) fn wrong(findings: &Findings) -> Vec<(Kind, &str, i64)> {
    let wrong = findings.wrong.iter();
    wrong.map(|wrong| (wrong.kind, wrong.shard.as_deref().unwrap_or("-"), wrong.id)).collect()
}

#[test]
fn a_journal_whose_rows_stand_where_they_belong_is_clean() {
    let mut ledger = a_small_journal();
    show_right_rows(&mut ledger);
    assert!(!ledger.has_unexplained_rows());
    let findings = ledger.close(20);
    assert!(findings.is_clean() && findings.wrong.is_empty());
    assert_eq!(findings.events, 4);
    assert_eq!((findings.shards[0].rows, findings.shards[0].customers), (2, 1));
}

#[test]
fn a_deleted_row_is_missing_on_its_home() {
    let mut ledger = a_small_journal();
    ledger.row(0, "a", at(0, 1).event(1).get());
    ledger.row(1, "b", at(0, 2).event(0).get());
    let findings = ledger.close(20);
    assert_eq!(wrong(&findings), [(Kind::Missing, "s1", at(0, 1).event(0).get())]);
    assert_eq!(findings.wrong[0].customer.as_deref(), Some("a"));
    assert_eq!(findings.shards[0].missing, 1);
}

#[test]
fn a_row_copied_under_an_id_that_the_journal_never_gave_is_doubled() {
    for strange in [at(0, 1).event(2).get(), at(0, 999_999).event(0).get(), at(1, 1).event(0).get(), 7, -1, i64::MAX] {
        let mut ledger = a_small_journal();
        show_right_rows(&mut ledger);
        ledger.row(0, "a", strange);
        let findings = ledger.close(20);
        assert_eq!(wrong(&findings), [(Kind::Doubled, "s1", strange)]);
        assert_eq!(findings.shards[0].doubled, 1);
    }
}

#[test]
fn a_row_moved_to_another_shard_is_misplaced_and_not_also_missing() {
    let mut ledger = a_small_journal();
    ledger.row(0, "a", at(0, 1).event(0).get());
    ledger.row(2, "a", at(0, 1).event(1).get());
    ledger.row(1, "b", at(0, 2).event(0).get());
    let findings = ledger.close(20);
    assert_eq!(wrong(&findings), [(Kind::Misplaced, "s3", at(0, 1).event(1).get())]);
    assert_eq!((findings.shards[2].misplaced, findings.shards[0].missing), (1, 0));
    assert!(findings.wrong[0].detail.contains("customer a on s1"), "{}", findings.wrong[0].detail);
}

#[test]
fn a_row_copied_to_another_shard_is_doubled_there_whichever_is_seen_first() {
    let id = at(0, 2).event(0).get();
    for other_first in [true, false] {
        let mut ledger = a_small_journal();
        if other_first {
            ledger.row(0, "b", id);
        }
        show_right_rows(&mut ledger);
        if !other_first {
            ledger.row(0, "b", id);
        }
        assert_eq!(wrong(&ledger.close(20)), [(Kind::Doubled, "s1", id)]);
    }
}

#[test]
fn a_row_under_another_customer_is_misplaced() {
    let mut ledger = a_small_journal();
    ledger.row(0, "b", at(0, 1).event(0).get());
    ledger.row(0, "a", at(0, 1).event(1).get());
    ledger.row(1, "b", at(0, 2).event(0).get());
    assert_eq!(wrong(&ledger.close(20)), [(Kind::Misplaced, "s1", at(0, 1).event(0).get())]);
}

/// Of the small journal: position 1 (of a, on s1) was given again, s1 had stored up to there; the copy stands at 9.
fn repaired(copies: usize) -> Ledger {
    let mut ledger = ledger();
    ledger.repaired.lost(0, at(0, 0), at(0, 1));
    ledger.house(&customer("a"), 0);
    ledger.house(&customer("b"), 1);
    ledger.expect(at(0, 1), Some(&customer("a")), [true, true]);
    for n in 0..copies {
        ledger.expect(at(0, 9 + n as u64), Some(&customer("a")), [true, true]);
        ledger.copied(at(0, 1));
    }
    // Rows of what was lost, of whichever customers of s1.
    ledger.row(0, "a", at(0, 1).event(0).get());
    ledger.row(0, "c", at(0, 1).event(1).get());
    ledger
}

#[test]
fn rows_of_what_the_journal_lost_are_told_apart_and_what_was_given_again_has_its_row_as_a_copy() {
    let mut ledger = repaired(1);
    ledger.row(0, "a", at(0, 9).event(0).get());
    ledger.row(0, "a", at(0, 9).event(1).get());
    assert!(!ledger.has_unexplained_rows());
    let findings = ledger.close(20);
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!((findings.events, findings.shards[0].rows, findings.shards[0].before_repair), (2, 4, 2));
    // Such a row on a shard that has lost nothing is as wrong as ever.
    let mut ledger = repaired(1);
    ledger.row(0, "a", at(0, 9).event(0).get());
    ledger.row(0, "a", at(0, 9).event(1).get());
    ledger.row(1, "b", at(0, 1).event(0).get());
    assert_eq!(wrong(&ledger.close(20)), [(Kind::Misplaced, "s2", at(0, 1).event(0).get())]);
}

#[test]
fn what_was_given_again_and_not_copied_is_missing_and_what_was_copied_twice_is_doubled() {
    let ids = [0, 1].map(|index| at(0, 1).event(index).get());
    let findings = repaired(0).close(20);
    assert_eq!(wrong(&findings), ids.map(|id| (Kind::Missing, "s1", id)));
    assert!(findings.wrong[0].detail.contains("given again"), "{}", findings.wrong[0].detail);
    let mut ledger = repaired(2);
    for n in [9, 10] {
        ledger.row(0, "a", at(0, n).event(0).get());
        ledger.row(0, "a", at(0, n).event(1).get());
    }
    assert_eq!(wrong(&ledger.close(20)), ids.map(|id| (Kind::Doubled, "s1", id)));
    // Copied although its shard reads it where it stands.
    let mut ledger = a_small_journal();
    show_right_rows(&mut ledger);
    ledger.expect(at(0, 9), Some(&customer("b")), [true]);
    ledger.copied(at(0, 2));
    ledger.row(1, "b", at(0, 9).event(0).get());
    assert_eq!(wrong(&ledger.close(20)), [(Kind::Doubled, "s2", at(0, 2).event(0).get())]);
}

#[test]
fn a_dead_letter_stands_for_its_row_and_a_row_beside_it_is_doubled() {
    let id = at(0, 2).event(0);
    let mut ledger = a_small_journal();
    ledger.bury(id);
    ledger.row(0, "a", at(0, 1).event(0).get());
    ledger.row(0, "a", at(0, 1).event(1).get());
    assert!(ledger.close(20).is_clean());
    let mut ledger = a_small_journal();
    show_right_rows(&mut ledger);
    ledger.bury(id);
    assert_eq!(wrong(&ledger.close(20)), [(Kind::Doubled, "s2", id.get())]);
}

#[test]
fn an_event_that_cannot_become_a_row_has_to_be_a_dead_letter_also_where_it_is_nobodys() {
    let mut ledger = a_small_journal();
    show_right_rows(&mut ledger);
    ledger.expect(at(0, 4), Some(&customer("b")), [false]);
    ledger.expect(at(1, 1), None, [false]);
    assert_eq!(ledger.unaccounted(), 1);
    let findings = ledger.close(20);
    let expected =
        [(Kind::NotDeadLettered, "s2", at(0, 4).event(0).get()), (Kind::NotDeadLettered, "-", at(1, 1).event(0).get())];
    assert_eq!(wrong(&findings), expected);
    assert_eq!((findings.shards[1].missing, findings.homeless), (1, 1));
}

#[test]
fn rows_older_than_the_journal_are_only_counted() {
    let mut ledger = ledger();
    ledger.begin(Partition::new(0), at(0, 5));
    ledger.row(2, "a", at(0, 4).event(3).get());
    let findings = ledger.close(20);
    assert!(findings.is_clean());
    assert_eq!((findings.shards[2].rows, findings.shards[2].before_journal), (1, 1));
}

#[test]
fn what_comes_while_the_check_runs_explains_its_rows_but_is_not_missed() {
    let mut ledger = a_small_journal();
    show_right_rows(&mut ledger);
    ledger.row(0, "a", at(0, 4).event(0).get());
    ledger.row(2, "new", at(0, 5).event(0).get());
    assert!(ledger.has_unexplained_rows());
    ledger.from_here_late();
    ledger.expect(at(0, 4), Some(&customer("a")), [true, true]);
    ledger.expect(at(0, 5), Some(&customer("new")), [true]);
    ledger.expect(at(0, 6), Some(&customer("b")), [false]);
    assert_eq!(ledger.homeless(), [customer("new")]);
    ledger.house(&customer("new"), 2);
    let findings = ledger.close(20);
    assert!(findings.is_clean(), "{:?}", findings.wrong);
    assert_eq!(findings.events, 4);
}

#[test]
fn a_shard_has_to_reach_the_last_event_of_each_of_its_customers_in_each_partition() {
    let mut ledger = a_small_journal();
    ledger.expect(at(1, 8), Some(&customer("c")), [true]);
    assert_eq!(ledger.unaccounted(), 1);
    assert_eq!(ledger.homeless(), [customer("c")]);
    ledger.house(&customer("c"), 0);
    assert_eq!((ledger.unaccounted(), ledger.homeless().len()), (0, 0));
    let of = |list: &[Position]| list.iter().map(|p| (p.partition(), *p)).collect::<BTreeMap<_, _>>();
    assert_eq!(ledger.goals(), [of(&[at(0, 3), at(1, 8)]), of(&[at(0, 2)]), of(&[])]);
}

/// What the slow judge and the ledger are asked: every number is small, so that things meet.
#[derive(Debug, Clone)]
struct Case {
    /// First kept message of each partition, from 1.
    first: [u64; 2],
    /// Messages in order: partition, customer (4: nobody), events.
    messages: Vec<(u16, usize, Vec<bool>)>,
    homes: [Option<usize>; 4],
    dead: Vec<(u16, u64, usize)>,
    /// Shard, customer, partition, position, index.
    rows: Vec<(usize, usize, u16, u64, usize)>,
    /// Rows of these events are also shown where they belong.
    right: Vec<bool>,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn cases() -> impl Strategy<Value = Case> {
    let message = (0u16..2, 0usize..5, prop::collection::vec(prop::bool::weighted(0.9), 1..3));
    (
        [1u64..4, 1u64..4],
        prop::collection::vec(message, 0..12),
        prop::array::uniform4(prop::option::weighted(0.8, 0usize..3)),
        prop::collection::vec((0u16..2, 1u64..8, 0usize..3), 0..4),
        prop::collection::vec((0usize..3, 0usize..4, 0u16..3, 0u64..9, 0usize..3), 0..12),
        prop::collection::vec(prop::bool::weighted(0.8), 24),
    )
        .prop_map(|(first, messages, homes, dead, rows, right)| Case { first, messages, homes, dead, rows, right })
}

/// An event as the slow judge sees it.
struct Event {
    customer: Option<usize>,
    can_become_a_row: bool,
}

impl Case {
    fn events(&self) -> BTreeMap<i64, Event> {
        let mut next = self.first;
        let mut events = BTreeMap::new();
        for (partition, customer, list) in &self.messages {
            let position = at(*partition, next[usize::from(*partition)]);
            next[usize::from(*partition)] += 1;
            let customer = (*customer < 4).then_some(*customer);
            for (index, ok) in list.iter().enumerate() {
                events.insert(
                    position.event(index).get(),
                    Event { customer, can_become_a_row: *ok && customer.is_some() },
                );
            }
        }
        events
    }

    /// Shard, customer and id of each row, each at most once: a shard's primary key sees to that.
    fn rows(&self) -> Vec<(usize, usize, i64)> {
        let wild =
            self.rows.iter().map(|(shard, customer, p, n, index)| (*shard, *customer, at(*p, *n).event(*index).get()));
        let events = self.events();
        let right = events.iter().zip(&self.right).filter(|(_, shown)| **shown).filter_map(|((id, event), _)| {
            let customer = event.customer?;
            Some((self.homes[customer]?, customer, *id))
        });
        let mut seen = BTreeSet::new();
        wild.chain(right).filter(|row| seen.insert(*row)).collect()
    }

    fn judge_slowly(&self) -> Vec<(Kind, String, i64)> {
        let events = self.events();
        let dead: BTreeSet<i64> = self.dead.iter().map(|(p, n, index)| at(*p, *n).event(*index).get()).collect();
        let rows = self.rows();
        let mut wrong = Vec::new();
        for (shard, _, id) in rows.iter().filter(|(_, _, id)| !events.contains_key(id)) {
            let position = EventId::try_from(*id).unwrap().position();
            let partition = usize::from(position.partition().number());
            let n = position.get() - Position::before_first(position.partition()).get();
            if partition >= 2 || n == 0 || n >= self.first[partition] {
                wrong.push((Kind::Doubled, SHARDS[*shard].to_owned(), *id));
            }
        }
        for (id, event) in &events {
            let home = event.customer.and_then(|customer| self.homes[customer]);
            let home_name = home.map_or("-", |home| SHARDS[home]).to_owned();
            let mine: Vec<_> = rows.iter().filter(|row| row.2 == *id).collect();
            let can_live = event.can_become_a_row && !dead.contains(id);
            let own = mine.iter().position(|row| Some(row.0) == home && Some(row.1) == event.customer);
            let keeper = can_live.then(|| own.or((!mine.is_empty()).then_some(0))).flatten();
            for (index, row) in mine.iter().enumerate() {
                let shard = SHARDS[row.0].to_owned();
                match keeper {
                    Some(keeper) if keeper == index && own.is_none() => wrong.push((Kind::Misplaced, shard, *id)),
                    Some(keeper) if keeper == index => {}
                    _ => wrong.push((Kind::Doubled, shard, *id)),
                }
            }
            if !event.can_become_a_row && !dead.contains(id) {
                wrong.push((Kind::NotDeadLettered, home_name, *id));
            } else if can_live && mine.is_empty() {
                wrong.push((Kind::Missing, home_name, *id));
            }
        }
        wrong.sort();
        wrong
    }

    fn house(&self, ledger: &mut Ledger) {
        for (name, home) in NAMES.iter().zip(self.homes) {
            if let Some(home) = home {
                ledger.house(&customer(name), home);
            }
        }
    }

    fn bury(&self, ledger: &mut Ledger) {
        self.dead.iter().for_each(|(p, n, index)| ledger.bury(at(*p, *n).event(*index)));
    }

    /// Notes every event; gives each partition's last position.
    fn expect(&self, ledger: &mut Ledger) -> [Position; 2] {
        for (number, first) in (0..2).zip(self.first) {
            ledger.begin(Partition::new(number), at(number, first));
        }
        let mut next = self.first;
        for (partition, name, events) in &self.messages {
            let position = at(*partition, next[usize::from(*partition)]);
            next[usize::from(*partition)] += 1;
            let name = NAMES.get(*name).map(|name| customer(name));
            let events = events.iter().map(|ok| *ok && name.is_some());
            ledger.expect(position, name.as_ref(), events);
        }
        [at(0, next[0] - 1), at(1, next[1] - 1)]
    }

    fn show(&self, ledger: &mut Ledger) {
        for (shard, name, id) in self.rows() {
            ledger.row(shard, NAMES[name], id);
        }
    }

    /// Tells the ledger; `homes_first` is one of the orders in which that may be done.
    fn tell(&self, homes_first: bool) -> Ledger {
        let mut ledger = ledger();
        if homes_first {
            self.house(&mut ledger);
        }
        self.expect(&mut ledger);
        if homes_first {
            self.bury(&mut ledger);
        }
        self.show(&mut ledger);
        if !homes_first {
            self.house(&mut ledger);
            self.bury(&mut ledger);
        }
        ledger
    }

    /// Lets a ledger with so many buckets survey everything, and look closer where it has to.
    fn survey(&self, buckets: usize, dead_before: bool) -> Ledger {
        let mut ledger = ledger();
        ledger.begin_survey(buckets);
        if dead_before {
            self.bury(&mut ledger);
        }
        let last = self.expect(&mut ledger);
        ledger.read_through(&last);
        self.house(&mut ledger);
        self.show(&mut ledger);
        self.bury(&mut ledger);
        if !ledger.is_proven() {
            if ledger.look_closer() {
                self.expect(&mut ledger);
            }
            self.show(&mut ledger);
            self.bury(&mut ledger);
        }
        ledger
    }
}

proptest! {
    #[test]
    fn the_ledger_finds_what_a_slow_and_simple_judge_finds_in_any_order(case in cases(), homes_first: bool) {
        let findings = case.tell(homes_first).close(usize::MAX);
        let mut found: Vec<_> =
            wrong(&findings).into_iter().map(|(kind, shard, id)| (kind, shard.to_owned(), id)).collect();
        found.sort();
        prop_assert_eq!(&found, &case.judge_slowly());
        prop_assert_eq!(findings.is_clean(), found.is_empty());
        let rows = findings.shards.iter().map(|shard| shard.rows).sum::<u64>();
        prop_assert_eq!(rows, case.rows().len() as u64);
        let totals = findings.homeless
            + findings.shards.iter().map(|s| s.missing + s.doubled + s.misplaced).sum::<u64>();
        prop_assert_eq!(totals, found.len() as u64);
    }

    #[test]
    fn a_survey_and_a_closer_look_find_what_looking_at_everything_finds(
        case in cases(), buckets in 1usize..20, dead_before: bool,
    ) {
        let (all, surveyed) = (case.tell(true).close(usize::MAX), case.survey(buckets, dead_before).close(usize::MAX));
        prop_assert_eq!(all, surveyed);
    }

    #[test]
    fn naming_fewer_changes_no_total(case in cases(), list in 0usize..3) {
        let (all, few) = (case.tell(true).close(usize::MAX), case.tell(true).close(list));
        prop_assert_eq!((all.shards, all.homeless, all.events), (few.shards, few.homeless, few.events));
        for kind in Kind::ALL {
            let count = |wrong: &[super::findings::Wrong]| wrong.iter().filter(|wrong| wrong.kind == kind).count();
            prop_assert_eq!(count(&few.wrong), count(&all.wrong).min(list));
        }
    }
}
