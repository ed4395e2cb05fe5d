//! `cargo bench-fleet`. Exit status: 0 measured, whatever the figures; 1 something failed; 130 interrupted.

use std::process::ExitCode;

use sluice_bench::{
    args::{Cli, Plan, Scenario},
    dead_shard, drain,
    finding::Finding,
    growth, latency, nothing,
    report::Report,
    singles, sync, uploads,
};
use sluice_service::{
    outln, output, shutdown,
    telemetry::{self, LogFormat, TelemetryArgs},
};
use sluice_shard::Flavor;

const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    match execute(&Cli::read(std::env::args_os())).await {
        Ok(code) => code,
        Err(error) => output::failure("bench-fleet", &error),
    }
}

async fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    // Counting millions of rows is slow, and no news.
    let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,sqlx=error".into());
    telemetry::init(&TelemetryArgs { log_format: LogFormat::Text, log })?;
    let stop = shutdown::on_signal()?;
    if let Some(address) = cli.listen {
        nothing::serve(address, stop).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = cli.plan();
    let measured = async {
        let mut findings = Vec::new();
        for scenario in cli.scenarios() {
            plan.progress.line(&format!("scenario {scenario:?}"));
            let found = Box::pin(run(scenario, &plan)).await?;
            // All of it takes long: what is known is shown.
            plan.progress.line(&Report(&found).to_string());
            findings.extend(found);
        }
        anyhow::Ok(findings)
    };
    let Some(findings) = stop.run_until_cancelled(measured).await else { return Ok(ExitCode::from(INTERRUPTED)) };
    let findings = findings?;
    if cli.json {
        output::line(serde_json::to_string_pretty(&findings)?)?;
    } else {
        outln!("\n{}", Report(&findings))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(scenario: Scenario, plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    match scenario {
        Scenario::A => drain::singles(plan, 'A', Flavor::Postgres).await,
        Scenario::B => drain::packed(plan).await,
        Scenario::C => singles::compare(plan).await,
        Scenario::D => uploads::compare(plan).await,
        Scenario::E => latency::compare(plan).await,
        Scenario::F => growth::compare(plan).await,
        Scenario::G => dead_shard::compare(plan).await,
        Scenario::H => {
            let mariadb = drain::singles(plan, 'H', Flavor::Mysql).await?;
            Ok([mariadb, drain::singles(plan, 'H', Flavor::Sqlite).await?].concat())
        }
        Scenario::I => sync::compare(plan).await,
    }
}
