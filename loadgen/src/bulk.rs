//! The answer to a request of many lines: which were accepted, and what is wrong with the others.
//!
//! 202 says that at least one line was accepted and none failed, 422 that none was accepted; any other status that the request
//! ended early, as with 503 or 504 where some line could not be stored. The body is the same in all cases: how many lines were looked
//! at (no further one is stored), the three counts, and an entry for each line that was not accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use reqwest::StatusCode;
use serde::Deserialize;

use crate::{
    outcome::{Failure, Fate, Rows},
    plan::Line,
};

/// The body.
#[derive(Debug, Deserialize)]
pub struct BulkAnswer {
    /// Lines that were looked at; all where nothing is said.
    lines: Option<usize>,
    accepted: u64,
    rejected: u64,
    failed: u64,
    errors: Vec<LineError>,
    #[serde(skip)]
    status: u16,
}

#[derive(Debug, Deserialize)]
struct LineError {
    line: usize,
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    retry_safe: bool,
}

/// Reads such an answer; `None` where it is none, as that of a proxy, or of a request that was refused as a whole.
pub fn read(status: StatusCode, body: &[u8]) -> Option<BulkAnswer> {
    let answer = serde_json::from_slice::<BulkAnswer>(body).ok()?;
    Some(BulkAnswer { status: status.as_u16(), ..answer })
}

/// A bad event was taken for a good one.
pub fn bad_was_accepted() -> Failure {
    Failure::new("bad_was_accepted", "an event that can never become a row was accepted", Rows::Perhaps)
}

impl BulkAnswer {
    /// The fate of each line.
    pub fn fates(&self, lines: &[Line]) -> Vec<Fate> {
        if let Some(unclear) = self.unclear(lines.len()) {
            return vec![Fate::Failed(Arc::new(Failure::new("unclear_answer", unclear, Rows::Perhaps))); lines.len()];
        }
        let looked_at = self.lines.unwrap_or(lines.len());
        let errors: BTreeMap<usize, &LineError> = self.errors.iter().map(|error| (error.line, error)).collect();
        let fate = |(number, line): (usize, &Line)| match (line.bad, errors.get(&number)) {
            _ if number > looked_at => {
                let detail = format!("the request ended with {} after {looked_at} lines", self.status);
                Fate::Failed(Arc::new(Failure::new("not_looked_at", detail, Rows::None)))
            }
            (false, None) => Fate::Accepted,
            (true, Some(_)) => Fate::Rejected,
            (true, None) => Fate::Failed(Arc::new(bad_was_accepted())),
            (false, Some(error)) => {
                let rows = if error.retry_safe { Rows::None } else { Rows::Perhaps };
                Fate::Failed(Arc::new(Failure::new(error.code.clone(), error.detail.clone(), rows)))
            }
        };
        (1..).zip(lines).map(fate).collect()
    }

    /// Why the answer does not say of each line what became of it.
    fn unclear(&self, lines: usize) -> Option<String> {
        let named: BTreeSet<usize> = self.errors.iter().map(|error| error.line).collect();
        let looked_at = self.lines.unwrap_or(lines);
        let in_range = looked_at <= lines && named.iter().all(|line| (1..=looked_at).contains(line));
        let counted = self.rejected.checked_add(self.failed) == Some(self.errors.len() as u64)
            && self.accepted.checked_add(self.errors.len() as u64) == Some(looked_at as u64);
        let status_fits = match self.status {
            202 => self.accepted > 0 && self.failed == 0 && looked_at == lines,
            422 => self.accepted == 0,
            status => status >= 400,
        };
        let clear = in_range && counted && status_fits && named.len() == self.errors.len();
        (!clear).then(|| {
            format!(
                "status {} for {lines} lines: {} accepted, {} rejected, {} failed, {} lines named",
                self.status,
                self.accepted,
                self.rejected,
                self.failed,
                named.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(status: u16, body: &str, bad: &[bool]) -> Vec<Fate> {
        let lines: Vec<_> = bad.iter().map(|bad| Line { customer: 0, bad: *bad }).collect();
        read(StatusCode::from_u16(status).unwrap(), body.as_bytes()).unwrap().fates(&lines)
    }

    fn cause(fate: &Fate) -> (&str, Rows) {
        let Fate::Failed(failure) = fate else { panic!("{fate:?} is no failure") };
        (&failure.cause, failure.rows)
    }

    #[test]
    fn a_line_that_is_not_named_is_accepted_and_a_bad_one_has_to_be_named() {
        let body = r#"{"accepted":2,"rejected":1,"failed":0,
            "errors":[{"line":2,"code":"too_long","detail":"d","pointer":"/name","retry_safe":false}]}"#;
        assert_eq!(fates(202, body, &[false, true, false]), [Fate::Accepted, Fate::Rejected, Fate::Accepted]);
        let wrong = fates(202, body, &[true, false, false]);
        assert_eq!(cause(&wrong[0]), ("bad_was_accepted", Rows::Perhaps));
        assert_eq!(cause(&wrong[1]), ("too_long", Rows::Perhaps));
    }

    #[test]
    fn a_line_that_could_not_be_stored_is_in_doubt_unless_it_may_be_sent_again() {
        let body = r#"{"accepted":1,"rejected":0,"failed":2,"errors":[
            {"line":1,"code":"journal_full","detail":"","retry_safe":true},
            {"line":3,"code":"outcome_unknown","detail":"","retry_safe":false}]}"#;
        let fates = fates(504, body, &[false; 3]);
        assert_eq!(cause(&fates[0]), ("journal_full", Rows::None));
        assert_eq!(fates[1], Fate::Accepted);
        assert_eq!(cause(&fates[2]), ("outcome_unknown", Rows::Perhaps));
    }

    #[test]
    fn lines_behind_the_end_of_a_request_that_ended_early_are_not_stored() {
        let body = r#"{"status":503,"code":"journal_full","lines":2,"accepted":1,"rejected":0,"failed":1,
            "errors":[{"line":2,"code":"journal_full","detail":"","retry_safe":true}],"errors_omitted":0}"#;
        let fates = fates(503, body, &[false, false, false, true]);
        assert_eq!(fates[0], Fate::Accepted);
        assert_eq!(cause(&fates[1]), ("journal_full", Rows::None));
        assert_eq!(cause(&fates[2]), ("not_looked_at", Rows::None));
        assert_eq!(cause(&fates[3]), ("not_looked_at", Rows::None));
    }

    #[test]
    fn an_answer_that_contradicts_itself_leaves_every_line_in_doubt() {
        let nothing = r#"{"accepted":0,"rejected":0,"failed":0,"errors":[]}"#;
        let one = r#"{"accepted":1,"rejected":0,"failed":0,"errors":[]}"#;
        let beyond = r#"{"accepted":0,"rejected":1,"failed":0,"errors":[{"line":2,"code":"x","retry_safe":true}]}"#;
        let half = r#"{"lines":0,"accepted":0,"rejected":0,"failed":0,"errors":[]}"#;
        for (status, body) in [(202, nothing), (422, one), (503, nothing), (422, beyond), (302, one), (202, half)] {
            assert_eq!(cause(&fates(status, body, &[false])[0]), ("unclear_answer", Rows::Perhaps), "{status} {body}");
        }
        assert_eq!(fates(202, one, &[false]), [Fate::Accepted]);
        assert!(read(StatusCode::BAD_GATEWAY, b"<html>").is_none());
    }
}
