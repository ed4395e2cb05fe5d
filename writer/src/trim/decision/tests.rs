use proptest::prelude::*;

use super::*;

fn partition() -> Partition {
    Partition::new(3)
}

fn at(n: u64) -> Position {
    Position::new(Position::before_first(partition()).get() + n).unwrap()
}

/// A partition that holds the messages from `first` to `last`, each of ten bytes.
fn bounds(first: u64, last: u64, max_bytes: Option<u64>) -> Bounds {
    let messages = (last + 1).saturating_sub(first);
    Bounds { first: at(first), last: at(last), messages, bytes: messages * 10, max_bytes }
}

fn stored(n: u64) -> Positions {
    Positions::from([(partition(), Stored { position: at(n), stamp: 0 })])
}

#[derive(Debug, Clone)]
struct ShardCase {
    truth: u64,
    answers: bool,
    remembered: Option<u64>,
    registered: bool,
}

fn shard() -> impl Strategy<Value = ShardCase> {
    (0u64..60, any::<bool>(), prop::option::of(0u64..60), prop::bool::weighted(0.9))
        .prop_map(|(truth, answers, remembered, registered)| ShardCase { truth, answers, remembered, registered })
}

/// The reference: looks at each message by itself. It may go where every shard that there is, or was, is known to have passed it,
/// and it is neither young nor among the newest so many; and only together with all before it.
fn reference(shards: &[ShardCase], first: u64, last: u64, young: u64, newest: u64) -> u64 {
    let known: Vec<Option<u64>> = shards
        .iter()
        .filter(|shard| shard.registered || shard.remembered.is_some())
        .map(|shard| if shard.registered && shard.answers { Some(shard.truth) } else { shard.remembered })
        .collect();
    let sound = !known.is_empty() && known.iter().all(|stored| stored.is_some_and(|stored| stored <= last));
    let may_go = |n: u64| {
        let unwished = n < young && n + newest <= last;
        sound && unwished && known.iter().flatten().all(|stored| n < *stored)
    };
    (first..=last).take_while(|n| may_go(*n)).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn what_goes_is_what_a_look_at_each_message_would_let_go(
        shards in prop::collection::vec(shard(), 0..5),
        first in 1u64..40, length in 0u64..40, young in 1u64..80, newest in 0u64..40,
    ) {
        let last = first + length - u64::from(length == 0);
        let bounds = bounds(first, last, None);
        let name = |index: usize| format!("s{index}");
        let named = || shards.iter().enumerate();
        let registered = named().filter(|(_, shard)| shard.registered);
        let registered = registered.map(|(i, shard)| (name(i), shard.answers.then(|| stored(shard.truth)))).collect();
        let remembered = named().filter_map(|(i, shard)| Some((name(i), stored(shard.remembered?)))).collect();
        let known = known(&registered, &remembered);
        let wishes = [at(young), first_of_bytes(&bounds, newest * 10)];
        let floor = passed(partition(), &bounds, &known).ok().and_then(|passed| floor(&bounds, passed, wishes));
        let gone = floor.map_or(0, |floor| floor.get() - at(first).get());
        prop_assert_eq!(gone, reference(&shards, first, last, young, newest));
        // Whatever happens, the message at each stored position stays.
        for positions in known.values() {
            prop_assert!(floor.is_none_or(|floor| positions.get(&partition()).is_some_and(|stored| floor <= stored.position)));
        }
    }

    #[test]
    fn a_wish_in_bytes_keeps_at_least_as_much_where_messages_are_alike_and_not_a_message_more(
        first in 1u64..1000, length in 1u64..1000, retain in 0u64..20_000,
    ) {
        let bounds = bounds(first, first + length - 1, None);
        let kept = bounds.last.next().get() - first_of_bytes(&bounds, retain).get();
        prop_assert!(kept * 10 >= retain.min(bounds.bytes));
        prop_assert!(kept == 0 || (kept - 1) * 10 < retain);
    }
}

#[test]
fn a_shard_that_cannot_be_read_holds_the_floor_where_it_was_last_read_or_altogether() {
    let bounds = bounds(1, 50, None);
    let registered = BTreeMap::from([("a".to_owned(), Some(stored(40))), ("b".to_owned(), None)]);
    let remembered = BTreeMap::from([("a".to_owned(), stored(5)), ("b".to_owned(), stored(10))]);
    assert_eq!(passed(partition(), &bounds, &known(&registered, &remembered)), Ok(at(10)));
    let never = passed(partition(), &bounds, &known(&registered, &BTreeMap::new()));
    assert_eq!(never, Err(Held::NeverRead("b".to_owned())));
}

#[test]
fn a_shard_that_went_back_in_time_holds_the_floor_where_it_is_now() {
    let registered = BTreeMap::from([("a".to_owned(), Some(stored(7)))]);
    let remembered = BTreeMap::from([("a".to_owned(), stored(40))]);
    assert_eq!(passed(partition(), &bounds(1, 50, None), &known(&registered, &remembered)), Ok(at(7)));
}

#[test]
fn a_shard_that_the_directory_has_forgotten_and_one_beyond_the_journals_end_hold_the_floor() {
    let registered = BTreeMap::from([("a".to_owned(), Some(stored(40)))]);
    let remembered = BTreeMap::from([("gone".to_owned(), stored(3))]);
    assert_eq!(passed(partition(), &bounds(1, 50, None), &known(&registered, &remembered)), Ok(at(3)));
    let beyond = passed(partition(), &bounds(1, 39, None), &known(&registered, &BTreeMap::new()));
    assert_eq!(beyond, Err(Held::BeyondEnd { shard: "a".to_owned(), stored: at(40), last: at(39) }));
    assert_eq!(passed(partition(), &bounds(1, 50, None), &BTreeMap::new()), Err(Held::NoShard));
}

#[test]
fn a_journal_is_nearly_full_above_its_percentage_and_never_where_it_has_no_limit() {
    assert!(!is_nearly_full(&bounds(1, 8, Some(100)), 80));
    assert!(is_nearly_full(&bounds(1, 9, Some(100)), 80));
    assert!(!is_nearly_full(&bounds(1, 9, None), 80));
}

#[test]
fn where_nothing_stands_before_what_has_to_stay_there_is_no_floor() {
    let bounds = bounds(5, 9, None);
    assert_eq!(floor(&bounds, at(5), []), None);
    assert_eq!(floor(&bounds, at(6), [at(5)]), None);
    assert_eq!(floor(&bounds, at(6), []), Some(at(6)));
}
