//! `testbed soak`.

use std::{io, process::ExitCode};

use comfy_table::{CellAlignment, Table, presets};
use sluice_service::{outln, output};
use sluice_testbed::soak::{self, Outcome, SoakOptions};
use tokio_util::sync::CancellationToken;

use crate::args::SoakArgs;

const INTERRUPTED: u8 = 130;

/// Runs it. 0: every event is accounted for. 1: one is not.
pub(crate) async fn run(args: &SoakArgs, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let options = args.options();
    if args.dry_run {
        schedule(&options)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(outcome) = stop.run_until_cancelled(Box::pin(soak::run(&options))).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let outcome = outcome?;
    if args.json {
        output::line(serde_json::to_string_pretty(&outcome)?)?;
    } else {
        report(&outcome)?;
    }
    Ok(if outcome.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn schedule(options: &SoakOptions) -> io::Result<()> {
    for moment in options.schedule().moments() {
        outln!("{:7.1} s  {moment}", moment.at().as_secs_f64())?;
    }
    Ok(())
}

fn report(outcome: &Outcome) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["fault", "times"]);
    for (fault, times) in &outcome.faults {
        table.add_row([fault.clone(), times.to_string()]);
    }
    table.column_mut(1).expect("there are two columns").set_cell_alignment(CellAlignment::Right);
    outln!("\n{table}\n")?;
    let account = &outcome.account;
    outln!("seed {}: {} faults in {:.0} s", outcome.seed, outcome.fault_count(), outcome.seconds)?;
    outln!(
        "writers:      {} times one joined or left during an outage of a shard",
        outcome.writer_changes_during_outages
    )?;
    outln!("accepted:     {} events, and {} of unknown outcome", account.accepted, account.unknown)?;
    let lost = (account.lost, account.perhaps_lost, account.rows_of_lost);
    outln!(
        "lost:         {} of them with the journal's end, {} perhaps; {} of these have rows",
        lost.0,
        lost.1,
        lost.2
    )?;
    outln!("rows:         {}, {} of them of unknown outcome", account.rows, account.rows_of_unknown)?;
    outln!(
        "wrong:        {} missing, {} doubled, {} from nowhere, {} with other contents",
        account.missing,
        account.doubled,
        account.from_nowhere,
        account.changed
    )?;
    let bad = (account.bad_accepted, account.bad_unknown);
    outln!("dead letters: {} of {} bad events, and {} of unknown outcome or lost", account.dead_letters, bad.0, bad.1)?;
    account.wrong.iter().try_for_each(|wrong| outln!("  {wrong}"))?;
    outln!("verified:     {}", if outcome.verified { "every row is right" } else { "ROWS ARE WRONG" })?;
    outcome.wrong.iter().try_for_each(|wrong| outln!("  {wrong}"))
}
