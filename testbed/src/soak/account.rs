//! The account at the end: each event against the rows that there are, column by column.

use serde::Serialize;
use sluice_shard::ShardAddress;

use super::{
    ledger::{Event, Fate, Inner, Kept, Ledger},
    person::{customer, number, person},
};
use crate::rows::{self, Person};

/// The account at the end. Bad events are those that can never become a row.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Account {
    /// Good events that were accepted.
    pub accepted: u64,
    /// Accepted events that the journal lost afterwards: one row each where their shard had stored
    /// them before, or none.
    pub lost: u64,
    /// Accepted events that were on their way while the journal lost its end, and may be lost with
    /// it: one row, or none.
    pub perhaps_lost: u64,
    /// Good events of unknown outcome.
    pub unknown: u64,
    /// Good events that were refused.
    pub refused: u64,
    /// Rows.
    pub rows: u64,
    /// Rows of events of unknown outcome.
    pub rows_of_unknown: u64,
    /// Rows of lost events, and of those that are perhaps lost.
    pub rows_of_lost: u64,
    /// Accepted events that were not lost and have no row.
    pub missing: u64,
    /// Rows more than one of an event.
    pub doubled: u64,
    /// Rows of events that were refused, or never sent.
    pub from_nowhere: u64,
    /// Rows whose customer, name or address is not what was sent.
    pub changed: u64,
    /// Bad events that were accepted and not lost.
    pub bad_accepted: u64,
    /// Bad events of unknown outcome, or lost.
    pub bad_unknown: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// The first events that are wrong, each with what is wrong.
    pub wrong: Vec<String>,
    #[serde(skip)]
    seen: Vec<u8>,
}

/// How many wrong events are named.
const NAMED: usize = 20;

impl Account {
    /// Whether all is as it should be.
    pub fn is_right(&self) -> bool {
        let dead = self.bad_accepted..=self.bad_accepted + self.bad_unknown;
        let kept = self.accepted - self.lost - self.perhaps_lost;
        (self.missing, self.doubled, self.from_nowhere, self.changed) == (0, 0, 0, 0)
            && dead.contains(&self.dead_letters)
            && self.rows == kept + self.rows_of_lost + self.rows_of_unknown
    }

    fn name(&mut self, wrong: impl FnOnce() -> String) {
        if self.wrong.len() < NAMED {
            self.wrong.push(wrong());
        }
    }

    /// A row that stands in a shard.
    fn row(&mut self, events: &[Event], row: Person<'_>) {
        self.rows += 1;
        let event = number(row.name).and_then(|number| Some((number, events.get(number)?)));
        let Some((number, event)) = event else {
            self.from_nowhere += 1;
            return self.name(|| format!("no event was sent for {row:?}"));
        };
        self.seen[number] = self.seen[number].saturating_add(1);
        let sent = person(number);
        if (row.name, row.address) != (&*sent.name, &*sent.address) || row.customer != customer(event.customer) {
            self.changed += 1;
            self.name(|| format!("event {number} of customer {} became {row:?}", event.customer));
        }
    }

    /// An event of which so many rows were seen.
    fn event(&mut self, ledger: &Inner, number: usize, event: &Event, rows: u8) {
        self.doubled += u64::from(rows.saturating_sub(1));
        if rows > 1 {
            self.name(|| format!("event {number} has {rows} rows: {event:?}"));
        }
        let has_row = u64::from(rows > 0);
        match event.fate {
            Fate::Accepted(position) => {
                self.accepted += 1;
                match ledger.kept(event, position) {
                    Kept::No => (self.lost, self.rows_of_lost) = (self.lost + 1, self.rows_of_lost + has_row),
                    Kept::Perhaps => {
                        self.perhaps_lost += 1;
                        self.rows_of_lost += has_row;
                    }
                    Kept::Yes if rows == 0 => {
                        self.missing += 1;
                        self.name(|| format!("event {number} has no row: {event:?}"));
                    }
                    Kept::Yes => {}
                }
            }
            // One that is still under way when the load has stopped was given up by its sender.
            Fate::Unknown | Fate::Sent => {
                self.unknown += 1;
                self.rows_of_unknown += has_row;
            }
            Fate::Refused => {
                self.refused += 1;
                self.from_nowhere += has_row;
                if rows > 0 {
                    self.name(|| format!("event {number} was refused and has a row: {event:?}"));
                }
            }
        }
    }

    fn bad(&mut self, ledger: &Inner, event: &Event) {
        match event.fate {
            Fate::Accepted(position) if ledger.kept(event, position) == Kept::Yes => self.bad_accepted += 1,
            Fate::Accepted(_) | Fate::Unknown | Fate::Sent => self.bad_unknown += 1,
            Fate::Refused => {}
        }
    }
}

impl Ledger {
    /// Accounts for every event, by every row of these shards.
    ///
    /// # Errors
    /// Where a database does not answer.
    pub async fn account(
        &self,
        shards: impl IntoIterator<Item = &ShardAddress>,
        dead_letters: u64,
    ) -> anyhow::Result<Account> {
        let events = self.lock().good.clone();
        let mut account = Account { dead_letters, seen: vec![0; events.len()], ..Account::default() };
        for shard in shards {
            rows::for_each(shard, |row| account.row(&events, row)).await?;
        }
        self.close(&mut account);
        Ok(account)
    }

