//! The command line.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use sluice_service::{outln, output};
use sluice_simulation::{
    oracle::Leniency,
    run::{Ran, run},
    search::{Limits, Report, search},
};

/// Lines of the history that are shown of a seed that broke something.
const SHOWN: usize = 300;

/// Searches for what breaks the writer: seed after seed, in a simulated world with faults.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Cli {
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Run so many seeds.
    #[arg(long, conflicts_with = "seed")]
    seeds: Option<u64>,
    /// Run for so many minutes.
    #[arg(long, conflicts_with = "seed")]
    minutes: Option<f64>,
    /// The first seed; without, one that depends on the time of day.
    #[arg(long, conflicts_with = "seed")]
    first: Option<u64>,
    /// Threads; without, as many as there are processors.
    #[arg(long)]
    threads: Option<usize>,
    /// End after so many seeds that broke something.
    #[arg(long, default_value_t = 1)]
    broken: usize,
    /// Write the whole history of the seed there.
    #[arg(long, requires = "seed")]
    history: Option<PathBuf>,
    /// Add what the writer logs to the history, in tracing-subscriber's filter syntax.
    #[arg(long, requires = "seed")]
    log: Option<String>,
    /// Do not look at what those are told who wait for a message.
    #[arg(long)]
    ignore_told: bool,
    /// Do not look at whether a dead letter is that of a message that the journal has lost.
    #[arg(long)]
    ignore_lost_letters: bool,
    /// How to report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Cli {
    fn leniency(&self) -> Leniency {
        Leniency { told: self.ignore_told, lost_letters: self.ignore_lost_letters }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.seed {
        Some(seed) => one(&cli, seed),
        None => many(&cli),
    };
    done.unwrap_or_else(|error| output::failure("simulate", &error))
}

fn one(cli: &Cli, seed: u64) -> anyhow::Result<ExitCode> {
    let _logging = cli.log.as_ref().map(|filter| log_to_history(filter));
    let ran = run(seed, cli.leniency());
    if let Some(path) = &cli.history {
        let text = ran.history.lines().join("\n");
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    outln!("{:#?}", ran.plan)?;
    outln!("faults: {:?}, simulated: {:?}, turns: {}", ran.faults, ran.simulated, ran.turns)?;
    outln!("history: {} lines, {:016x}", ran.history.lines().len(), ran.history.hash())?;
    if ran.broken.is_some() {
        show(&ran)?;
        return Ok(ExitCode::FAILURE);
    }
    outln!("seed {seed}: nothing is broken")?;
    Ok(ExitCode::SUCCESS)
}

fn many(cli: &Cli) -> anyhow::Result<ExitCode> {
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let first = cli.first.unwrap_or(since_epoch.as_secs() << 20);
    let threads = cli.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let seeds = cli.seeds.or_else(|| cli.minutes.is_none().then_some(1_000));
    let limits = Limits {
        seeds,
        time: cli.minutes.map(|m| Duration::from_secs_f64(60.0 * m)),
        broken: cli.broken,
        leniency: cli.leniency(),
    };
    let report = search(first, threads, limits, |ran| {
        if ran.broken.is_some() && cli.output == Output::Text && cli.broken == 1 {
            // Where it cannot be written, the report says so.
            let _ = show(ran);
        }
    });
    tell(cli.output, &report)?;
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(ran: &Ran) -> io::Result<()> {
    let lines = ran.history.lines();
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        output::line(line)?;
    }
    outln!("\nseed {}: {}", ran.seed, ran.broken.as_deref().unwrap_or_default())?;
    output::line("run it again, with all of its history:")?;
    outln!("  cargo simulate -- --seed {} --history history.txt --log debug", ran.seed)
}

fn tell(form: Output, report: &Report) -> io::Result<()> {
    if form == Output::Json {
        return output::line(serde_json::to_string_pretty(report).expect("a report has only texts and numbers"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let a_minute = report.seeds as f64 / report.seconds * 60.0;
    outln!(
        "{} seeds from {} in {:.1} s ({a_minute:.0} a minute), {:.0} simulated s, {} turns, {} commits and {} answers checked",
        report.seeds,
        report.first_seed,
        report.seconds,
        report.simulated_seconds,
        report.turns,
        report.commits,
        report.told
    )?;
    let faults: Vec<String> = report.faults.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
    outln!("faults: {}", faults.join(", "))?;
    for (kind, seeds) in &report.kinds {
        outln!("in {seeds} seeds: {kind}")?;
    }
    for (seed, what) in &report.broken {
        outln!("seed {seed}: {what}")?;
    }
    Ok(())
}

/// What the writer logs becomes a part of the history.
fn log_to_history(filter: &str) -> tracing::subscriber::DefaultGuard {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_ansi(false)
        .without_time()
        .with_writer(|| Noting)
        .finish();
    tracing::subscriber::set_default(subscriber)
}

/// Each write is a line of the history.
struct Noting;

impl std::io::Write for Noting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        sluice_failpoint::simulated::note("log", || String::from_utf8_lossy(bytes).trim_end().to_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
