//! How the check is told: a table for people, or one JSON object for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sluice_service::output;

use super::{
    claims::ClaimsReport,
    drain::{Behind, Outcome},
    findings::{Findings, ShardFindings, Wrong},
    losses::{Lacking, Loss},
};

/// What the check found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Drained, and nothing is wrong.
    pub ok: bool,
    /// Every shard had stored what the journal held when the check began.
    pub drained: bool,
    /// Events that the journal held then.
    pub events: u64,
    /// All dead letters.
    pub dead_letters: u64,
    /// One for each shard.
    pub shards: Vec<ShardFindings>,
    /// Missing events that are no shard's: nobody placed their customer, or they have none.
    pub homeless: u64,
    /// Events and rows among which something is wrong, and which are too many to be looked at one by one. Not there if there are none.
    #[serde(skip_serializing_if = "is_none")]
    pub not_examined: u64,
    /// The wrong ids, so many of each kind.
    pub wrong: Vec<Wrong>,
    /// The shards that had not stored everything in time.
    pub behind: Vec<Behind>,
    /// What the journal no longer has, and somebody has accepted as lost. Not there if there is
    /// nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// What shards lack, and the journal no longer has, and nobody has accepted. Not there if there
    /// is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<Lacking>,
    /// What was found of the runs' own accounts. Not there if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<ClaimsReport>,
    #[serde(skip)]
    outcome: Outcome,
    #[serde(skip)]
    list: usize,
}

impl Report {
    /// Puts together what the ledger and the wait for it have to say.
    pub fn new(findings: Findings, outcome: Outcome, dead_letters: u64) -> Self {
        Self {
            ok: outcome.is_drained() && findings.is_clean(),
            drained: outcome.is_drained(),
            events: findings.events,
            dead_letters,
            homeless: findings.homeless,
            not_examined: findings.not_examined,
            shards: findings.shards,
            wrong: findings.wrong,
            behind: outcome.behind.clone(),
            losses: Vec::new(),
            lacking: Vec::new(),
            account: None,
            outcome,
            list: findings.list,
        }
    }

    /// Adds what shards lack and the journal no longer has.
    pub fn judge_by_lacking(&mut self, lacking: Vec<Lacking>) {
        self.ok &= lacking.is_empty();
        self.lacking = lacking;
    }

    /// Adds what was found of the runs' own accounts.
    pub fn judge_by(&mut self, account: ClaimsReport) {
        self.ok &= account.ok;
        self.account = Some(account);
    }

