//! What `loadgen run` is told: what to offer, where, and how hard.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::RangedU64ValueParser};
use sluice_model::{CustomerId, MAX_EVENTS};
use sluice_service::nats::NatsArgs;

use crate::{
    args::Via,
    choice::Choice,
    customers::Customers,
    phase::{Phase, positive},
    plan::Plan,
};

/// How many events a run offers where nothing says how many, or how long.
const COUNT: u64 = 1_000;

/// The most lines of a request: as many as ingest names one by one.
const LINES_MAX: u64 = 10_000;

/// What to offer, where, and how hard.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The way in.
    #[arg(long, value_enum, default_value_t = Via::Http)]
    pub via: Via,
    /// Where ingest is.
    #[arg(long, env = "INGEST_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Who the events are for, in turn. A number N means customers 1 to N; a list with commas, or anything else that
    /// is no number, means those very customers (`--customers 3` is 1, 2 and 3; `--customers 1,2,3` is the same).
    #[arg(long, default_value = "3")]
    pub customers: Customers,
    /// Exactly these customers, also where it is a single one that is a number (`--customer-list 3` is 3 alone).
    #[arg(long, value_delimiter = ',', conflicts_with = "customers")]
    pub customer_list: Vec<CustomerId>,
    /// Choose customers by Zipf's law with this exponent, and not in turn: the n-th is chosen in proportion to 1/n^S. Too low
    /// (0.1): hardly different from taking turns. Too high (above 2): nearly everything is the first customer's, so one shard's.
    #[arg(long, value_name = "S", value_parser = exponent)]
    pub zipf: Option<f64>,
    /// How many events in all; 1,000 where nothing says how many or how long. Too few: the slowest in a thousand is nobody.
    /// Too many: the run is long, and the journal has to hold what it does not trim meanwhile.
    #[arg(long, conflicts_with = "phase")]
    pub count: Option<u64>,
    /// End after so many seconds, in place of a count (or after the count, where that is given and reached earlier). Too low:
    /// one measures how connections are made. Too high: as with a count.
    #[arg(long, value_parser = positive, conflicts_with = "phase")]
    pub duration_s: Option<f64>,
    /// Offer so many events per second (the open loop), however long each takes, and count each latency from the moment that its
    /// request was meant to start. Without it a request starts when another has ended (the closed loop). Too low: nothing
    /// queues, and one learns nothing about load. Too high: starts are late, which the summary tells, and latency is mostly
    /// the wait for a free place among the requests in flight.
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// A phase of the run, such as `rate=500,seconds=10`; keys are rate, seconds, count and concurrency. Given several times,
    /// they run one after the other. What a phase leaves out of rate and concurrency, the flags say.
    #[arg(long, value_name = "KEY=VALUE,..")]
    pub phase: Vec<Phase>,
    /// How many requests are in flight at once, at most; 100 over HTTP and 1,000 to NATS where nothing is said. Too few: one
    /// measures the way there and back, and with --rate starts are late. Too many: one measures one's own queue.
    #[arg(long, value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub concurrency: Option<u32>,
    /// To NATS: events per message, as one JSON object a line. All of a message are one customer's. Too few: one measures
    /// messages and not events. Too many: the message is larger than the server takes.
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..=MAX_EVENTS as u64))]
    pub events_per_message: u32,
    /// Over HTTP: persons per request, as one JSON object a line. Too few: one measures requests and not events. Too many: the
    /// request lasts longer than --timeout-ms.
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..=LINES_MAX))]
    pub lines: u32,
    /// With --lines: the lines of a request are of several customers, and each says whose it is.
    #[arg(long)]
    pub mixed_lines: bool,
    /// Over HTTP: post nothing, so that ingest makes a random person, as the original's test did.
    #[arg(long)]
    pub empty_body: bool,
    /// Every K-th event is malformed, in one of eight ways in turn; its name begins with `bad-<seed>-`. Over HTTP it has to be
    /// refused (400 or 422, or named in the answer to many lines). Over NATS it is taken, and has to become a dead letter. 0: none.
    /// Too low: dead letters, which are stored one by one, are what one measures. Too high: some of the ways are never tried.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub bad: u64,
    /// Every K-th request also asks to be told when its rows are committed, for up to 30 s, and keeps its place among those in
    /// flight until then. Over NATS only a user of the writers' account can be told (the operator, and not the publisher). 0: none.
    /// Too low: such requests are most of the load, and their waiting is what limits it. Too high:
    /// too few to tell a slow one in a hundred.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub commit_every: u64,
    /// Every K-th request bears a key and is sent twice; the second answer has to be the first one's. 0: none. Too low: half of
    /// the load is repetition. Too high: hardly anything is tried.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub publish_twice: u64,
    /// Write to this file how many rows of each customer must exist, may exist and must not exist, for `verify --account`.
    #[arg(long, value_name = "FILE")]
    pub account: Option<PathBuf>,
    /// The same seed makes the same persons, and chooses the same customers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long one request may take, in milliseconds, before it counts as failed; one that waits for its commit has 30 s more.
    /// Too low: events that are stored count as failed. Too high: a server that hangs holds the run up for that long.
    #[arg(long, default_value_t = 10_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub timeout_ms: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// The customers, in turn.
    pub fn customers(&self) -> Vec<CustomerId> {
        if self.customer_list.is_empty() { self.customers.0.clone() } else { self.customer_list.clone() }
    }

    /// How many requests are in flight at once, where a phase does not say so.
    pub fn in_flight(&self) -> usize {
        let default = match self.via {
            Via::Http => 100,
            Via::Nats => 1_000,
        };
        self.concurrency.map_or(default, places)
    }

    /// The phases, with all that is known of each, and how many requests it may have in flight.
    pub fn phases(&self) -> Vec<(Phase, usize)> {
        let only = || {
            let count = self.count.or(self.duration_s.is_none().then_some(COUNT));
            vec![Phase { count, seconds: self.duration_s, ..Phase::default() }]
        };
        let phases = if self.phase.is_empty() { only() } else { self.phase.clone() };
        let whole = |phase: Phase| {
            let in_flight = phase.concurrency.map_or_else(|| self.in_flight(), places);
            (Phase { rate: phase.rate.or(self.rate), ..phase }, in_flight)
        };
        phases.into_iter().map(whole).collect()
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Events of one request.
    pub fn per_parcel(&self) -> u32 {
        self.events_per_message.max(self.lines)
    }

    /// Which events they mean. `run` tells this run's keys from those of another one.
    pub fn plan(&self, run: String) -> Plan {
        let customers = self.customers();
        Plan {
            choice: Choice::new(customers.len(), self.zipf, self.seed),
            customers,
            per_parcel: self.per_parcel(),
            mixed: self.mixed_lines,
            empty_body: self.empty_body,
            bad_every: self.bad,
            commit_every: self.commit_every,
            twice_every: self.publish_twice,
            seed: self.seed,
            run,
        }
    }

    /// Refuses what only the other way in knows, and what contradicts itself, rather than to ignore it.
    ///
    /// # Errors
    /// Names the flag.
    pub fn check(&self) -> anyhow::Result<()> {
        let nats = self.via == Via::Nats;
        let refused = [
            (
                nats && self.empty_body,
                "--empty-body is for --via http: a message without a payload becomes a dead letter",
            ),
            (nats && self.lines > 1, "--lines is for --via http; to NATS it is --events-per-message"),
            (!nats && self.events_per_message > 1, "--events-per-message is for --via nats; over HTTP it is --lines"),
            (self.mixed_lines && self.lines == 1, "--mixed-lines needs --lines of at least 2"),
            (self.empty_body && self.lines > 1, "--empty-body and --lines: ingest makes one person for a request"),
            (self.empty_body && self.bad > 0, "--empty-body and --bad: ingest makes no malformed person"),
            (
                self.commit_every > 0 && self.lines > 1,
                "--commit-every is for single persons: --lines are not waited for",
            ),
            (self.publish_twice > 0 && self.lines > 1, "--publish-twice is for single persons, not for --lines"),
        ];
        match refused.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, why)) => anyhow::bail!("{why}"),
            None => Ok(()),
        }
    }
}

