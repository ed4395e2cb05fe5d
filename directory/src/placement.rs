//! Where a customer goes. Decided here, without I/O; the store carries it out.

use std::collections::{BTreeMap, HashMap};

use sluice_model::{CustomerId, Partition, Position};
use sluice_shard::Size;

use crate::api::{Route, RouteAnswer};

/// What becomes of a customer that nobody has placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// Goes to the least loaded open shard of the shared pool.
    Auto,
    /// Is refused: its events become dead letters until somebody places it.
    Strict,
}

/// "Where does this customer's event at this position belong?"; without a position: where would one go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Whose event.
    pub customer: CustomerId,
    /// At which position.
    pub at: Option<Position>,
}

/// A shard that takes new customers, and how much it has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Its name.
    pub shard: String,
    /// How much of the pool's load it is to take, as against the others; at least 1.
    pub weight: u32,
    /// How many customers are placed on it.
    pub customers: u64,
    /// What was there when it was last measured.
    pub size: Size,
    /// How many customers were placed there since then: what they will bring is not in `size` yet.
    pub newcomers: u64,
    /// Whether it answered when it was last asked.
    pub answers: bool,
}

/// A row counts for at least so many bytes: the statistics of some engines notice rows sooner than bytes, or the other way round.
const ROW_BYTES: u64 = 64;
/// Sizes that differ by less are equal: an empty database has some pages too, and statistics are not exact.
const GRAIN_BYTES: u64 = 1 << 20;

impl Load {
    /// What is there, in bytes.
    fn bytes(&self) -> u64 {
        self.size.bytes.max(self.size.rows.saturating_mul(ROW_BYTES))
    }

    /// By what shards are compared, the least first: one that answers; then by what is there for each unit of weight, where a
    /// newcomer counts for as much as the pool's average customer has; where that is about equal, by customers; then by name.
    fn rank(&self, average: u64) -> (bool, u64, u64, &str) {
        let weight = u64::from(self.weight.max(1));
        let bytes = self.bytes().saturating_add(self.newcomers.saturating_mul(average));
        (!self.answers, bytes / weight / GRAIN_BYTES, self.customers.saturating_mul(1_000) / weight, &self.shard)
    }
}

/// What the average customer of these shards has, in bytes.
fn average(open: &[Load]) -> u64 {
    let bytes = open.iter().map(|load| u128::from(load.bytes())).sum::<u128>();
    let customers = open.iter().map(|load| u128::from(load.customers.saturating_sub(load.newcomers))).sum::<u128>();
    bytes.checked_div(customers).map_or(0, |average| u64::try_from(average).unwrap_or(u64::MAX))
}

/// What is known of one customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its routes by position, the newest last.
    pub routes: Vec<Route>,
    /// Up to here it was refused.
    pub refused_through: Option<Position>,
}

impl Known {
    /// The answer that stands already; `None` where the customer is placed nowhere and policy has to say.
    fn standing(&self, at: Option<Position>) -> Option<RouteAnswer> {
        let newest = self.routes.last()?;
        let route = match at {
            None => Some(newest),
            Some(at) => self.routes.iter().rev().find(|route| route.from <= at),
        };
        // Before its first route the customer was unknown: what stood there was dead-lettered, and stays so.
        Some(route.map_or(RouteAnswer::Refused, |route| RouteAnswer::Placed(route.clone())))
    }

    /// The position that a first placement counts from: everything that was not refused.
    pub fn counts_from(&self) -> Position {
        self.refused_through.map_or(Position::before_first(Partition::new(0)), Position::next)
    }
}

/// What has to be stored before the answers may be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New first routes.
    pub placements: Vec<(CustomerId, Route)>,
    /// Customers refused further than was noted before.
    pub refusals: BTreeMap<CustomerId, Position>,
}

impl Changes {
    /// Whether nothing has to be stored.
    pub fn is_empty(&self) -> bool {
        self.placements.is_empty() && self.refusals.is_empty()
    }
}

/// A new customer came and no shard takes it. Not a refusal: the same question may be answered later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "customer {customer} is new, and no open shard of the shared pool can take it: register one (directory shard add) \
     or place the customer by hand (directory customer place {customer} SHARD)"
)]
pub struct NoOpenShard {
    /// Who has nowhere to go.
    pub customer: CustomerId,
}

