//! `writer dead list | show | replay | drop`: what an administrator does about events that can never become a row.
//!
//! 1. [`cli`]: [`DeadCommand`], the command line.
//! 2. [`reach`]: the connections that a command needs.
//! 3. [`select`]: which dead letters are meant.
//! 4. [`replay`]: one dead event back into the journal, once; [`home`]: what its shard says about it
//!    first; [`outlook`]: what would become of it.
//! 5. [`discard`]: one dead letter dropped.
//! 6. [`report`]: a table for people, JSON for programs.
//!
//! How a replay stays single, whoever dies in between, is the journal's: [`sluice_journal::dead::replay`].

pub mod cli;
pub mod discard;
pub mod home;
pub mod outlook;
pub mod reach;
pub mod replay;
pub mod report;
pub mod select;

use std::process::ExitCode;

use anyhow::Context;
pub use cli::DeadCommand;
use cli::{DropArgs, ListArgs, Output, ReplayArgs, ShowArgs};
use reach::Reach;
use report::{Act, Shown};
use sluice_service::output;

/// Something was refused or failed; the others of the command were done.
const REFUSED: u8 = 1;
/// A question that makes no sense, or somebody did not answer.
const UNREACHABLE: u8 = 2;

/// Runs a command to its end; see `writer dead --help` for the exit codes.
pub async fn run(command: DeadCommand) -> ExitCode {
    let done = match command {
        DeadCommand::List(args) => list(args).await,
        DeadCommand::Show(args) => show(args).await,
        DeadCommand::Replay(args) => Box::pin(replay_all(args)).await,
        DeadCommand::Drop(args) => drop_all(args).await,
    };
    done.unwrap_or_else(|error| {
        output::failure("writer dead", &error);
        ExitCode::from(UNREACHABLE)
    })
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&args.reach).await?;
    let letters = reach.list().await?;
    let wanted = letters.iter().filter(|letter| args.tombstones || !letter.state.is_tombstone());
    let wanted: Vec<_> =
        wanted.filter(|letter| select::is_meant(letter, args.reason, args.customer.as_deref())).collect();
    report::list(args.output, &wanted)?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&args.reach).await?;
    let found = match reach.dead.find(args.id).await? {
        Some(letter) => Some(letter),
        None => reach.dead.find_shared(args.id).await?,
    };
    let Some(letter) = found else {
        output::note(format_args!(
            "writer dead: event {} has no dead letter; `writer dead list --tombstones` names all",
            args.id
        ));
        return Ok(ExitCode::from(REFUSED));
    };
    report::show(args.output, &Shown::new(&letter))?;
    Ok(ExitCode::SUCCESS)
}

async fn replay_all(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&args.reach).await?;
    let ids = select::ids(&reach, &args.selection).await?;
    let mut homes = home::Homes::new(reach.directory(&args.directory)?, reach.journal.id());
    let mut acts = Vec::with_capacity(ids.len());
    for id in ids {
        match replay::one(&reach.dead, &mut homes, id, args.dry_run).await {
            Ok(act) => acts.push(act),
            // What was done stays done, and is told.
            Err(error) => return Err(interrupted(args.output, &acts, error.context(format!("replay event {id}")))),
        }
    }
    finish(args.output, &acts)
}

async fn drop_all(args: DropArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&args.reach).await?;
    let ids = select::ids(&reach, &args.selection).await?;
    let only_show = args.dry_run || !args.yes;
    let mut acts = Vec::with_capacity(ids.len());
    for id in ids {
        match discard::one(&reach.dead, id, only_show, args.force).await {
            Ok(act) => acts.push(act),
            Err(error) => return Err(interrupted(args.output, &acts, error.context(format!("drop event {id}")))),
        }
    }
    let code = finish(args.output, &acts)?;
    if !args.dry_run && !args.yes {
        anyhow::bail!("nothing was dropped; to drop what is shown above, add --yes");
    }
    Ok(code)
}

fn finish(output: Output, acts: &[Act]) -> anyhow::Result<ExitCode> {
    report::acts(output, acts)?;
    let refused = acts.iter().any(Act::is_refused);
    Ok(if refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn interrupted(output: Output, acts: &[Act], error: anyhow::Error) -> anyhow::Error {
    match report::acts(output, acts).context("tell what was done") {
        Ok(()) => error.context("stopped early; the same command may be given again: it does nothing twice"),
        Err(untold) => untold,
    }
}
