//! People who post persons without a break, and remember every answer.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sluice_testbed::{Fleet, rows};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long one waits after an answer that is no 202.
const REFUSED_WAIT: Duration = Duration::from_millis(20);

/// An answer of ingest.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) customer: String,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    /// The event's, where it was accepted.
    pub(crate) id: Option<i64>,
    /// The problem's, where it was not.
    pub(crate) code: Option<String>,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
}

/// Posts until stopped or dropped.
pub(crate) struct Posts {
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: CancellationToken,
    people: JoinSet<()>,
}

impl Posts {
    /// So many people for each of these customers, one request at a time each.
    pub(crate) fn start(fleet: &Fleet, customers: &[&str], people: usize) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (answers, stop) = (Arc::<Mutex<Vec<Answer>>>::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for customer in customers {
            for _ in 0..people {
                let (client, answers, stop) = (client.clone(), Arc::clone(&answers), stop.clone());
                let (url, customer) = (fleet.ingest_url(), (*customer).to_owned());
                tasks.spawn(async move {
                    while !stop.is_cancelled() {
                        let answer = post(&client, &url, &customer).await;
                        let refused = answer.status != 202;
                        answers.lock().unwrap().push(answer);
                        if refused {
                            tokio::time::sleep(REFUSED_WAIT).await;
                        }
                    }
                });
            }
        }
        Self { answers, stop, people: tasks }
    }

    /// Every answer so far.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.answers.lock().unwrap().clone()
    }

    /// How many answers with that status so far.
    pub(crate) fn count(&self, status: u16) -> usize {
        self.answers.lock().unwrap().iter().filter(|answer| answer.status == status).count()
    }

    /// How many events of a customer were accepted so far.
    pub(crate) fn accepted(&self, customer: &str) -> usize {
        let accepted = |answer: &&Answer| answer.status == 202 && answer.customer == customer;
        self.answers.lock().unwrap().iter().filter(accepted).count()
    }

    /// Whether the last so many answers all had that status.
    pub(crate) fn only(&self, status: u16, last: usize) -> bool {
        let answers = self.answers.lock().unwrap();
        answers.len() >= last && answers[answers.len() - last..].iter().all(|answer| answer.status == status)
    }

    /// Whether there are some more answers with that status than those.
    pub(crate) fn more(&self, status: u16, before: usize) -> bool {
        self.count(status) >= before + 5
    }

    /// Posts no more; gives every answer, once all have come.
    pub(crate) async fn stop(mut self) -> Vec<Answer> {
        self.stop.cancel();
        while let Some(ended) = self.people.join_next().await {
            ended.unwrap();
        }
        self.answers()
    }
}

async fn post(client: &reqwest::Client, url: &str, customer: &str) -> Answer {
    let began = Instant::now();
    let answer = client
        .post(format!("{url}/person/{customer}"))
        .body(r#"{"name":"Ada","address":"London"}"#)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let body: serde_json::Value = answer.json().await.unwrap();
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    let id = text("id").map(|id| id.parse().unwrap());
    Answer { customer: customer.to_owned(), status, took: began.elapsed(), id, code: text("code"), retry_after }
}

/// Every accepted event is a row, and every id was given once.
pub(crate) async fn accepted_are_there(fleet: &Fleet, answers: &[Answer]) {
    let accepted: Vec<i64> = answers.iter().filter_map(|answer| answer.id).collect();
    assert_eq!(accepted.len(), answers.iter().filter(|answer| answer.status == 202).count());
    let ids: BTreeSet<i64> = accepted.iter().copied().collect();
    assert_eq!(ids.len(), accepted.len(), "an id was given twice");
    let mut there = BTreeSet::new();
    for shard in fleet.shards() {
        there.extend(rows::ids(&shard.address).await.unwrap());
    }
    let missing: Vec<_> = ids.difference(&there).collect();
    assert!(missing.is_empty(), "{} accepted events are no rows: {missing:?}", missing.len());
}
