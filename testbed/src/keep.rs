//! `testbed fleet`: a fleet in the foreground.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use sluice_testbed::{Fleet, Progress, describe::DescribeFile};
use tokio_util::sync::CancellationToken;

use crate::{args::FleetArgs, report};

/// How often one looks whether a process has ended. Somebody who kills one waits that long until it is quite gone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Starts a fleet and keeps it until interrupted, which is its regular end.
pub(crate) async fn run(args: &FleetArgs, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let Some(fleet) = stop.run_until_cancelled(Box::pin(Fleet::start(args.options()))).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut fleet = fleet?;
    let described = args.describe.as_deref().map(|path| DescribeFile::write(path, &fleet.describe())).transpose()?;
    report::addresses(&fleet)?;
    until_stopped(&mut fleet, stop).await;
    drop(described);
    fleet.stop();
    Ok(ExitCode::SUCCESS)
}

/// Waits for the interrupt. A process that somebody kills meanwhile is named, and stays dead: that somebody wants to see
/// what happens then.
pub(crate) async fn until_stopped(fleet: &mut Fleet, stop: &CancellationToken) {
    let mut told = BTreeSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        for process in fleet.processes() {
            if let Some(status) = process.ended()
                && told.insert(process.pid())
            {
                let (name, log) = (process.name(), process.log().display());
                Progress::Shown.line(&format!("{name} ended ({status}); its log: {log}"));
            }
        }
    }
}
