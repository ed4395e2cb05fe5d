use sluice_journal::repair::{AcceptedLoss, Gone};
use sluice_model::Partition;

use super::*;

fn at(n: u64) -> Position {
    Position::new(Position::before_first(Partition::new(2)).get() + n).unwrap()
}

fn seen(shard: &str, stored: u64) -> Seen {
    let (shard, stamp) = (shard.to_owned(), i64::try_from(stored).unwrap() * 10);
    Seen { shard, stored: at(stored), stamp, standing: Standing::Sound, cut: None, open: Vec::new() }
}

/// A loss as it would be accepted.
fn accepted(loss: &Loss) -> AcceptedLoss {
    let gone = |range: &LostRange| Gone { after: range.after, through: range.through, stamp: 1_000 };
    let gone = loss.ranges.iter().map(gone).collect();
    AcceptedLoss { gone, shards: loss.shards.clone(), at: 1, by: "somebody".to_owned() }
}

/// Each range and the shards that lack something of it, such as `45-50: a c`.
fn told(loss: Option<&Loss>) -> Vec<String> {
    let number = |position: Position| position.get() - at(0).get();
    let range = |range: &LostRange| {
        let shards: Vec<&str> = range.lacking.iter().map(|(shard, ..)| shard.as_str()).collect();
        format!("{}-{}: {}", number(range.after), number(range.through), shards.join(" "))
    };
    loss.into_iter().flat_map(|loss| &loss.ranges).map(range).collect()
}

/// What is lost of a partition whose first kept position is `first`.
fn lost(first: u64, holes: &[(u64, u64)], record: &RepairRecord, shards: &[Seen]) -> Option<Loss> {
    let holes: Vec<_> = holes.iter().map(|(after, through)| (at(*after), at(*through))).collect();
    let kept = Kept { first: at(first), least: at(first - 1), holes: &holes, record };
    Loss::of(kept, shards, &["away".to_owned()])
}

#[test]
fn what_was_purged_is_lost_for_the_shards_that_lack_it_and_for_no_others() {
    let shards = [seen("a", 45), seen("b", 50), seen("c", 47)];
    let none = RepairRecord::default();
    let loss = lost(51, &[], &none, &shards);
    assert_eq!(told(loss.as_ref()), ["45-50: a c"]);
    assert_eq!(loss.unwrap().shards["away"], None);
    assert_eq!(lost(46, &[], &none, &shards), None, "a stands just before what is left");
}

#[test]
fn what_was_accepted_is_lost_no_more_until_a_shard_goes_back_or_one_comes_back() {
    let shards = [seen("a", 45), seen("b", 50)];
    let first = lost(51, &[], &RepairRecord::default(), &shards).unwrap();
    let record = RepairRecord { accepted: vec![accepted(&first)], ..RepairRecord::default() };
    assert_eq!(lost(51, &[], &record, &shards), None);
    assert_eq!(lost(51, &[], &record, &[seen("later", 40), seen("a", 47)]).map(|_| ()), Some(()), "40 was not lost");
    let back = lost(51, &[], &record, &[seen("a", 45), seen("b", 48)]);
    assert_eq!(told(back.as_ref()), ["48-50: b"], "it had stored that");
    let woken = lost(51, &[], &record, &[seen("away", 46)]);
    assert_eq!(told(woken.as_ref()), ["46-50: away"]);
    let again = lost(61, &[], &record, &shards);
    assert_eq!(told(again.as_ref()), ["45-60: a b"], "more was purged since");
}

#[test]
fn a_hole_is_lost_for_all_who_have_not_passed_it_and_is_told_also_where_all_have() {
    let none = RepairRecord::default();
    let shards = [seen("a", 4), seen("b", 9), seen("new", 0)];
    let loss = lost(1, &[(5, 7)], &none, &shards);
    assert_eq!(told(loss.as_ref()), ["5-7: a new"]);
    let passed = lost(1, &[(5, 7)], &none, &[seen("b", 9)]);
    assert_eq!(told(passed.as_ref()), ["5-7: "], "a shard that is registered later would stop there");
    let record = RepairRecord { accepted: vec![accepted(&loss.unwrap())], ..RepairRecord::default() };
    assert_eq!(lost(1, &[(5, 7)], &record, &[seen("a", 4), seen("b", 9), seen("registered later", 0)]), None);
    let back = lost(1, &[(5, 7)], &record, &[seen("b", 4)]);
    assert_eq!(told(back.as_ref()), ["5-7: b"], "it had stored that");
    let wider = lost(1, &[(5, 8)], &record, &[seen("a", 4)]);
    assert_eq!(told(wider.as_ref()), ["5-8: a"], "one more is gone by now");
}

#[test]
fn a_shard_whose_last_message_is_gone_lacks_nothing_and_is_named_all_the_same() {
    let stands = Seen { standing: Standing::Gone, ..seen("a", 7) };
    let loss = lost(1, &[(5, 7)], &RepairRecord::default(), &[stands, seen("b", 9)]);
    assert_eq!(told(loss.as_ref()), ["5-7: a"]);
}

#[test]
fn a_shard_before_a_settled_floor_is_named_although_the_journal_has_what_it_lacks() {
    let none = RepairRecord::default();
    let kept = Kept { first: at(10), least: at(10), holes: &[], record: &none };
    let loss = Loss::of(kept, &[seen("a", 9), seen("b", 10)], &[]);
    assert_eq!(told(loss.as_ref()), ["9-9: a"]);
    let record = RepairRecord { accepted: vec![accepted(&loss.unwrap())], ..RepairRecord::default() };
    assert_eq!(Loss::of(Kept { record: &record, ..kept }, &[seen("a", 9), seen("b", 10)], &[]), None);
}

#[test]
fn a_shard_that_has_stored_what_the_journal_lost_at_its_end_is_left_to_the_repair() {
    let beyond = Seen { standing: Standing::Beyond { last: at(4) }, ..seen("a", 9) };
    assert_eq!(lost(1, &[], &RepairRecord::default(), &[beyond]), None);
}
