//! `writer journal show | repair`: what an administrator does about a journal that lost its end,
//! was made anew, or lacks messages.
//!
//! What has happened then, what is done, in which order and why that may be killed anywhere, stands in [`sluice_journal::repair`].
//!
//! 1. [`cli`]: [`JournalCommand`], the command line.
//! 2. [`look`]: every shard and partition as they are now.
//! 3. [`plan`]: what one partition needs; [`loss`]: what is gone for good; [`decision`]: all of it,
//!    and who gives leave. Pure.
//! 4. [`survey`]: what of a partition has to be copied, pure; [`scan`] and [`homes`] read it and ask whose it is.
//! 5. [`work`]: carries it out; [`accept`]: accepts what is lost; [`known`]: what is still known of
//!    that.
//! 6. [`report`], [`losses`], [`show`], [`progress`]: what is told.

pub mod accept;
pub mod cli;
pub mod decision;
pub mod homes;
pub mod known;
pub mod look;
pub mod loss;
pub mod losses;
pub mod plan;
pub mod progress;
pub mod report;
pub mod scan;
pub mod show;
pub mod survey;
pub mod work;

use std::process::ExitCode;

pub use cli::JournalCommand;
use cli::{RepairArgs, ShowArgs};
use decision::{Decision, Terms};
use look::Reading;
use losses::LossTold;
use progress::Progress;
use report::{Part, Report};
use sluice_directory::Client;
use sluice_journal::{Journal, repair::Way};
use sluice_service::output;
use work::{Carrier, Ended};

use crate::dead::reach::Reach;

/// Something is to be done, or was refused.
const NOT_WELL: u8 = 1;
/// A question that makes no sense, or somebody did not answer.
const UNREACHABLE: u8 = 2;
/// How often shards and journal may change while a repair is at work. Each time it looks again.
const ROUNDS: u32 = 10;

/// Runs a command to its end; see `writer journal --help` for the exit codes.
pub async fn run(command: JournalCommand) -> ExitCode {
    let done = match command {
        JournalCommand::Show(args) => show(args).await,
        JournalCommand::Repair(args) => Box::pin(repair(args)).await,
    };
    done.unwrap_or_else(|error| {
        output::failure("writer journal", &error);
        ExitCode::from(UNREACHABLE)
    })
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&args.reach).await?;
    let directory = reach.directory(&args.directory)?;
    let readings = look::readings(&directory).await?;
    let looks = look::looks(&reach.journal, &readings).await?;
    let lines = show::lines(reach.journal.id(), &readings, &looks);
    show::tell(args.output, &lines)?;
    Ok(ExitCode::from(if show::all_good(&lines) { 0 } else { NOT_WELL }))
}

async fn repair(args: RepairArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&args.reach).await?;
    let directory = reach.directory(&args.directory)?;
    let journal = &reach.journal;
    let terms = Terms::new(journal, &args.from_journal, args.max_fillers);
    let mut told = Report { journal: journal.id().to_owned(), done: args.yes, ..Report::default() };
    for _ in 0..ROUNDS {
        let readings = look::readings(&directory).await?;
        let looks = look::looks(journal, &readings).await?;
        let decision = Decision::new(&readings, &looks, terms);
        if decision.is_nothing() {
            told.tell(args.output)?;
            return Ok(ExitCode::SUCCESS);
        }
        if args.yes && decision.may_work() {
            let mut carrier = Carrier { journal, directory: &directory, progress: Progress::default() };
            match Box::pin(carrier.carry_out(&decision, &readings)).await? {
                Ended::Well(done) => {
                    let parts = decision.works.iter().zip(&done);
                    told.partitions
                        .extend(parts.map(|((p, work), (_, scanned))| Part::new(*p, work, scanned.as_ref())));
                    let rest = Report::new(journal.id(), &decision);
                    told.given_over.extend(rest.given_over);
                    told.opened.extend(rest.opened);
                }
                Ended::Look(changed) => tracing::warn!(changed, "looking again"),
            }
        } else if args.yes && args.accept_loss && decision.may_accept() {
            told.losses.extend(accept_all(journal, &readings, &decision).await?);
        } else {
            let rest = would(journal, &directory, &decision, &readings).await?;
            told.and_left(rest).tell(args.output)?;
            say_how(&args, &decision);
            return Ok(ExitCode::from(NOT_WELL));
        }
    }
    anyhow::bail!(
        "shards or journal went on changing while they were repaired; stop the writers, and give the command again"
    )
}

/// What would be done: the same looks, and nothing is changed.
async fn would(
    journal: &Journal,
    directory: &Client,
    decision: &Decision,
    readings: &[Reading],
) -> anyhow::Result<Report> {
    let mut report = Report::new(journal.id(), decision);
    let mut progress = Progress::default();
    for (partition, work) in &decision.works {
        let scanned = if work.way == Way::Fill {
            let homes = homes::Homes::new(directory.clone(), journal.partitions(), false);
            Some(scan::Scan::new(journal, work, homes, None).run(&mut progress).await?)
        } else {
            None
        };
        report.partitions.push(Part::new(*partition, work, scanned.as_ref()));
    }
    let known = known::known(journal, readings, &decision.losses).await?;
    let losses = decision.losses.iter().zip(&known);
    report.losses = losses.flat_map(|((p, loss), known)| LossTold::all(*p, loss, known, false)).collect();
    Ok(report)
}

/// Accepts everything that is lost; what the journal has changed meanwhile is looked at again.
async fn accept_all(journal: &Journal, readings: &[Reading], decision: &Decision) -> anyhow::Result<Vec<LossTold>> {
    let known = known::known(journal, readings, &decision.losses).await?;
    let mut told = Vec::new();
    for ((partition, loss), known) in decision.losses.iter().zip(&known) {
        if accept::accept(journal, *partition, loss).await? {
            told.extend(LossTold::all(*partition, loss, known, true));
        } else {
            tracing::warn!(%partition, "the journal has changed meanwhile: looking again");
        }
    }
    Ok(told)
}

/// What has to be added to the command line, so that what is left is done.
fn say_how(args: &RepairArgs, decision: &Decision) {
    if decision.is_refused() {
        return;
    }
    match (args.yes, decision.losses.is_empty()) {
        (false, true) => output::note("writer journal: nothing was changed; to do what is shown above, add --yes"),
        (false, false) => {
            output::note(
                "writer journal: nothing was changed; to do what is shown above, add --yes, and --accept-loss for what is gone",
            );
        }
        (true, _) => output::note(
            "writer journal: what is gone was not accepted; where no newer copy can be put back, add --accept-loss",
        ),
    }
}
