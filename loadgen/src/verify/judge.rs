//! Closes a [`Ledger`]: says of each event and each row whether it is what it should be.
//!
//! An event has a row or a dead letter, one of the two and one only. Its row is the one at home under its customer; if
//! there is none, the first one elsewhere is that row, misplaced (and so not missing too). Every other row is doubled.

use sluice_model::EventId;

use super::{
    events::{Events, Marks},
    findings::{Findings, Kind, ShardFindings},
    ledger::{Ledger, Row, Standing},
    sight::Sight,
};

impl Ledger {
    /// Judges everything, and names at most `list` wrong ids of each kind.
    pub fn close(mut self, list: usize) -> Findings {
        // Rows that came before their event or its customer's home was known.
        let aside: Vec<Row> = std::mem::take(&mut self.aside);
        let strangers: Vec<Row> = aside.into_iter().filter(|row| !self.settle(*row)).collect();
        let mut findings = Findings::new(self.demanded(), self.standings(), list);
        for row in strangers {
            self.judge_stranger(row, &mut findings);
        }
        self.judge_events(&mut findings);
        findings.wrong.sort_by_key(|wrong| (wrong.kind, wrong.id));
        if let Sight::Closer(closer) = &self.sight {
            findings.not_examined = closer.left_out;
        }
        if let Some(selected) = self.selection.shard {
            findings.shards = vec![findings.shards.swap_remove(selected)];
        }
        findings
    }

    fn judge_stranger(&mut self, row: Row, findings: &mut Findings) {
        let (kind, detail) = match self.event(row.id) {
            None => (Kind::Doubled, "no event of the journal has this id".to_owned()),
            Some((partition, index)) => {
                let marks = self.partitions[partition].marks(index);
                let owner = self.partitions[partition].customer(index);
                if marks.any(Marks::DEAD.and(Marks::REFUSED)) {
                    (Kind::Doubled, dead_row(row.id, marks))
                } else if marks.any(Marks::ROW) {
                    (Kind::Doubled, format!("{}: its row stands at home, {}", place_of(row.id), self.belongs(owner)))
                } else if marks.any(Marks::ASTRAY) {
                    (Kind::Doubled, format!("{}: another misplaced row of the event stands too", place_of(row.id)))
                } else {
                    self.partitions[partition].mark(index, Marks::ASTRAY);
                    (Kind::Misplaced, format!("{}: it belongs to {}", place_of(row.id), self.belongs(owner)))
                }
            }
        };
        findings.note(kind, Some(row.shard as usize), || (self.name(row.customer), row.id, detail));
    }

    fn judge_events(&self, findings: &mut Findings) {
        for (id, customer, marks) in self.partitions.iter().flat_map(Events::iter) {
            if self.is_elsewhere(customer) {
                continue;
            }
            let home = self.home(customer);
            if marks.any(Marks::ROW) && marks.any(Marks::DEAD.and(Marks::REFUSED)) {
                findings.note(Kind::Doubled, home, || (self.name(customer), id, dead_row(id, marks)));
            }
            if marks.any(Marks::COPIED_TWICE) || (marks.any(Marks::COPIED) && marks.any(Marks::ROW)) {
                let detail = || format!("{}: a repair copied it once too often", place_of(id));
                findings.note(Kind::Doubled, home, || (self.name(customer), id, detail()));
            }
            if marks.any(Marks::DEAD.and(Marks::LATE).and(Marks::COPIED)) {
                continue;
            }
            if home.is_some_and(|home| self.is_lost(home, id)) {
                let detail =
                    || format!("{}: it was given again, its shard skips it, and no repair copied it", place_of(id));
                findings.note(Kind::Missing, home, || (self.name(customer), id, detail()));
                continue;
            }
            if marks.any(Marks::REFUSED) {
                let detail = || format!("{}: it cannot become a row, and has no dead letter", place_of(id));
                findings.note(Kind::NotDeadLettered, home, || (self.name(customer), id, detail()));
            } else if !marks.any(Marks::ROW.and(Marks::ASTRAY)) {
                let detail = || format!("{}: no shard has its row, and it has no dead letter", place_of(id));
                findings.note(Kind::Missing, home, || (self.name(customer), id, detail()));
            }
        }
    }

    fn demanded(&self) -> u64 {
        // A copy is demanded in place of what it is a copy of.
        let not_demanded = Marks::LATE.and(Marks::COPIED);
        let is_demanded =
            |(_, customer, marks): &(i64, u32, Marks)| !marks.any(not_demanded) && !self.is_elsewhere(*customer);
        let demanded = |events: &Events| events.iter().filter(is_demanded).count() as u64;
        let unseen = match &self.sight {
            Sight::All => 0,
            Sight::Survey(survey) => survey.events,
            Sight::Closer(closer) => closer.proven,
        };
        unseen + self.partitions.iter().map(demanded).sum::<u64>()
    }

    fn standings(&self) -> Vec<ShardFindings> {
        let findings = |standing: &Standing| ShardFindings {
            shard: standing.name.clone(),
            rows: standing.rows,
            customers: standing.customers.len() as u64,
            before_journal: standing.before_journal,
            before_repair: standing.before_repair,
            ..ShardFindings::default()
        };
        self.shards.iter().map(findings).collect()
    }

    fn belongs(&self, owner: u32) -> String {
        let home = self.home(owner).map(|home| &self.shards[home].name);
        match (self.name(owner), home) {
            (Some(customer), Some(home)) => format!("customer {customer} on {home}"),
            (Some(customer), None) => format!("customer {customer}, who has no route"),
            (None, _) => "nobody".to_owned(),
        }
    }
}

/// The place in the journal that an id was made from.
fn place_of(id: i64) -> String {
    EventId::try_from(id)
        .map_or_else(|_| "nowhere".to_owned(), |id| format!("{:?}, index {}", id.position(), id.index()))
}

fn dead_row(id: i64, marks: Marks) -> String {
    let why = if marks.any(Marks::DEAD) { "is dead-lettered" } else { "cannot become a row" };
    format!("{}: the event {why}, and has a row all the same", place_of(id))
}
