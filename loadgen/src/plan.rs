//! Which events a run makes.

use serde::Serialize;
use sluice_model::{CustomerId, Person};

use crate::{bad::Bad, choice::Choice, people};

/// What a run is going to offer: parcels, numbered from 0 over all of its phases.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The customers, at least one.
    pub customers: Vec<CustomerId>,
    /// How one of them is chosen.
    pub choice: Choice,
    /// Events of each parcel but a phase's last; at least 1.
    pub per_parcel: u32,
    /// A parcel's lines are of several customers, and each says whose it is.
    pub mixed: bool,
    /// No bodies: ingest makes the persons.
    pub empty_body: bool,
    /// Every so many events one is malformed; 0: none.
    pub bad_every: u64,
    /// Every so many requests one asks to be told of the commit; 0: none.
    pub commit_every: u64,
    /// Every so many requests one is sent twice with the same key; 0: none.
    pub twice_every: u64,
    /// The same seed makes the same persons.
    pub seed: u64,
    /// What tells this run's keys from those of another run with the same seed.
    pub run: String,
}

/// What one request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// Its number.
    pub number: u64,
    /// Whose events they are; `None` where each line says so.
    pub customer: Option<&'a CustomerId>,
    /// Its events, in order.
    pub lines: Vec<Line>,
    /// The events, one JSON object a line; empty where ingest makes the person.
    pub payload: Vec<u8>,
    /// It asks to be told of the commit.
    pub wants_commit: bool,
    /// It is sent twice with this key.
    pub key: Option<String>,
}

/// One event of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The index of its customer in the plan.
    pub customer: usize,
    /// It can never become a row.
    pub bad: bool,
}

/// An event that says whose it is.
#[derive(Serialize)]
struct Owned<'a> {
    customer_id: &'a CustomerId,
    #[serde(flatten)]
    person: &'a Person<'a>,
}

impl Plan {
    /// The parcel of that number, with so many events.
    pub fn parcel(&self, number: u64, events: u32) -> Parcel<'_> {
        let owner = self.choice.of(number);
        let first = number.saturating_mul(self.per_parcel.into());
        let line = |event: u64| Line {
            customer: if self.mixed { self.choice.of(event) } else { owner },
            bad: is_turn(self.bad_every, event),
        };
        let lines: Vec<Line> = (first..first + u64::from(events)).map(line).collect();
        let has_good = lines.iter().any(|line| !line.bad);
        let has_bad = lines.iter().any(|line| line.bad);
        let twice = is_turn(self.twice_every, number) && !has_bad;
        Parcel {
            number,
            customer: (!self.mixed).then(|| &self.customers[owner]),
            payload: if self.empty_body { Vec::new() } else { self.payload(number, first, &lines) },
            lines,
            wants_commit: is_turn(self.commit_every, number) && has_good,
            key: twice.then(|| format!("loadgen-{}-{}-{number}", self.seed, self.run)),
        }
    }

    fn payload(&self, number: u64, first: u64, lines: &[Line]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (event, (line, person)) in (first..).zip(lines.iter().zip(people::people(self.seed, number))) {
            if event > first {
                payload.push(b'\n');
            }
            let customer = &self.customers[line.customer];
            let written = if line.bad {
                let bad = Bad::nth(event / self.bad_every.max(1));
                payload
                    .extend_from_slice(bad.event(self.seed, event, self.mixed.then_some(customer.as_str())).as_bytes());
                Ok(())
            } else if self.mixed {
                serde_json::to_writer(&mut payload, &Owned { customer_id: customer, person: &person })
            } else {
                serde_json::to_writer(&mut payload, &person)
            };
            written.expect("strings are written to memory without fail");
        }
        payload
    }
}

/// Whether it is the turn of that number (from 0) where every so many are meant; the first turn comes after a whole round.
fn is_turn(every: u64, number: u64) -> bool {
    every > 0 && number % every == every - 1
}

#[cfg(test)]
pub(crate) mod tests {
    use sluice_model::message;

    use super::*;

    /// Persons of customers 1 to so many, one each.
    pub(crate) fn plan(customers: usize) -> Plan {
        Plan {
            customers: (1..=customers).map(|n| n.to_string().parse().unwrap()).collect(),
            choice: Choice::new(customers, None, 1),
            per_parcel: 1,
            mixed: false,
            empty_body: false,
            bad_every: 0,
            commit_every: 0,
            twice_every: 0,
            seed: 1,
            run: "r".to_owned(),
        }
    }

    #[test]
    fn parcels_go_to_the_customers_in_turn_and_hold_persons_that_can_become_rows() {
        let plan = Plan { per_parcel: 5, ..plan(3) };
        for number in 0..7 {
            let parcel = plan.parcel(number, 5);
            assert_eq!(parcel.customer, Some(&plan.customers[(number % 3) as usize]));
            let people: Vec<_> = message::decode(&parcel.payload, parcel.customer.unwrap()).collect();
            assert!(people.len() == 5 && people.iter().all(Result::is_ok), "{people:?}");
        }
    }

    #[test]
    fn every_so_many_events_are_bad_and_all_others_are_good() {
        let plan = Plan { per_parcel: 10, bad_every: 3, ..plan(1) };
        for number in 0..20 {
            let parcel = plan.parcel(number, 10);
            let people = message::decode(&parcel.payload, parcel.customer.unwrap());
            let bad: Vec<bool> = people.map(|person| person.is_err()).collect();
            assert_eq!(bad, parcel.lines.iter().map(|line| line.bad).collect::<Vec<_>>());
        }
        let bad = (0..20).flat_map(|number| plan.parcel(number, 10).lines).filter(|line| line.bad).count();
        assert_eq!(bad, 66);
    }

    #[test]
    fn mixed_lines_say_each_whose_they_are() {
        let plan = Plan { per_parcel: 4, mixed: true, ..plan(3) };
        let parcel = plan.parcel(1, 4);
        assert_eq!(parcel.customer, None);
        for (line, json) in parcel.lines.iter().zip(parcel.payload.split(|byte| *byte == b'\n')) {
            assert!(Person::decode(json, &plan.customers[line.customer]).is_ok());
            assert!(json.starts_with(b"{\"customer_id\""));
        }
        assert_eq!(parcel.lines.iter().map(|line| line.customer).collect::<Vec<_>>(), [1, 2, 0, 1]);
    }

    #[test]
    fn every_so_many_requests_are_sent_twice_or_ask_for_the_commit_unless_they_are_bad() {
        let plan = Plan { commit_every: 2, twice_every: 3, bad_every: 12, ..plan(1) };
        let parcels: Vec<_> = (0..12).map(|number| plan.parcel(number, 1)).collect();
        let numbers = |of: fn(&Parcel<'_>) -> bool| {
            parcels.iter().filter(|parcel| of(parcel)).map(|parcel| parcel.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(|parcel| parcel.wants_commit), [1, 3, 5, 7, 9]);
        assert_eq!(numbers(|parcel| parcel.key.is_some()), [2, 5, 8]);
        assert_eq!(parcels[2].key.as_deref(), Some("loadgen-1-r-2"));
    }
}
