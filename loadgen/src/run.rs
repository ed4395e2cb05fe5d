//! A run from start to summary.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    account::Book,
    args::{RunArgs, Via},
    commits::Commits,
    connection,
    live::Live,
    load::{Load, Target},
    progress::Progress,
    schedule::Schedule,
    summary::{PhaseSummary, Summary},
    tally::Tally,
    via_http::HttpTarget,
    via_nats::NatsTarget,
};

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(200);
/// How often what the bar says is worked out anew. More often: rates jump about.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Offers what the arguments say, or what of it is done before `stop`.
///
/// # Errors
/// Where the load cannot begin, or its account cannot be written; requests that fail are part of the summary.
pub async fn run(args: &RunArgs, stop: CancellationToken) -> anyhow::Result<Summary> {
    args.check()?;
    let plan = args.plan(name());
    let book = args.account.as_ref().map(|path| Book::open(path, plan.customers.len())).transpose()?;
    let load = Load { plan, target: target(args).await?, stop, live: Live::default(), book };
    let load = Arc::new(load);
    let (mut whole, mut summaries, mut first) = (Tally::default(), Vec::new(), 0);
    let phases = args.phases();
    let begun = Instant::now();
    for (index, (phase, in_flight)) in phases.iter().enumerate() {
        let schedule = Schedule::new(phase, args.per_parcel());
        let label =
            if phases.len() > 1 { format!("phase {} of {}", index + 1, phases.len()) } else { "offering".into() };
        let phase_begun = Instant::now();
        let (tally, next) = watched(&load, schedule, first, *in_flight, &label).await;
        first = next;
        let took = phase_begun.elapsed();
        // Of a run that was told to stop nothing more is said than what it did.
        let due = schedule.events().filter(|_| !load.stop.is_cancelled());
        let never = due.map_or(0, |events| events.saturating_sub(tally.offered()));
        summaries.push(PhaseSummary::new(index, phase, *in_flight, &tally, took, never));
        whole.add(&tally);
        if load.stop.is_cancelled() {
            break;
        }
    }
    let took = begun.elapsed();
    if let Some(book) = &load.book {
        book.close(args.seed, &load.plan.customers)?;
    }
    Ok(Summary::new(args.via, args.seed, summaries, &whole, took))
}

async fn target(args: &RunArgs) -> anyhow::Result<Target> {
    let in_flight = args.phases().iter().map(|(_, in_flight)| *in_flight).max().unwrap_or(1);
    match args.via {
        Via::Http => Ok(Target::Http(HttpTarget::new(&args.url, in_flight, args.timeout(), args.lines > 1)?)),
        Via::Nats => {
            let client = connection::connect(&args.nats).await?;
            let commits = if args.commit_every > 0 { Some(Arc::new(Commits::listen(&client).await?)) } else { None };
            Ok(Target::Nats(NatsTarget::new(client, in_flight, args.timeout(), commits)))
        }
    }
}

/// One phase under a progress bar: over its events, or over its time where nobody knows how many there will be.
async fn watched(load: &Arc<Load>, schedule: Schedule, first: u64, in_flight: usize, label: &str) -> (Tally, u64) {
    let progress = match (schedule.events(), schedule.seconds()) {
        (Some(events), _) => Progress::begin(label, events, "events"),
        (None, seconds) => Progress::begin(label, seconds.map_or(0, |seconds| seconds.as_secs()), "seconds"),
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begun = Instant::now();
    let (start, mut said, mut said_at) = (load.live.glance(), load.live.glance(), begun);
    let mut offer = std::pin::pin!(load.clone().offer(schedule, first, in_flight));
    let done = loop {
        tokio::select! {
            done = &mut offer => break done,
            _ = ticks.tick() => {}
        }
        let at = match schedule.events() {
            Some(_) => load.live.done() - start.done,
            None => begun.elapsed().as_secs(),
        };
        if said_at.elapsed() < SAY_EVERY {
            progress.to(at);
            continue;
        }
        let now = load.live.glance();
        progress.say(at, &now.tell(&said, said_at.elapsed()));
        (said, said_at) = (now, Instant::now());
    };
    progress.end();
    done
}

/// What no other run is called.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}
