//! What a run knows must, and must not, have become a row: three counts for each customer, whatever the number of events.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sluice_model::CustomerId;

use crate::{
    outcome::{Answer, Fate, Rows},
    plan::Line,
};

/// The file as it stands: what a run says of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The run's seed: the names of its bad events begin with `bad-<seed>-`.
    pub seed: u64,
    /// Each customer that the run offered anything for.
    pub customers: BTreeMap<CustomerId, Claim>,
}

/// What has to be found of a customer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Rows that must exist: events that were accepted.
    pub must: u64,
    /// Rows that may exist besides: events of which nobody knows whether they are stored.
    pub perhaps: u64,
    /// Rows that must not exist: bad events.
    pub must_not: u64,
}

/// An account that is being kept, and where it is to be written: 24 bytes a customer.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    claims: Vec<[AtomicU64; 3]>,
}

impl Account {
    /// Reads a run's account.
    ///
    /// # Errors
    /// Where the file is none; that of a run which did not end in order is empty.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("read the account {}", path.display());
        let file = File::open(path).with_context(context)?;
        serde_json::from_reader(BufReader::new(file)).with_context(context)
    }
}

impl Book {
    /// Begins an account for so many customers. The file is made at once, and stays empty until the end.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn open(path: &Path, customers: usize) -> anyhow::Result<Self> {
        File::create(path).with_context(|| format!("make the account {}", path.display()))?;
        Ok(Self { path: path.to_owned(), claims: (0..customers).map(|_| Default::default()).collect() })
    }

    /// Notes what came of a request.
    pub fn note(&self, lines: &[Line], answer: &Answer) {
        for (line, fate) in lines.iter().zip(&answer.fates) {
            let rows = match fate {
                Fate::Accepted => Rows::One,
                Fate::Rejected | Fate::BadPublished => Rows::None,
                Fate::Failed(failure) => failure.rows,
            };
            let (must, perhaps) = match rows {
                Rows::None => (0, 0),
                Rows::Perhaps => (0, 1),
                Rows::One => (1, 0),
                Rows::OneOrTwo => (1, 1),
            };
            let claim = &self.claims[line.customer];
            // A bad event may have no row whatever came of its request.
            for (count, more) in claim.iter().zip(if line.bad { [0, 0, 1] } else { [must, perhaps, 0] }) {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// What stands in it.
    pub fn account(&self, seed: u64, customers: &[CustomerId]) -> Account {
        let mut account = Account { seed, customers: BTreeMap::new() };
        for (customer, counts) in customers.iter().zip(&self.claims) {
            let [must, perhaps, must_not] = [0, 1, 2].map(|index: usize| counts[index].load(Ordering::Relaxed));
            if must + perhaps + must_not > 0 {
                // The same customer may be named twice.
                let claim = account.customers.entry(customer.clone()).or_default();
                claim.must += must;
                claim.perhaps += perhaps;
                claim.must_not += must_not;
            }
        }
        account
    }

    /// Writes it.
    ///
    /// # Errors
    /// Where that fails.
    pub fn close(&self, seed: u64, customers: &[CustomerId]) -> anyhow::Result<()> {
        let context = || format!("write the account {}", self.path.display());
        let mut file = BufWriter::new(File::create(&self.path).with_context(context)?);
        serde_json::to_writer(&mut file, &self.account(seed, customers)).with_context(context)?;
        file.flush().with_context(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    #[test]
    fn what_must_what_may_and_what_must_not_exist_is_counted_by_customer_and_read_back() {
        let path = std::env::temp_dir().join(format!("loadgen-account-{}.json", std::process::id()));
        let book = Book::open(&path, 2).unwrap();
        assert!(Account::read(&path).is_err(), "an account that nobody closed is none");
        let line = |customer, bad| Line { customer, bad };
        let unknown = || Answer::failed(1, Failure::new("timeout", "", Rows::Perhaps));
        book.note(&[line(0, false), line(1, true)], &Answer::now(vec![Fate::Accepted, Fate::Rejected]));
        book.note(&[line(0, false)], &unknown());
        book.note(&[line(0, true)], &unknown());
        book.note(&[line(0, false)], &Answer::failed(1, Failure::new("503", "", Rows::None)));
        book.note(&[line(0, false)], &Answer::failed(1, Failure::new("replay_differs", "", Rows::OneOrTwo)));
        book.close(7, &["a".parse().unwrap(), "b".parse().unwrap()]).unwrap();
        let account = Account::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let claim = |customer: &str| account.customers[&customer.parse::<CustomerId>().unwrap()];
        assert_eq!(account.seed, 7);
        assert_eq!(claim("a"), Claim { must: 2, perhaps: 2, must_not: 1 });
        assert_eq!(claim("b"), Claim { must: 0, perhaps: 0, must_not: 1 });
    }
}
