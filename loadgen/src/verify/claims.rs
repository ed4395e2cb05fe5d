//! The second check: rows against what runs of `loadgen run --account` say of them. It asks neither the journal nor the directory, so
//! it also finds what the journal lost.
//!
//! Of each customer there must be at least as many rows, over all shards, as events were accepted, and at most so many more as there
//! are events of which nobody knows; and nowhere may there be a row whose name begins as those of bad events do. The second half of
//! the first rule is sound only where the accounts cover all that the shards were ever sent: a fleet that was new before the first run.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use serde::Serialize;
use sluice_model::CustomerId;
use sluice_shard::StoredRow;

use crate::{
    account::{Account, Claim},
    bad,
};

/// What is claimed, and what was found: about 150 bytes a customer.
#[derive(Debug, Default)]
pub struct Claims {
    customers: BTreeMap<CustomerId, (Claim, u64)>,
    strangers: u64,
    bad: Vec<BadRow>,
    bad_rows: u64,
    list: usize,
}

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimsReport {
    /// Nothing is wrong.
    pub ok: bool,
    /// Customers that the accounts speak of.
    pub customers: u64,
    /// Rows of these, over all shards.
    pub rows: u64,
    /// Rows that have to be there.
    pub at_least: u64,
    /// Rows that may be there.
    pub at_most: u64,
    /// Rows of customers that the accounts do not speak of; nothing is said of these.
    pub others: u64,
    /// Customers that have too few rows, or too many.
    pub wrong_customers: u64,
    /// The first of them.
    pub wrong: Vec<WrongCount>,
    /// Rows of events that can never become one.
    pub bad_rows: u64,
    /// The first of them.
    pub bad: Vec<BadRow>,
}

/// A customer that has too few rows, or too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrongCount {
    /// The customer.
    pub customer: CustomerId,
    /// How many there are.
    pub rows: u64,
    /// How many there have to be.
    pub at_least: u64,
    /// How many there may be.
    pub at_most: u64,
}

/// A row of an event that can never become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Where it stands.
    pub shard: String,
    /// Whose it is.
    pub customer: String,
    /// Its id. A string: it has more than 53 bits.
    pub id: String,
    /// Its name, or the beginning of it.
    pub name: String,
}

impl Claims {
    /// Reads the accounts of one run, or of several that were made for the same fleet. At most `list` are named of each kind.
    ///
    /// # Errors
    /// Where a file is none; that of a run which did not end in order is empty.
    pub fn read(files: &[PathBuf], list: usize) -> anyhow::Result<Self> {
        let accounts = files.iter().map(|file| Account::read(file)).collect::<Result<Vec<_>, _>>();
        Ok(Self::new(accounts.context("--account")?, list))
    }

    /// What these accounts claim.
    pub fn new(accounts: impl IntoIterator<Item = Account>, list: usize) -> Self {
        let mut claims = Self { list, ..Self::default() };
        for (customer, claim) in accounts.into_iter().flat_map(|account| account.customers) {
            let (sum, _) = claims.customers.entry(customer).or_default();
            sum.must += claim.must;
            sum.perhaps += claim.perhaps;
            sum.must_not += claim.must_not;
        }
        claims
    }

    /// Notes a row.
    pub fn row(&mut self, shard: &str, row: &StoredRow) {
        match self.customers.get_mut(row.customer_id.as_str()) {
            Some((_, rows)) => *rows += 1,
            None => self.strangers += 1,
        }
        if row.name.starts_with(bad::PREFIX) {
            self.bad_rows += 1;
            if self.bad.len() < self.list {
                self.bad.push(BadRow {
                    shard: shard.to_owned(),
                    customer: row.customer_id.clone(),
                    id: row.id.to_string(),
                    name: row.name.chars().take(60).collect(),
                });
            }
        }
    }

