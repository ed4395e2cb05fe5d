//! Runs over HTTP against a stand-in for ingest.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    routing::post,
};
use serde_json::{Value, json};
use sluice_model::{CustomerId, Person, Reason};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{account::Account, args::tests::run_args, run::run, summary::Summary};

/// Stands in for ingest, and can be told to misbehave.
#[derive(Default)]
struct Ingest {
    /// Every tenth request is answered with 503.
    refuses: bool,
    /// The very first request takes so long.
    stall: Duration,
    /// Every request takes so long.
    delay: Duration,
    /// Bad persons are taken for good ones.
    takes_anything: bool,
    /// What was asked to be committed never is in time.
    never_commits: bool,
    /// Keys are not known again.
    forgets: bool,
    requests: AtomicU64,
    customers: Mutex<Vec<(String, usize)>>,
    keys: Mutex<HashMap<String, u64>>,
    bodies: Mutex<HashSet<Vec<u8>>>,
}

type Answer = (StatusCode, HeaderMap, String);

fn answer(status: StatusCode, body: &Value) -> Answer {
    (status, HeaderMap::new(), body.to_string())
}

async fn person(ingest: State<Arc<Ingest>>, path: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    let Path(customer) = path;
    assert_eq!(headers["X-Customer-ID"], customer);
    take(&ingest, Some(customer), &headers, &body).await
}

async fn anybody(ingest: State<Arc<Ingest>>, headers: HeaderMap, body: Bytes) -> Answer {
    take(&ingest, None, &headers, &body).await
}