/// Answers the questions in order, placing and refusing as it goes: a later question sees what an earlier one did.
///
/// `known` and `open` are what the store holds now; both are brought up to date.
///
/// # Errors
/// Where a new customer is to be placed and `open` is empty.
pub fn resolve(
    questions: &[Question],
    known: &mut HashMap<CustomerId, Known>,
    open: &mut [Load],
    policy: Policy,
) -> Result<(Vec<RouteAnswer>, Changes), NoOpenShard> {
    let mut changes = Changes::default();
    let mut answers = Vec::with_capacity(questions.len());
    let average = average(open);
    for Question { customer, at } in questions {
        let known = known.entry(customer.clone()).or_default();
        if known.routes.is_empty() {
            match policy {
                Policy::Auto => {
                    let target =
                        least_loaded(open, average).ok_or_else(|| NoOpenShard { customer: customer.clone() })?;
                    target.customers += 1;
                    target.newcomers += 1;
                    let route = Route { shard: target.shard.clone(), from: known.counts_from() };
                    known.routes.push(route.clone());
                    changes.placements.push((customer.clone(), route));
                }
                Policy::Strict => refuse(customer, *at, known, &mut changes),
            }
        }
        answers.push(known.standing(*at).unwrap_or(RouteAnswer::Refused));
    }
    Ok((answers, changes))
}

/// Notes how far the customer is refused. A question about now names no event: nothing was dead-lettered.
fn refuse(customer: &CustomerId, at: Option<Position>, known: &mut Known, changes: &mut Changes) {
    if at > known.refused_through {
        known.refused_through = at;
        changes.refusals.extend(at.map(|through| (customer.clone(), through)));
    }
}

