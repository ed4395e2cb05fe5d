//! What became of each event, known by a number in its name.

use std::sync::Mutex;

use futures::TryStreamExt;
use serde::Serialize;
use sluice_shard::{Flavor, ShardAddress};
use sqlx::{ConnectOptions, Row};

use crate::rows::{mysql_options, postgres_options};

/// What is known of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is under way.
    Sent,
    /// It was accepted: there has to be a row.
    Accepted,
    /// Refused, and surely not stored: there must be no row.
    Refused,
    /// Nobody knows: one row, or none.
    Unknown,
}

/// Every event that was sent.
#[derive(Debug, Default)]
pub struct Ledger {
    good: Mutex<Vec<Fate>>,
    bad: Mutex<Vec<Fate>>,
}

/// The account at the end. Bad events are those that can never become a row.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Account {
    /// Good events that were accepted.
    pub accepted: u64,
    /// Good events of which nobody knows whether they were stored.
    pub unknown: u64,
    /// Good events that were refused.
    pub refused: u64,
    /// Rows.
    pub rows: u64,
    /// Rows that came of events of unknown outcome.
    pub rows_of_unknown: u64,
    /// Accepted events without a row.
    pub missing: u64,
    /// Rows more than one of an event.
    pub doubled: u64,
    /// Rows of events that were refused, or never sent.
    pub from_nowhere: u64,
    /// Bad events that were accepted.
    pub bad_accepted: u64,
    /// Bad events of which nobody knows.
    pub bad_unknown: u64,
    /// Dead letters.
    pub dead_letters: u64,
    #[serde(skip)]
    seen: Vec<u8>,
}

impl Account {
    /// Whether all is as it should be.
    pub fn is_right(&self) -> bool {
        let dead = self.bad_accepted..=self.bad_accepted + self.bad_unknown;
        (self.missing, self.doubled, self.from_nowhere) == (0, 0, 0)
            && dead.contains(&self.dead_letters)
            && self.rows == self.accepted + self.rows_of_unknown
    }
}

impl Ledger {
    /// Begins so many events, and gives the number of the first.
    pub fn send(&self, is_good: bool, count: usize) -> usize {
        let mut fates = self.fates(is_good).lock().expect("no holder of this lock panics");
        let first = fates.len();
        fates.resize(first + count, Fate::Sent);
        first
    }

    /// Notes what became of them.
    pub fn note(&self, is_good: bool, first: usize, count: usize, fate: Fate) {
        self.fates(is_good).lock().expect("no holder of this lock panics")[first..first + count].fill(fate);
    }

    /// How many good events were accepted so far, and of how many nobody knows.
    pub fn so_far(&self) -> (usize, usize) {
        let fates = self.good.lock().expect("no holder of this lock panics");
        let count = |fate| fates.iter().filter(|known| **known == fate).count();
        (count(Fate::Accepted), count(Fate::Unknown))
    }

    fn fates(&self, is_good: bool) -> &Mutex<Vec<Fate>> {
        if is_good { &self.good } else { &self.bad }
    }

    /// Begins the account; the rows come next.
    pub fn account(&self, dead_letters: u64) -> Account {
        let good = self.good.lock().expect("no holder of this lock panics");
        let bad = self.bad.lock().expect("no holder of this lock panics");
        let count = |fates: &[Fate], fate| fates.iter().filter(|known| **known == fate).count() as u64;
        // One that is still under way when the load has stopped was given up by its sender.
        let unknown = |fates: &[Fate]| count(fates, Fate::Unknown) + count(fates, Fate::Sent);
        Account {
            accepted: count(&good, Fate::Accepted),
            unknown: unknown(&good),
            refused: count(&good, Fate::Refused),
            bad_accepted: count(&bad, Fate::Accepted),
            bad_unknown: unknown(&bad),
            dead_letters,
            seen: vec![0; good.len()],
            ..Account::default()
        }
    }

    /// Reads the name of every row of a shard.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn look_into(&self, shard: &ShardAddress, account: &mut Account) -> anyhow::Result<()> {
        const QUERY: &str = "SELECT name FROM person";
        match shard.flavor {
            Flavor::Sqlite => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&shard.database);
                let mut connection = options.connect().await?;
                let mut rows = sqlx::query(QUERY).fetch(&mut connection);
                while let Some(row) = rows.try_next().await? {
                    account.row(row.try_get(0)?);
                }
            }
            Flavor::Mysql => {
                let mut connection = mysql_options(shard).connect().await?;
                let mut rows = sqlx::query(QUERY).fetch(&mut connection);
                while let Some(row) = rows.try_next().await? {
                    account.row(row.try_get_unchecked(0)?);
                }
            }
            Flavor::Postgres => {
                let mut connection = postgres_options(shard).connect().await?;
                let mut rows = sqlx::query(QUERY).fetch(&mut connection);
                while let Some(row) = rows.try_next().await? {
                    account.row(row.try_get(0)?);
                }
            }
        }
        Ok(())
    }

    /// Once every shard was looked into.
    pub fn close(&self, account: &mut Account) {
        let good = self.good.lock().expect("no holder of this lock panics");
        for (fate, seen) in good.iter().zip(std::mem::take(&mut account.seen)) {
            account.doubled += u64::from(seen.saturating_sub(1));
            match (fate, seen) {
                (Fate::Accepted, 0) => account.missing += 1,
                (Fate::Unknown | Fate::Sent, 1..) => account.rows_of_unknown += 1,
                (Fate::Refused, 1..) => account.from_nowhere += 1,
                _ => {}
            }
        }
    }
}

impl Account {
    /// A row of that name is there.
    fn row(&mut self, name: &str) {
        self.rows += 1;
        match name.strip_prefix('n').and_then(|n| n.parse().ok()).and_then(|n: usize| self.seen.get_mut(n)) {
            Some(seen) => *seen = seen.saturating_add(1),
            None => self.from_nowhere += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_a_doubled_and_a_stray_row_are_each_found() {
        let ledger = Ledger::default();
        assert_eq!((ledger.send(true, 3), ledger.send(true, 2), ledger.send(false, 1)), (0, 3, 0));
        ledger.note(true, 0, 3, Fate::Accepted);
        ledger.note(true, 3, 1, Fate::Refused);
        ledger.note(false, 0, 1, Fate::Accepted);
        let judge = |names: &[&str], dead_letters| {
            let mut account = ledger.account(dead_letters);
            names.iter().for_each(|name| account.row(name));
            ledger.close(&mut account);
            account
        };
        // 4 is still under way: it may be there or not.
        assert!(judge(&["n0", "n1", "n2"], 1).is_right() && judge(&["n2", "n0", "n4", "n1"], 1).is_right());
        assert_eq!(judge(&["n0", "n2"], 1).missing, 1);
        assert_eq!(judge(&["n0", "n1", "n1", "n2"], 1).doubled, 1);
        assert_eq!(judge(&["n0", "n1", "n2", "n3"], 1).from_nowhere, 1);
        assert_eq!(judge(&["n0", "n1", "n2", "n5"], 1).from_nowhere, 1);
        assert!(!judge(&["n0", "n1", "n2"], 0).is_right() && !judge(&["n0", "n1", "n2"], 2).is_right());
        for wrong in [&["n0", "n2"][..], &["n0", "n1", "n1", "n2"], &["n0", "n1", "n2", "n3"], &["n0", "n1", "n2", "x"]]
        {
            assert!(!judge(wrong, 1).is_right(), "{wrong:?}");
        }
    }
}
