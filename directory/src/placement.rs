//! Where a customer goes. Decided here, without I/O; the store carries it out.

use std::collections::{BTreeMap, HashMap};

use sluice_model::{CustomerId, Partition, Position};

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

/// A shard that takes new customers, and how many it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Its name.
    pub shard: String,
    /// How many customers are placed on it.
    pub customers: u64,
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
    for Question { customer, at } in questions {
        let known = known.entry(customer.clone()).or_default();
        if known.routes.is_empty() {
            match policy {
                Policy::Auto => {
                    let target = least_loaded(open).ok_or_else(|| NoOpenShard { customer: customer.clone() })?;
                    target.customers += 1;
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

/// The shard with the fewest customers; of equals, the first by name.
fn least_loaded(open: &mut [Load]) -> Option<&mut Load> {
    open.iter_mut().min_by(|a, b| (a.customers, &a.shard).cmp(&(b.customers, &b.shard)))
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
        list.iter().map(|(shard, customers)| Load { shard: (*shard).into(), customers: *customers }).collect()
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
