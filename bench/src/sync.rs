//! Scenario I: what it costs that the server acknowledges only what the disk has.

use std::collections::BTreeMap;

use crate::{
    args::Plan,
    finding::{Finding, Goal, Round},
    singles,
    uploads::{self, Uploads},
};

/// Scenarios C and D on two fleets, one after the other in each round.
///
/// # Errors
/// Where something fails, or a row is missing.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let customers = plan.small(10_000);
    let (always, lazy) = (singles::stage(plan, true).await?, singles::stage(plan, false).await?);
    let requests = [
        singles::requests(singles::ingest(&always)?, customers),
        singles::requests(singles::ingest(&lazy)?, customers),
    ];
    let uploads = Uploads::default();
    for (stage, requests) in [&always, &lazy].into_iter().zip(&requests) {
        singles::accept(stage, requests, plan.seconds(3)).await?;
    }
    let (mut posts, mut many) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let step = plan.progress.step(&format!("  round {round} of {}", plan.rounds));
        let one = singles::accept(&lazy, &requests[1], plan.seconds(5)).await?.posted.rate();
        let other = singles::accept(&always, &requests[0], plan.seconds(5)).await?.posted.rate();
        posts.push(Round::ratio(one, other));
        let one = uploads::events_per_s(&uploads.upload(&lazy, plan.seconds(5)).await?.0);
        let other = uploads::events_per_s(&uploads.upload(&always, plan.seconds(5)).await?.0);
        many.push(Round::ratio(one, other));
        step.done();
    }
    always.fleet.stop();
    lazy.fleet.stop();
    let finding = |what: String, unit, rounds| Finding {
        scenario: 'I',
        what,
        against: "sync_interval: always".to_owned(),
        unit,
        goal: Goal::Known,
        rounds,
        cpu_us: BTreeMap::new(),
        other_cpu_us: BTreeMap::new(),
    };
    Ok(vec![
        finding(format!("single posts, {customers} customers, the server's default sync"), "/s", posts),
        finding("uploads of 1,000 lines, the server's default sync".to_owned(), "events/s", many),
    ])
}
