//! `testbed lookups`: what it costs to find out where a customer belongs.

use std::process::ExitCode;

use sluice_service::{outln, output};
use sluice_testbed::{Fleet, Progress, lookups::measure};
use tokio_util::sync::CancellationToken;

use crate::args::LookupsArgs;

const INTERRUPTED: u8 = 130;

/// Runs it.
pub(crate) async fn run(args: &LookupsArgs, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let measured = async {
        let fleet = Fleet::start(args.options()).await?;
        let step = Progress::Shown.step("asking");
        let lookups = measure(&fleet, args.samples).await?;
        step.done();
        fleet.stop();
        anyhow::Ok(lookups)
    };
    let Some(lookups) = stop.run_until_cancelled(Box::pin(measured)).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let lookups = lookups?;
    if args.json {
        output::line(serde_json::to_string_pretty(&lookups)?)?;
    } else {
        outln!("\n{lookups}")?;
    }
    Ok(ExitCode::SUCCESS)
}