    /// Once every row was seen.
    fn close(&self, account: &mut Account) {
        let ledger = self.lock();
        let seen = std::mem::take(&mut account.seen);
        for (number, (event, rows)) in ledger.good.iter().zip(seen).enumerate() {
            account.event(&ledger, number, event, rows);
        }
        ledger.bad.iter().for_each(|event| account.bad(&ledger, event));
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::{Partition, Position};

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(n).unwrap()
    }

    fn judge(ledger: &Ledger, numbers: &[usize], dead_letters: u64) -> Account {
        judge_rows(ledger, &numbers.iter().map(|n| ("c7".to_owned(), person(*n))).collect::<Vec<_>>(), dead_letters)
    }

    fn judge_rows(ledger: &Ledger, rows: &[(String, sluice_model::Person<'static>)], dead_letters: u64) -> Account {
        let events = ledger.lock().good.clone();
        let mut account = Account { dead_letters, seen: vec![0; events.len()], ..Account::default() };
        for (customer, person) in rows {
            account.row(&events, Person { customer, name: &person.name, address: &person.address });
        }
        ledger.close(&mut account);
        account
    }

    #[test]
    fn a_missing_a_doubled_a_changed_and_a_stray_row_are_each_found() {
        let ledger = Ledger::default();
        assert_eq!((ledger.send(true, 3, 7), ledger.send(true, 2, 7), ledger.send(false, 1, 7)), (0, 3, 0));
        ledger.note(true, 0, 3, Fate::Accepted(at(1)));
        ledger.note(true, 3, 1, Fate::Refused);
        ledger.note(false, 0, 1, Fate::Accepted(at(2)));
        // 4 is still under way: it may be there or not.
        assert!(judge(&ledger, &[0, 1, 2], 1).is_right() && judge(&ledger, &[2, 0, 4, 1], 1).is_right());
        assert_eq!(judge(&ledger, &[0, 2], 1).missing, 1);
        assert_eq!(judge(&ledger, &[0, 1, 1, 2], 1).doubled, 1);
        assert_eq!(judge(&ledger, &[0, 1, 2, 3], 1).from_nowhere, 1);
        assert_eq!(judge(&ledger, &[0, 1, 2, 5], 1).from_nowhere, 1);
        for wrong in [&[0, 2][..], &[0, 1, 1, 2], &[0, 1, 2, 3], &[0, 1, 2, 5]] {
            let account = judge(&ledger, wrong, 1);
            assert!(!account.is_right() && account.wrong.len() == 1, "{wrong:?}: {account:?}");
        }
        assert!(!judge(&ledger, &[0, 1, 2], 0).is_right() && !judge(&ledger, &[0, 1, 2], 2).is_right());
        let right = || [0, 1, 2].map(|n| ("c7".to_owned(), person(n)));
        assert!(judge_rows(&ledger, &right(), 1).is_right());
        let mut changed = [right(), right(), right()];
        changed[0][1].0 = "c8".into();
        changed[1][1].1.name.to_mut().push('!');
        changed[2][1].1.address.to_mut().push(' ');
        for rows in changed {
            let account = judge_rows(&ledger, &rows, 1);
            assert!(account.changed == 1 && !account.is_right(), "{account:?}");
        }
    }

    #[test]
    fn only_what_was_acknowledged_before_a_loss_that_took_its_position_may_be_missing() {
        let ledger = Ledger::default();
        let other = Position::first(Partition::new(1));
        for (n, position) in [at(5), at(6), other, at(7), at(8)].into_iter().enumerate() {
            assert_eq!(ledger.send(true, 1, 7), n);
            if n < 3 {
                ledger.note(true, n, 1, Fate::Accepted(position));
            }
        }
        ledger.journal_is_gone();
        // Events 3 and 4 were on their way; event 5 is sent since, and gets the position of event
        // 1.
        ledger.send(true, 1, 7);
        ledger.journal_loses_its_end();
        ledger.note(true, 3, 1, Fate::Accepted(at(7)));
        ledger.note(true, 4, 1, Fate::Accepted(at(5)));
        ledger.note(true, 5, 1, Fate::Accepted(at(6)));
        assert_eq!(judge(&ledger, &[0, 2, 4, 5], 0).missing, 2, "nothing counts as lost before it is known where");
        ledger.journal_kept([(Partition::new(0), at(5))].into());
        let account = judge(&ledger, &[0, 2, 4, 5], 0);
        assert!(account.is_right(), "{account:?}");
        assert_eq!((account.lost, account.perhaps_lost), (1, 1));
        assert!(judge(&ledger, &[0, 1, 2, 3, 4, 5], 0).is_right());
        for kept in [0, 2, 4, 5] {
            let others: Vec<_> = [0, 2, 4, 5].into_iter().filter(|n| *n != kept).collect();
            assert_eq!(judge(&ledger, &others, 0).missing, 1, "{kept}");
        }
        assert_eq!(judge(&ledger, &[0, 1, 1, 2, 4, 5], 0).doubled, 1);
    }
}
