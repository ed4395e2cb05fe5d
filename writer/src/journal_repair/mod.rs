//! `writer journal show | repair`: what an administrator does about a journal that lost its end, or was made anew.
//!
//! What has happened then, what is done, in which order and why that may be killed anywhere, stands in [`sluice_journal::repair`].
//!
//! 1. [`cli`]: [`JournalCommand`], the command line.
//! 2. [`look`]: every shard and partition as they are now.
//! 3. [`plan`]: what one partition needs; [`decision`]: all of it, and who gives leave. Pure.
//! 4. [`survey`]: what of a partition has to be copied, pure; [`scan`] and [`homes`] read it and ask whose it is.
//! 5. [`work`]: carries it out.
//! 6. [`report`], [`show`], [`progress`]: what is told.

pub mod cli;
pub mod decision;
pub mod homes;
pub mod look;
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
        if !args.yes || !decision.refused.is_empty() {
            let rest = would(journal, &directory, &decision).await?;
            rest.tell(args.output)?;
            if decision.refused.is_empty() {
                output::note("writer journal: nothing was changed; to do what is shown above, add --yes");
            }
            return Ok(ExitCode::from(NOT_WELL));
        }
        let mut carrier = Carrier { journal, directory: &directory, progress: Progress::default() };
        match Box::pin(carrier.carry_out(&decision, &readings)).await? {
            Ended::Well(done) => {
                let parts = decision.works.iter().zip(&done);
                told.partitions.extend(parts.map(|((p, work), (_, scanned))| Part::new(*p, work, scanned.as_ref())));
                let rest = Report::new(journal.id(), &decision);
                told.given_over.extend(rest.given_over);
                told.opened.extend(rest.opened);
            }
            Ended::Look(changed) => tracing::warn!(changed, "looking again"),
        }
    }
    anyhow::bail!(
        "shards or journal went on changing while they were repaired; stop the writers, and give the command again"
    )
}

/// What would be done: the same looks, and nothing is changed.
async fn would(journal: &Journal, directory: &Client, decision: &Decision) -> anyhow::Result<Report> {
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
    Ok(report)
}