    /// Judges them.
    pub fn close(self) -> ClaimsReport {
        let sum = |of: fn(&(Claim, u64)) -> u64| self.customers.values().map(of).sum::<u64>();
        let (rows, at_least) = (sum(|(_, rows)| *rows), sum(|(claim, _)| claim.must));
        let at_most = at_least + sum(|(claim, _)| claim.perhaps);
        let is_wrong = |(claim, rows): &(Claim, u64)| *rows < claim.must || *rows > claim.must + claim.perhaps;
        let wrong = || self.customers.iter().filter(|(_, found)| is_wrong(found));
        let wrong_customers = wrong().count() as u64;
        let name = |(customer, (claim, rows)): (&CustomerId, &(Claim, u64))| WrongCount {
            customer: customer.clone(),
            rows: *rows,
            at_least: claim.must,
            at_most: claim.must + claim.perhaps,
        };
        ClaimsReport {
            ok: wrong_customers == 0 && self.bad_rows == 0,
            customers: self.customers.len() as u64,
            rows,
            at_least,
            at_most,
            others: self.strangers,
            wrong_customers,
            wrong: wrong().take(self.list).map(name).collect(),
            bad_rows: self.bad_rows,
            bad: self.bad,
        }
    }
}

impl ClaimsReport {
    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "by the account {} to {} rows of {} customers, there are {}; {} rows of others",
            self.at_least, self.at_most, self.customers, self.rows, self.others
        )];
        lines.extend(self.wrong.iter().map(|wrong| {
            let WrongCount { customer, rows, at_least, at_most } = wrong;
            format!("account: customer {customer} has {rows} rows, and should have {at_least} to {at_most}")
        }));
        lines.extend(self.bad.iter().map(|bad| {
            let BadRow { shard, customer, id, name } = bad;
            format!("account: shard {shard}, customer {customer}, id {id}: {name:?} is a row, and never may be")
        }));
        let named = self.wrong.len() as u64 + self.bad.len() as u64;
        let more = self.wrong_customers + self.bad_rows - named;
        if more > 0 {
            lines.push(format!("account: and {more} more"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::EventId;

    use super::*;

    fn account(claims: &[(&str, u64, u64)]) -> Account {
        let claim = |(customer, must, perhaps): &(&str, u64, u64)| {
            (customer.parse().unwrap(), Claim { must: *must, perhaps: *perhaps, must_not: 1 })
        };
        Account { seed: 1, customers: claims.iter().map(claim).collect() }
    }

    fn found(claims: &mut Claims, customer: &str, names: &[&str]) {
        for (id, name) in (1_024i64..).zip(names) {
            let id = EventId::try_from(id).unwrap();
            let row =
                StoredRow { customer_id: customer.to_owned(), id, name: (*name).to_owned(), address: String::new() };
            claims.row("s1", &row);
        }
    }

    #[test]
    fn rows_that_are_accepted_have_to_be_there_and_those_in_doubt_may_be() {
        for (rows, ok) in [(1, false), (2, true), (3, true), (4, false)] {
            // Two runs for the same customer.
            let mut claims = Claims::new([account(&[("a", 1, 0)]), account(&[("a", 1, 1)])], 20);
            found(&mut claims, "a", &vec!["Ada"; rows]);
            found(&mut claims, "somebody", &["Bob"]);
            let report = claims.close();
            assert_eq!((report.ok, report.rows, report.at_least, report.at_most), (ok, rows as u64, 2, 3));
            assert_eq!((report.others, report.wrong_customers), (1, u64::from(!ok)));
            assert_eq!(report.lines().len(), if ok { 1 } else { 2 });
        }
    }

    #[test]
    fn a_row_of_a_bad_event_is_wrong_wherever_it_stands_and_all_are_counted_where_not_all_are_named() {
        let mut claims = Claims::new([account(&[("a", 2, 0)])], 1);
        found(&mut claims, "a", &["bad-1-7", "Ada"]);
        found(&mut claims, "b", &["bad-1-8", "badly"]);
        let report = claims.close();
        assert_eq!((report.ok, report.bad_rows, report.bad.len(), report.wrong_customers), (false, 2, 1, 0));
        let text = report.lines().join("\n");
        assert!(text.contains("bad-1-7") && text.contains("and 1 more"), "{text}");
    }
}
