//! A run from start to summary.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{RunArgs, Via},
    connection,
    load::{Load, Target},
    plan::Plan,
    progress::Progress,
    summary::Summary,
    via_http::HttpTarget,
    via_nats::NatsTarget,
};

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(200);

/// Offers what the arguments say, or what of it is done before `stop`.
///
/// # Errors
/// Where the load cannot begin; requests that fail are part of the summary.
pub async fn run(args: &RunArgs, stop: CancellationToken) -> anyhow::Result<Summary> {
    args.check()?;
    let in_flight = args.in_flight();
    let target = match args.via {
        Via::Http => Target::Http(HttpTarget::new(&args.url, in_flight, args.timeout())?),
        Via::Nats => {
            let client = connection::connect(&args.nats).await?;
            Target::Nats(NatsTarget::new(client, in_flight, args.timeout()))
        }
    };
    let plan = Plan {
        customers: args.customers(),
        count: args.count,
        events_per_parcel: args.events_per_message,
        empty_body: args.empty_body,
        seed: args.seed,
    };
    let load = Arc::new(Load::new(plan, target, stop));
    let progress = Progress::begin("offering", args.count, "events");
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begun = Instant::now();
    let mut offer = std::pin::pin!(load.clone().offer(in_flight));
    let tally = loop {
        tokio::select! {
            tally = &mut offer => break tally,
            _ = ticks.tick() => progress.at(load.done()),
        }
    };
    let took = begun.elapsed();
    progress.end();
    Ok(Summary::new(args.via, &tally, took))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    };

    use axum::{
        Router,
        body::Bytes,
        extract::{Path, State},
        http::{HeaderMap, StatusCode},
        routing::post,
    };
    use clap::Parser;
    use tokio::net::TcpListener;

    use super::*;
    use crate::args::{Cli, Command};

    /// Stands in for ingest: notes customers, answers every tenth request with 503.
    #[derive(Default)]
    struct Ingest {
        requests: AtomicU64,
        customers: Mutex<Vec<(String, usize)>>,
    }

    async fn person(
        State(ingest): State<Arc<Ingest>>,
        Path(customer): Path<String>,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, &'static str) {
        assert_eq!(headers["X-Customer-ID"], customer);
        ingest.customers.lock().unwrap().push((customer, body.len()));
        if ingest.requests.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
            return (StatusCode::SERVICE_UNAVAILABLE, "the journal is full");
        }
        (StatusCode::ACCEPTED, "{}")
    }

    async fn start(ingest: Arc<Ingest>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/person/{customer}", post(person)).with_state(ingest);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn args(line: &str) -> RunArgs {
        let words = ["loadgen", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => args,
            Command::Verify(_) => unreachable!("the line says run"),
        }
    }

    #[tokio::test]
    async fn a_run_over_http_offers_every_event_once_and_counts_refusals_by_status() {
        let ingest = Arc::new(Ingest::default());
        let url = start(ingest.clone()).await;
        let args = args(&format!("--url {url} --customers 1,2 --count 200 --concurrency 7"));
        let summary = run(&args, CancellationToken::new()).await.unwrap();
        assert_eq!((summary.accepted, summary.failed), (180, 20));
        assert_eq!(summary.failures["503"], 20);
        assert!(summary.latency_us.p50 > 0 && summary.latency_us.p50 <= summary.latency_us.max);
        let customers = ingest.customers.lock().unwrap();
        assert_eq!(customers.iter().filter(|(customer, _)| customer == "1").count(), 100);
        assert_eq!(customers.iter().filter(|(customer, _)| customer == "2").count(), 100);
        assert!(customers.iter().all(|(_, bytes)| *bytes > 0));
    }

    #[tokio::test]
    async fn empty_bodies_are_empty() {
        let ingest = Arc::new(Ingest::default());
        let url = start(ingest.clone()).await;
        run(&args(&format!("--url {url} --count 9 --empty-body")), CancellationToken::new()).await.unwrap();
        assert!(ingest.customers.lock().unwrap().iter().all(|(_, bytes)| *bytes == 0));
    }

    #[tokio::test]
    async fn a_stopped_run_tells_what_was_done() {
        let url = start(Arc::default()).await;
        let stop = CancellationToken::new();
        stop.cancel();
        let summary = run(&args(&format!("--url {url} --count 100000")), stop).await.unwrap();
        assert_eq!((summary.accepted, summary.failed), (0, 0));
    }

    #[tokio::test]
    async fn requests_that_nobody_answers_are_failures_and_not_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let summary = run(&args(&format!("--url {url} --count 5")), CancellationToken::new()).await.unwrap();
        assert_eq!((summary.accepted, summary.failures["connect"]), (0, 5));
    }
}