    /// Prints it on standard output.
    ///
    /// # Errors
    /// Where it cannot be made JSON.
    pub fn tell(&self, json: bool) -> anyhow::Result<()> {
        if json {
            output::line(serde_json::to_string(self)?)?;
        } else {
            output::line(self.text())?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut lines = vec![self.table()];
        lines.push(format!("{} events in the journal, {} dead letters", self.events, self.dead_letters));
        let before_repair: u64 = self.shards.iter().map(|shard| shard.before_repair).sum();
        if before_repair > 0 {
            lines.push(format!(
                "{before_repair} rows are from before a repair, or of what was accepted as lost: the journal lost their events, so \
                 nothing can be said of them"
            ));
        }
        lines.extend(self.losses.iter().map(|loss| loss.line().to_owned()));
        lines.extend(self.lacking.iter().map(Lacking::line));
        if self.homeless > 0 {
            lines.push(format!("{} events have neither a shard nor a dead letter", self.homeless));
        }
        lines.extend(self.wrong.iter().map(line));
        let (total, named) = (self.wrong_total(), self.wrong.len() as u64);
        if total > named {
            lines.push(format!("and {} more (--list names more than {} of a kind)", total - named, self.list));
        }
        if self.not_examined > 0 {
            lines.push(format!(
                "and something is wrong among {} more events and rows, too many to look at one by one: mend what is named and \
                 verify again, or verify one shard (--shard) or customer (--customer)",
                self.not_examined
            ));
        }
        if !self.drained {
            lines.push(format!("NOT DRAINED in time: {}", self.outcome));
        }
        lines.extend(self.account.iter().flat_map(ClaimsReport::lines));
        lines.push(if self.ok { "all is where it belongs, once" } else { "NOT all is where it belongs" }.to_owned());
        lines.join("\n")
    }

    fn wrong_total(&self) -> u64 {
        self.homeless + self.shards.iter().map(|shard| shard.missing + shard.doubled + shard.misplaced).sum::<u64>()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(vec![
            "shard",
            "rows",
            "customers",
            "missing",
            "doubled",
            "misplaced",
            "before journal",
            "before repair",
        ]);
        for shard in &self.shards {
            let counts = [
                shard.rows,
                shard.customers,
                shard.missing,
                shard.doubled,
                shard.misplaced,
                shard.before_journal,
                shard.before_repair,
            ];
            table.add_row(std::iter::once(shard.shard.clone()).chain(counts.iter().map(ToString::to_string)));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

fn line(wrong: &Wrong) -> String {
    let shard = wrong.shard.as_deref().unwrap_or("-");
    let customer = wrong.customer.as_deref().unwrap_or("-");
    format!("{}: shard {shard}, customer {customer}, id {}: {}", wrong.kind.code(), wrong.id, wrong.detail)
}

#[cfg(test)]
mod tests {
    use sluice_model::{PartitionCount, Position};

    use super::*;
    use crate::{
        account::{Account, Claim},
        verify::{claims::Claims, ledger::Ledger},
    };

    /// One event of customer 1 for each of `rows`: whether its row is there.
    fn report(rows: &[bool], list: usize) -> Report {
        let partitions = PartitionCount::try_from(1).unwrap();
        let mut ledger = Ledger::new(partitions, vec!["s1".to_owned()]);
        let customer = "1".parse().unwrap();
        ledger.house(&customer, 0);
        for (n, there) in rows.iter().enumerate() {
            let at = Position::new(1 + n as u64).unwrap();
            ledger.expect(at, Some(&customer), [true]);
            if *there {
                ledger.row(0, "1", at.event(0).get());
            }
        }
        Report::new(ledger.close(list), Outcome::default(), 0)
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        let json = serde_json::to_value(report(&[true, false], 20)).unwrap();
        assert_eq!((&json["ok"], &json["drained"]), (&false.into(), &true.into()));
        assert_eq!((&json["events"], &json["dead_letters"]), (&2.into(), &0.into()));
        let shard = serde_json::json!({ "shard": "s1", "rows": 1, "customers": 1, "missing": 1, "doubled": 0,
            "misplaced": 0, "before_journal": 0, "before_repair": 0 });
        assert_eq!(json["shards"], serde_json::json!([shard]));
        let wrong = &json["wrong"][0];
        assert_eq!((&wrong["kind"], &wrong["shard"]), (&"missing".into(), &"s1".into()));
        assert_eq!((&wrong["customer"], &wrong["id"]), (&"1".into(), &"2048".into()));
        assert!(wrong["detail"].as_str().unwrap().contains("0/2, index 0"));
    }

    #[test]
    fn totals_are_right_also_where_not_every_id_is_named() {
        let report = report(&[false; 30], 5);
        assert_eq!((report.wrong.len(), report.shards[0].missing), (5, 30));
        let text = report.text();
        assert!(text.contains("and 25 more"), "{text}");
        assert!(text.contains("missing: shard s1, customer 1, id 1024: "), "{text}");
    }

    #[test]
    fn an_account_that_is_not_met_spoils_what_is_well_otherwise() {
        let mut met = report(&[true], 20);
        assert!(serde_json::to_value(&met).unwrap().get("account").is_none());
        met.judge_by(Claims::new([], 20).close());
        assert!(met.ok);
        let claim = Claim { must: 2, perhaps: 0, must_not: 0 };
        let account = Account { seed: 1, customers: [("1".parse().unwrap(), claim)].into() };
        met.judge_by(Claims::new([account], 20).close());
        assert!(!met.ok && met.text().contains("customer 1 has 0 rows"), "{}", met.text());
        assert_eq!(serde_json::to_value(&met).unwrap()["account"]["wrong"][0]["at_least"], 2);
    }

    #[test]
    fn what_is_too_much_to_be_looked_at_is_told_and_is_not_well() {
        let mut findings = Findings::default();
        findings.not_examined = 7;
        let report = Report::new(findings, Outcome::default(), 0);
        assert!(!report.ok && report.text().contains("among 7 more"), "{}", report.text());
        assert_eq!(serde_json::to_value(&report).unwrap()["not_examined"], 7);
        assert!(serde_json::to_value(self::report(&[true], 20)).unwrap().get("not_examined").is_none());
    }

    #[test]
    fn all_is_well_only_if_it_is_also_drained() {
        assert!(report(&[true], 20).ok);
        let findings = Findings::default();
        let late = Report::new(findings, Outcome { unaccounted: 1, ..Outcome::default() }, 0);
        assert!(!late.ok && late.text().contains("NOT DRAINED"));
    }
}
