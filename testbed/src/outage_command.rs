//! `testbed outage`: one of three PostgreSQL shards is down for a while, in figures.

use std::{process::ExitCode, time::Duration};

use sluice_service::outln;
use sluice_testbed::{
    Fleet, FleetOptions, Progress,
    outage::{Outage, measure},
};
use tokio_util::sync::CancellationToken;

use crate::args::OutageArgs;

const INTERRUPTED: u8 = 130;

/// Runs it. 0: all is as it should be. 1: something is not.
pub(crate) async fn run(args: &OutageArgs, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let options = args.options();
    let measured = async {
        let mut fleet = Fleet::start(options.clone()).await?;
        let (before, down) = (args.before_s, args.down_s);
        let step =
            Progress::Shown.step(&format!("{before} s of load, {down} s with a shard down, and until it is level"));
        let figures = measure(&mut fleet, &options, &args.outage()).await?;
        step.done();
        fleet.stop();
        anyhow::Ok(figures)
    };
    let Some(figures) = stop.run_until_cancelled(Box::pin(measured)).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let figures = figures?;
    outln!("\n{figures}")?;
    let complaints = figures.complaints(Duration::ZERO);
    complaints.iter().try_for_each(|complaint| outln!("NOT SO: {complaint}"))?;
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl OutageArgs {
    fn outage(&self) -> Outage {
        Outage {
            rate: self.rate,
            events_per_message: self.events_per_message,
            before: Duration::from_secs(self.before_s),
            down: Duration::from_secs(self.down_s),
        }
    }

    fn options(&self) -> FleetOptions {
        FleetOptions { shard_count: 3, ..self.fleet_options() }
    }
}
