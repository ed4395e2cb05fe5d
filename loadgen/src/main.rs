//! `loadgen`: see the library's page. Exit status: 0 all is well, 1 something failed or is wrong, 2 it could not be
//! found out, 130 interrupted.

use std::process::ExitCode;

use sluice_loadgen::{
    args::{Cli, Command},
    compare, run, verify,
};
use sluice_service::{output, settings, shutdown, telemetry};

const WRONG: u8 = 1;
const UNKNOWN: u8 = 2;
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let (cli, settings): (Cli, _) = settings::parse();
    settings.warn();
    match execute(&cli).await {
        Ok(code) => code,
        Err(error) => {
            output::failure("loadgen", &error);
            ExitCode::from(UNKNOWN)
        }
    }
}

async fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    telemetry::init(&cli.telemetry)?;
    match &cli.command {
        Command::Run(args) => {
            let stop = shutdown::on_signal()?;
            let summary = Box::pin(run::run(args, stop.clone())).await?;
            summary.tell(args.json)?;
            Ok(match summary {
                summary if summary.whole.failed > 0 => ExitCode::from(WRONG),
                _ if stop.is_cancelled() => ExitCode::from(INTERRUPTED),
                _ => ExitCode::SUCCESS,
            })
        }
        Command::Compare(args) => {
            compare::run(args)?.tell(args.output())?;
            Ok(ExitCode::SUCCESS)
        }
        // Interrupted, it simply ends: it changes nothing anywhere.
        Command::Verify(args) => {
            let report = Box::pin(verify::run(args)).await?;
            report.tell(args.json)?;
            Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
        }
    }
}