async fn take(ingest: &Ingest, customer: Option<String>, headers: &HeaderMap, body: &[u8]) -> Answer {
    let number = ingest.requests.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(if number == 0 { ingest.stall.max(ingest.delay) } else { ingest.delay }).await;
    if ingest.refuses && number % 10 == 9 {
        return answer(StatusCode::SERVICE_UNAVAILABLE, &json!("the journal is full"));
    }
    if headers["Content-Type"] == "application/x-ndjson" {
        return ingest.lines(customer.as_deref(), body);
    }
    let customer = customer.expect("a single person's path names the customer");
    ingest.customers.lock().unwrap().push((customer.clone(), body.len()));
    ingest.bodies.lock().unwrap().insert(body.to_vec());
    if let Some(reason) = ingest.refusal(Some(&customer), body) {
        let broken = reason == Reason::MalformedJson;
        let status = if broken { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
        return answer(status, &json!({ "code": reason.code() }));
    }
    let known = headers.get("Idempotency-Key").filter(|_| !ingest.forgets).map(|key| {
        let key = key.to_str().unwrap().to_owned();
        *ingest.keys.lock().unwrap().entry(key).or_insert(number)
    });
    let is_known = known.is_some_and(|known| known != number);
    let waits = headers.get("Prefer").is_some_and(|prefer| prefer == "wait=30") && !ingest.never_commits;
    let status = if waits { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let mut answer = answer(status, &json!({ "success": true, "id": known.unwrap_or(number).to_string() }));
    if is_known {
        answer.1.insert("Idempotent-Replayed", HeaderValue::from_static("true"));
    }
    answer
}

impl Ingest {
    fn refusal(&self, customer: Option<&str>, json: &[u8]) -> Option<Reason> {
        if json.is_empty() || self.takes_anything {
            return None;
        }
        let own = || {
            let line: Value = serde_json::from_slice(json).ok()?;
            Some(line["customer_id"].as_str()?.to_owned())
        };
        let customer: CustomerId = match customer.map(str::to_owned).or_else(own).map(|name| name.parse()) {
            Some(Ok(customer)) => customer,
            _ => return Some(Reason::InvalidCustomer),
        };
        Person::decode(json, &customer).err().map(|refusal| refusal.reason)
    }

    fn lines(&self, customer: Option<&str>, body: &[u8]) -> Answer {
        let mut errors = Vec::new();
        let mut accepted = 0;
        for (line, json) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            self.customers.lock().unwrap().push((customer.unwrap_or("-").to_owned(), json.len()));
            match self.refusal(customer, json) {
                None => accepted += 1,
                Some(reason) => {
                    errors.push(json!({ "line": line, "code": reason.code(), "detail": "", "retry_safe": false }));
                }
            }
        }
        let status = if accepted > 0 { StatusCode::ACCEPTED } else { StatusCode::UNPROCESSABLE_ENTITY };
        answer(status, &json!({ "accepted": accepted, "rejected": errors.len(), "failed": 0, "errors": errors }))
    }
}

async fn start(ingest: Arc<Ingest>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router =
        Router::new().route("/person/{customer}", post(person)).route("/person", post(anybody)).with_state(ingest);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A run against such an ingest.
async fn run_against(ingest: Ingest, line: &str) -> (Summary, Arc<Ingest>) {
    let ingest = Arc::new(ingest);
    let url = start(ingest.clone()).await;
    let summary = run(&run_args(&format!("--url {url} {line}")), CancellationToken::new()).await.unwrap();
    (summary, ingest)
}

#[tokio::test]
async fn a_run_over_http_offers_every_event_once_and_counts_refusals_by_status() {
    let ingest = Ingest { refuses: true, ..Ingest::default() };
    let (summary, ingest) = run_against(ingest, "--customers 1,2 --count 200 --concurrency 7").await;
    let whole = summary.whole;
    assert_eq!((whole.accepted, whole.failed), (180, 20));
    assert_eq!(whole.failures["503"], 20);
    assert!(whole.latency_us.p50 > 0 && whole.latency_us.p50 <= whole.latency_us.max);
    let customers = ingest.customers.lock().unwrap();
    assert!(customers.iter().all(|(_, bytes)| *bytes > 0));
    assert_eq!(ingest.requests.load(Ordering::Relaxed), 200);
}

#[tokio::test]
async fn customers_are_taken_in_turn() {
    let (_, ingest) = run_against(Ingest::default(), "--customers 1,2 --count 200 --concurrency 7").await;
    let customers = ingest.customers.lock().unwrap();
    assert_eq!(customers.iter().filter(|(customer, _)| customer == "1").count(), 100);
    assert_eq!(customers.iter().filter(|(customer, _)| customer == "2").count(), 100);
}

#[tokio::test]
async fn empty_bodies_are_empty() {
    let (_, ingest) = run_against(Ingest::default(), "--count 9 --empty-body").await;
    assert!(ingest.customers.lock().unwrap().iter().all(|(_, bytes)| *bytes == 0));
}

#[tokio::test]
async fn a_stopped_run_tells_what_was_done() {
    let url = start(Arc::default()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let summary = run(&run_args(&format!("--url {url} --count 100000 --rate 5")), stop).await.unwrap();
    assert_eq!((summary.whole.accepted, summary.whole.failed, summary.whole.starts.never), (0, 0, 0));
}

#[tokio::test]
async fn requests_that_nobody_answers_are_failures_and_not_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let summary = run(&run_args(&format!("--url {url} --count 5")), CancellationToken::new()).await.unwrap();
    assert_eq!((summary.whole.accepted, summary.whole.failures["connect"]), (0, 5));
}

#[tokio::test]
async fn in_the_open_loop_a_stall_makes_every_request_long_that_was_meant_to_start_in_it() {
    // One place, 100 a second: while the first request hangs for half a second, about fifty others cannot start.
    let ingest = || Ingest { stall: Duration::from_millis(500), ..Ingest::default() };
    let (open, _) = run_against(ingest(), "--rate 100 --count 80 --concurrency 1").await;
    assert_eq!(open.whole.accepted, 80);
    assert!(open.whole.latency_us.p50 > 50_000, "{:?}", open.whole.latency_us);
    assert!(open.whole.starts.late >= 30 && open.whole.starts.worst_lag_us >= 400_000, "{:?}", open.whole.starts);
    // The closed loop sees one long request.
    let (closed, _) = run_against(ingest(), "--count 80 --concurrency 1").await;
    assert!(closed.whole.latency_us.p50 < 50_000, "{:?}", closed.whole.latency_us);
    assert_eq!(closed.whole.starts.late, 0);
}

#[tokio::test]
async fn a_rate_is_kept_and_what_did_not_start_in_time_is_told() {
    let (kept, _) = run_against(Ingest::default(), "--rate 50 --duration-s 1 --concurrency 60").await;
    assert_eq!((kept.whole.accepted, kept.whole.starts.never), (50, 0));
    assert!(kept.whole.seconds > 0.9, "the last one starts 980 ms after the first: {}", kept.whole.seconds);
    // One place and 100 ms for each: ten a second are possible.
    let slow = Ingest { delay: Duration::from_millis(100), ..Ingest::default() };
    let (late, _) = run_against(slow, "--rate 100 --duration-s 0.5 --concurrency 1").await;
    assert!(late.whole.accepted <= 6 && late.whole.seconds < 3.0, "{late:?}");
    assert_eq!(late.whole.accepted + late.whole.starts.never, 50);
}

#[tokio::test]
async fn a_closed_loop_ends_by_time() {
    let slow = Ingest { delay: Duration::from_millis(20), ..Ingest::default() };
    let (summary, _) = run_against(slow, "--duration-s 0.3 --concurrency 2").await;
    assert!((4..=40).contains(&summary.whole.accepted), "{summary:?}");
    assert!(summary.whole.seconds < 5.0);
}

#[tokio::test]
async fn phases_run_one_after_the_other_and_are_told_apart() {
    let line = "--customers 3 --phase rate=200,count=20 --phase count=30,concurrency=2 --phase seconds=0.2,rate=50";
    let (summary, ingest) = run_against(Ingest::default(), line).await;
    let accepted: Vec<_> = summary.phases.iter().map(|phase| phase.part.accepted).collect();
    assert_eq!(accepted, [20, 30, 10]);
    assert_eq!(summary.whole.accepted, 60);
    assert_eq!(ingest.requests.load(Ordering::Relaxed), 60);
    assert_eq!(ingest.bodies.lock().unwrap().len(), 60, "no phase offers another one's persons again");
    assert_eq!(summary.phases[1].asked.concurrency, 2);
    assert!(summary.phases[0].part.seconds > 0.09 && summary.phases[2].part.seconds > 0.17);
}

#[tokio::test]
async fn by_zipfs_law_the_first_customer_gets_most() {
    let (_, ingest) = run_against(Ingest::default(), "--customers 50 --count 400 --zipf 1.5").await;
    let mut counts = BTreeMap::new();
    for (customer, _) in ingest.customers.lock().unwrap().iter() {
        *counts.entry(customer.clone()).or_insert(0) += 1;
    }
    assert!(counts["1"] > 100 && counts["1"] > 2 * counts["2"], "{counts:?}");
}

#[tokio::test]
async fn many_lines_are_counted_one_by_one() {
    let (summary, ingest) = run_against(Ingest::default(), "--count 105 --lines 10 --bad 7").await;
    let whole = summary.whole;
    assert_eq!((whole.accepted, whole.rejected, whole.failed, whole.requests), (90, 15, 0, 11));
    assert_eq!(ingest.requests.load(Ordering::Relaxed), 11);
    assert_eq!(ingest.customers.lock().unwrap().len(), 105);
}

#[tokio::test]
async fn mixed_lines_say_themselves_whose_they_are() {
    let (summary, ingest) = run_against(Ingest::default(), "--count 160 --lines 20 --mixed-lines --bad 10").await;
    assert_eq!((summary.whole.accepted, summary.whole.rejected, summary.whole.failed), (144, 16, 0));
    assert!(ingest.customers.lock().unwrap().iter().all(|(customer, _)| customer == "-"));
}

#[tokio::test]
async fn bad_events_have_to_be_refused() {
    let (right, _) = run_against(Ingest::default(), "--count 160 --bad 10").await;
    assert_eq!((right.whole.accepted, right.whole.rejected, right.whole.failed), (144, 16, 0));
    let anything = || Ingest { takes_anything: true, ..Ingest::default() };
    let (wrong, _) = run_against(anything(), "--count 160 --bad 10").await;
    assert_eq!((wrong.whole.accepted, wrong.whole.failures["bad_was_accepted"]), (144, 16));
    let (wrong, _) = run_against(anything(), "--count 160 --bad 10 --lines 16").await;
    assert_eq!((wrong.whole.accepted, wrong.whole.failures["bad_was_accepted"]), (144, 16));
}

#[tokio::test]
async fn what_is_sent_twice_has_to_be_answered_as_the_first_time() {
    let (right, ingest) = run_against(Ingest::default(), "--count 20 --publish-twice 4").await;
    assert_eq!((right.whole.accepted, right.whole.replayed, right.whole.failed), (20, 5, 0));
    assert_eq!(ingest.requests.load(Ordering::Relaxed), 25);
    let (wrong, _) = run_against(Ingest { forgets: true, ..Ingest::default() }, "--count 20 --publish-twice 4").await;
    assert_eq!((wrong.whole.accepted, wrong.whole.failures["replay_differs"]), (15, 5));
}

#[tokio::test]
async fn requests_that_wait_for_the_commit_are_measured_apart() {
    let line = "--count 40 --commit-every 10 --concurrency 4";
    let (summary, _) = run_against(Ingest::default(), line).await;
    let commits = summary.whole.commits;
    assert_eq!((summary.whole.accepted, commits.committed, commits.not_committed_in_time), (40, 4, 0));
    assert!(commits.latency_us.p50 > 0);
    let (never, _) = run_against(Ingest { never_commits: true, ..Ingest::default() }, line).await;
    let commits = never.whole.commits;
    assert_eq!((never.whole.accepted, commits.committed, commits.not_committed_in_time), (40, 0, 4));
}

#[tokio::test]
async fn the_account_says_of_each_customer_what_must_and_must_not_exist() {
    let path = std::env::temp_dir().join(format!("loadgen-run-account-{}.json", std::process::id()));
    let line = format!("--customers 2 --count 40 --bad 8 --seed 9 --account {}", path.display());
    let (summary, _) = run_against(Ingest::default(), &line).await;
    let account = Account::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((account.seed, account.customers.len()), (9, 2));
    let must: u64 = account.customers.values().map(|claim| claim.must).sum();
    let must_not: u64 = account.customers.values().map(|claim| claim.must_not).sum();
    assert_eq!((must, must_not), (summary.whole.accepted, summary.whole.rejected));
    assert_eq!((must, must_not), (35, 5));
}
