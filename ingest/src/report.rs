//! What came of a request of many lines.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sluice_service::Problem;
use utoipa::ToSchema;

/// Lines that are told of one by one; of more, only their number is known. Fewer: clients guess. More: each takes some 200 bytes
/// of memory and of the answer.
pub const MAX_ERRORS: usize = 10_000;

/// What came of each line.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Report {
    /// Lines that were read, blank ones among them. Where the journal stopped taking events, those after it were not looked at.
    pub lines: u64,
    /// Events that are stored.
    pub accepted: u64,
    /// Lines that can never become a row.
    rejected: u64,
    /// Events that are not stored, or not surely: `errors` says which, and whether they may be sent again.
    failed: u64,
    /// Each line that was rejected or failed, in the order of the lines; the first 10,000.
    errors: Vec<LineError>,
    /// How many more there are.
    errors_omitted: u64,
    #[serde(skip)]
    worst: Option<Problem>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct LineError {
    /// Its number, counted from 1.
    line: u64,
    /// The stable code.
    code: String,
    /// For people.
    detail: String,
    /// Where in the line, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Whether the same line may be sent again.
    retry_safe: bool,
}

impl Report {
    /// A line that can never become a row.
    pub fn refused(&mut self, line: u64, problem: &Problem) {
        self.rejected += 1;
        metrics::counter!("sluice_ingest_refused_events_total", "code" => problem.code.clone()).increment(1);
        self.error(line, problem);
    }

    /// Lines whose message is not stored, or not surely.
    pub fn failed(&mut self, lines: &[u64], problem: &Problem) {
        self.failed += lines.len() as u64;
        metrics::counter!("sluice_ingest_refused_events_total", "code" => problem.code.clone())
            .increment(lines.len() as u64);
        lines.iter().for_each(|line| self.error(*line, problem));
        // An unknown outcome is worse than none: the client may not send again blindly.
        if self.worst.as_ref().is_none_or(|worst| worst.retry_safe && !problem.retry_safe) {
            self.worst = Some(problem.clone());
        }
    }

    /// Whether some message is not stored, or not surely.
    pub fn has_failed(&self) -> bool {
        self.worst.is_some()
    }

    fn error(&mut self, line: u64, problem: &Problem) {
        if self.errors.len() >= MAX_ERRORS {
            self.errors_omitted += 1;
            return;
        }
        let Problem { code, detail, pointer, retry_safe, .. } = problem.clone();
        self.errors.push(LineError { line, code, detail, pointer, retry_safe });
    }

    /// The answer: 202 where something was stored and nothing failed, 422 where nothing could be; else the problem that ended it, with
    /// the report in it.
    ///
    /// # Errors
    /// 400 where there was no line at all.
    pub fn answer(mut self, ended: Option<Problem>) -> Result<Response, Problem> {
        self.errors.sort_by_key(|error| error.line);
        let problem = self.worst.take().or(ended).or_else(|| self.nothing());
        let Some(problem) = problem else {
            return Ok(
                (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], json(&self)).into_response()
            );
        };
        if self.lines == 0 {
            return Err(problem);
        }
        Ok(problem.respond_with(&self))
    }

    fn nothing(&self) -> Option<Problem> {
        if self.accepted > 0 {
            return None;
        }
        if self.rejected == 0 {
            let detail = "there is no line in the body; each line is to be a JSON object";
            return Some(Problem::new(StatusCode::BAD_REQUEST, "no_lines", detail));
        }
        let detail = format!("none of {} lines can become a row; errors says why", self.rejected);
        Some(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "all_lines_rejected", detail))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a report has only texts and numbers")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;

    fn problem(status: u16, retry_safe: bool) -> Problem {
        let mut problem = Problem::new(StatusCode::from_u16(status).unwrap(), "code", "detail");
        problem.retry_safe = retry_safe;
        problem
    }

    async fn told(report: Report, ended: Option<Problem>) -> (u16, Value) {
        let response = report.answer(ended).unwrap_or_else(IntoResponse::into_response);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_status_says_the_worst_and_the_lines_come_in_order() {
        let with = |accepted, lines| Report { accepted, lines, ..Report::default() };
        assert_eq!(told(with(3, 3), None).await.0, 202);
        assert_eq!(told(with(0, 0), None).await.0, 400);
        let mut report = with(2, 9);
        report.failed(&[8, 9], &problem(503, true));
        report.failed(&[3], &problem(504, false));
        report.refused(5, &problem(422, false));
        let (status, json) = told(report, None).await;
        let lines: Vec<_> =
            json["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
        assert_eq!((status, lines), (504, vec![3, 5, 8, 9]));
        assert_eq!((&json["accepted"], &json["failed"], &json["rejected"]), (&2.into(), &3.into(), &1.into()));
        assert_eq!(json["code"], "code");
        let mut none = with(0, 1);
        none.refused(1, &problem(422, false));
        assert_eq!(told(none, None).await.0, 422);
        assert_eq!(told(with(7, 7), Some(problem(408, true))).await.0, 408);
    }

    #[tokio::test]
    async fn of_endless_errors_the_first_are_told_and_the_rest_counted() {
        let mut report = Report { accepted: 1, lines: 20_001, ..Report::default() };
        (2..=20_001).for_each(|line| report.refused(line, &problem(422, false)));
        let (status, json) = told(report, None).await;
        assert_eq!(status, 202);
        assert_eq!((json["errors"].as_array().unwrap().len(), &json["errors_omitted"]), (MAX_ERRORS, &10_000.into()));
    }
}