fn places(concurrency: u32) -> usize {
    usize::try_from(concurrency).expect("at most 100,000")
}

fn exponent(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 10.0);
    number.ok_or_else(|| "a number above 0, and at most 10, is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::tests::run_args;

    #[test]
    fn a_number_of_customers_is_a_count_and_a_list_is_a_list() {
        let names = |line| run_args(line).customers().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("--customers 3"), ["1", "2", "3"]);
        assert_eq!(names("--customers 7,acme"), ["7", "acme"]);
        assert_eq!(names("--customer-list 3"), ["3"]);
        assert!(
            crate::args::Cli::try_parse_from(["loadgen", "run", "--customers", "2", "--customer-list", "3"]).is_err()
        );
    }

    #[test]
    fn each_way_in_has_its_own_default_of_requests_in_flight() {
        assert_eq!(run_args("").in_flight(), 100);
        assert_eq!(run_args("--via nats").in_flight(), 1_000);
        assert_eq!(run_args("--via nats --concurrency 7").in_flight(), 7);
    }

    #[test]
    fn flags_that_do_not_fit_the_way_in_or_each_other_are_refused() {
        for good in ["--empty-body", "--via nats --events-per-message 10 --bad 3", "--lines 5 --mixed-lines --bad 2"] {
            assert!(run_args(good).check().is_ok(), "{good}");
        }
        let bad = [
            "--via nats --empty-body",
            "--via nats --lines 2",
            "--events-per-message 10",
            "--mixed-lines",
            "--empty-body --lines 2",
            "--empty-body --bad 2",
            "--publish-twice 2 --lines 2",
            "--commit-every 2 --lines 2",
        ];
        for line in bad {
            let error = run_args(line).check().unwrap_err().to_string();
            assert!(line.contains(error.split(' ').next().unwrap()), "{line}: {error}");
        }
    }

    #[test]
    fn without_a_phase_there_is_one_of_a_thousand_events_or_of_what_the_flags_say() {
        let only = |line| run_args(line).phases()[0];
        assert_eq!(only(""), (Phase { count: Some(1_000), ..Phase::default() }, 100));
        let timed = Phase { rate: Some(2.5), seconds: Some(3.0), ..Phase::default() };
        assert_eq!(only("--duration-s 3 --rate 2.5 --concurrency 9"), (timed, 9));
        assert_eq!(only("--duration-s 3 --count 8").0.count, Some(8));
    }

    #[test]
    fn what_a_phase_leaves_out_the_flags_say() {
        let phases =
            run_args("--rate 10 --concurrency 7 --phase seconds=1 --phase rate=5,count=2,concurrency=3").phases();
        assert_eq!((phases[0].0.rate, phases[0].1), (Some(10.0), 7));
        assert_eq!((phases[1].0.rate, phases[1].0.count, phases[1].1), (Some(5.0), Some(2), 3));
        assert!(crate::args::Cli::try_parse_from(["loadgen", "run", "--count", "2", "--phase", "count=3"]).is_err());
    }
}