fn least_loaded(open: &mut [Load], average: u64) -> Option<&mut Load> {
    open.iter_mut().min_by(|a, b| a.rank(average).cmp(&b.rank(average)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn customer(name: impl ToString) -> CustomerId {
        name.to_string().parse().unwrap()
    }

    fn at(position: u64) -> Option<Position> {
        Some(Position::new(position).unwrap())
    }

    fn ask(name: &str, position: u64) -> Question {
        Question { customer: customer(name), at: at(position) }
    }

    fn route(shard: &str, from: u64) -> Route {
        Route { shard: shard.into(), from: at(from).unwrap() }
    }

    fn loads(list: &[(&str, u64)]) -> Vec<Load> {
        list.iter().map(|(shard, customers)| load(shard, *customers)).collect()
    }

    /// A shard that was measured when it had these customers, and had nothing worth counting.
    fn load(shard: &str, customers: u64) -> Load {
        Load { shard: shard.into(), weight: 1, customers, size: Size::default(), newcomers: 0, answers: true }
    }

    /// Where so many new customers go, one after the other.
    fn placed(open: &mut [Load], customers: u32) -> String {
        let questions: Vec<_> = (0..customers).map(|n| ask(&format!("new{n}"), 9)).collect();
        let (_, changes) = resolve(&questions, &mut HashMap::new(), open, Policy::Auto).unwrap();
        changes.placements.iter().map(|(_, route)| route.shard.as_str()).collect()
    }

    #[test]
    fn what_is_there_counts_and_not_how_many_customers_it_is_of() {
        let size = |mib: u64, rows| Size { bytes: mib << 20, rows };
        let one_giant = Load { size: size(4_000, 40_000_000), ..load("a", 1) };
        let many_small = Load { size: size(100, 1_000_000), ..load("b", 9_000) };
        assert_eq!(placed(&mut [one_giant.clone(), many_small.clone()], 4), "bbbb");
        // Rows that the database's count of bytes does not show yet.
        let unnoticed = Load { size: size(0, 90_000_000), ..load("c", 1) };
        assert_eq!(placed(&mut [unnoticed, many_small.clone()], 2), "bb");
        // Four times the weight, so four times as much may be there.
        let large = Load { size: size(390, 0), weight: 4, ..load("d", 9_000) };
        assert_eq!(placed(&mut [large, many_small], 1), "d");
    }

    #[test]
    fn differences_below_a_mebibyte_are_none_and_customers_decide() {
        let full = Load { size: Size { bytes: 400_000, rows: 4_000 }, ..load("a", 3) };
        let empty = Load { size: Size { bytes: 16_384, rows: 0 }, ..load("b", 5) };
        assert_eq!(placed(&mut [full, empty], 5), "aaaba");
        // Twice the weight: twice the customers.
        assert_eq!(placed(&mut [Load { weight: 2, ..load("a", 0) }, load("b", 0)], 6), "abaaba");
    }

    #[test]
    fn between_two_measurings_newcomers_count_as_the_average_customer_does() {
        let size = |mib: u64| Size { bytes: mib << 20, rows: 0 };
        // Ten customers have 10 MiB each: the eleventh on `a` counts for as much.
        let mut open = [Load { size: size(40), ..load("a", 4) }, Load { size: size(60), ..load("b", 6) }];
        assert_eq!(placed(&mut open, 6), "aaabab");
        let mut crowded =
            [Load { size: size(0), newcomers: 50, ..load("a", 50) }, Load { size: size(90), ..load("b", 9) }];
        assert_eq!(placed(&mut crowded, 2), "bb");
    }

    #[test]
    fn a_shard_that_does_not_answer_gets_nobody_while_another_does() {
        let silent = || Load { answers: false, ..load("a", 0) };
        assert_eq!(placed(&mut [silent(), load("b", 7)], 2), "bb");
        assert_eq!(placed(&mut [silent()], 1), "a");
    }

    #[test]
    fn the_least_loaded_shard_takes_a_new_customer_and_names_break_ties() {
        let mut open = loads(&[("c", 1), ("b", 0), ("a", 1)]);
        let questions = ["1", "2", "3", "4"].map(|name| ask(name, 9));
        let (_, changes) = resolve(&questions, &mut HashMap::new(), &mut open, Policy::Auto).unwrap();
        let shards: Vec<_> = changes.placements.iter().map(|(_, route)| route.shard.as_str()).collect();
        assert_eq!(shards, ["b", "a", "b", "c"]);
    }

    #[test]
    fn a_question_is_answered_by_the_newest_route_that_is_not_after_it() {
        let routes = vec![route("a", 10), route("b", 20)];
        let mut known = HashMap::from([(customer("1"), Known { routes, refused_through: at(9) })]);
        let now = Question { customer: customer("1"), at: None };
        let questions = [ask("1", 9), ask("1", 10), ask("1", 19), ask("1", 20), ask("1", 99), now];
        let (answers, changes) = resolve(&questions, &mut known, &mut [], Policy::Strict).unwrap();
        let placed = |shard, from| RouteAnswer::Placed(route(shard, from));
        assert_eq!(
            answers,
            [RouteAnswer::Refused, placed("a", 10), placed("a", 10), placed("b", 20), placed("b", 20), placed("b", 20)]
        );
        assert!(changes.is_empty());
    }

    #[test]
    fn what_was_refused_stays_refused_when_the_customer_is_placed_later() {
        let mut known = HashMap::new();
        let strict = [ask("1", 7), ask("1", 5), Question { customer: customer("1"), at: None }];
        let (answers, changes) = resolve(&strict, &mut known, &mut [], Policy::Strict).unwrap();
        assert_eq!(answers, vec![RouteAnswer::Refused; 3]);
        assert_eq!(changes.refusals, BTreeMap::from([(customer("1"), at(7).unwrap())]));
        let (answers, _) =
            resolve(&[ask("1", 7), ask("1", 8)], &mut known, &mut loads(&[("a", 0)]), Policy::Auto).unwrap();
        assert_eq!(answers, [RouteAnswer::Refused, RouteAnswer::Placed(route("a", 8))]);
    }

    #[test]
    fn without_an_open_shard_a_new_customer_is_not_refused_but_has_to_wait() {
        let error = resolve(&[ask("1", 7)], &mut HashMap::new(), &mut [], Policy::Auto).unwrap_err();
        assert_eq!(error.customer, customer("1"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn one_batch_decides_as_its_questions_one_by_one_would(
            questions in prop::collection::vec((0u8..6, prop::option::of(0u64..30)), 0..40), strict: bool,
        ) {
            let policy = if strict { Policy::Strict } else { Policy::Auto };
            let questions: Vec<_> = questions.into_iter()
                .map(|(name, position)| Question { customer: customer(name), at: position.and_then(at) }).collect();
            let start = (HashMap::new(), loads(&[("a", 0), ("b", 2), ("c", 1)]));
            let (mut known, mut open) = start.clone();
            let (answers, changes) = resolve(&questions, &mut known, &mut open, policy).unwrap();
            let (mut known_by_one, mut open_by_one) = start;
            for (question, answer) in questions.iter().zip(&answers) {
                let one = std::slice::from_ref(question);
                let (alone, _) = resolve(one, &mut known_by_one, &mut open_by_one, policy).unwrap();
                prop_assert_eq!(&alone[0], answer);
            }
            prop_assert_eq!((&known, &open), (&known_by_one, &open_by_one));
            // Asked again, the answers are the same and nothing is left to store.
            let again = resolve(&questions, &mut known, &mut open, policy).unwrap();
            prop_assert_eq!(again.1, Changes::default());
            if !strict { prop_assert_eq!(again.0, answers); }
            prop_assert_eq!(changes.placements.len() as u64, open.iter().map(|load| load.customers).sum::<u64>() - 3);
        }
    }
}
