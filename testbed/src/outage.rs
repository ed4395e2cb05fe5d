//! One of three shards is down for a while under steady load: what do the other two feel, how much memory does the writer take,
//! and how soon is the shard level again? [`measure`] gives the figures; `testbed outage` prints them, and a proof judges them.

mod bound;
mod figures;

use std::time::{Duration, Instant};

use anyhow::Context;
use sluice_model::CustomerId;

pub use self::{
    bound::memory_bound,
    figures::{Figures, Latencies},
};
use crate::{
    arrivals::{Arrival, Arrivals},
    fleet::Fleet,
    options::FleetOptions,
    traffic::{Load, Receiver, Traffic, now},
    wait,
};

/// Customers of each shard.
const CUSTOMERS: u16 = 10;
/// Events of the customers whose rows are looked for, a second: four fifths of them of the shards that stay up.
const PROBES_PER_S: u32 = 250;
/// Load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// A shard is level once its rows come as soon as this again.
const LEVEL: Duration = Duration::from_secs(1);
/// Load after the shard is level.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// A shard that is not level by then never will be.
const LEVEL_WITHIN: Duration = Duration::from_secs(300);
/// The shard that goes down, of three.
const DOWN: usize = 2;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Outage {
    /// Events a second, of all customers together.
    pub rate: u32,
    /// Events of each message, as ingest packs them under load.
    pub events_per_message: u32,
    /// How long all is well.
    pub before: Duration,
    /// How long the shard is down.
    pub down: Duration,
}

/// Measures on a fleet of three PostgreSQL shards that has just been started with these options.
///
/// # Errors
/// Where something fails that is not to be measured. What is measured and bad is in the figures.
pub async fn measure(fleet: &mut Fleet, options: &FleetOptions, outage: &Outage) -> anyhow::Result<Figures> {
    let probes = place(fleet).await?;
    let idle = fleet.writer().memory()?;
    let traffic = background(fleet, outage).await?;
    let probing = probe(fleet, &probes).await?;
    let mut healthy = Vec::new();
    for (shard, customer) in probes.iter().filter(|(shard, _)| *shard != DOWN) {
        healthy.push(Arrivals::follow(&fleet.shards()[*shard].address, customer).await?);
    }
    tokio::time::sleep(WARM_UP).await;

    let began = now();
    tokio::time::sleep(outage.before).await;
    let down = now();
    fleet.servers()[DOWN].kill();
    let most_resident = most_resident(fleet, outage.down).await?;
    let up = now();
    fleet.servers()[DOWN].restart().await?;
    let back = now();
    let level = level(fleet, &probes, back).await?;
    tokio::time::sleep(AFTERWARDS).await;

    let (sent, probed) = (traffic.stop().await?, probing.stop().await?);
    let verified = fleet.verify().await?;
    let rows = |from: Duration, to: Duration| -> Vec<Arrival> {
        let all = healthy.iter().flat_map(Arrivals::new_so_far);
        all.filter(|arrival| from <= arrival.published && arrival.published < to).collect()
    };
    Ok(Figures {
        sent: sent.total() + probed.total(),
        unknown: sent.unknown + probed.unknown,
        before: Latencies::of(&rows(began, down)),
        down: Latencies::of(&rows(down, up)),
        catching_up: Latencies::of(&rows(back, level)),
        idle_bytes: idle.resident,
        most_resident_bytes: most_resident,
        peak_bytes: fleet.writer().memory()?.peak,
        bound_bytes: idle.resident + memory_bound(options)?,
        away: back.saturating_sub(down),
        level_after: level.saturating_sub(back),
        verified: verified.ok,
    })
}

/// Puts each shard's customers on it; gives those whose rows are looked for: of the shards that stay up one of each partition.
async fn place(fleet: &Fleet) -> anyhow::Result<Vec<(usize, String)>> {
    let admin = fleet.admin()?;
    for (index, shard) in fleet.shards().iter().enumerate() {
        for number in 0..CUSTOMERS {
            admin.place(&customer(index, number), &shard.name).await?;
        }
    }
    let mut probes = vec![(DOWN, "probe-down".to_owned())];
    for partition in fleet.partitions().all() {
        let mut names = (0..10_000).map(|n| format!("probe-{partition}-{n}"));
        let of_this = |name: &String| {
            name.parse::<CustomerId>().is_ok_and(|customer| fleet.partitions().of(&customer) == partition)
        };
        let name = names.find(of_this).context("no name falls into a partition")?;
        probes.push((usize::from(partition.number()) % DOWN, name));
    }
    for (shard, probe) in &probes {
        admin.place(probe, &fleet.shards()[*shard].name).await?;
    }
    Ok(probes)
}

fn customer(shard: usize, number: u16) -> String {
    format!("c{shard}-{number}")
}

async fn background(fleet: &Fleet, outage: &Outage) -> anyhow::Result<Traffic> {
    let customers = (0..CUSTOMERS).flat_map(|number| (0..=DOWN).map(move |shard| customer(shard, number)));
    let load = Load {
        receivers: customers.map(|customer| Receiver::small(&customer)).collect(),
        messages_per_s: outage.rate / outage.events_per_message,
        events_per_message: outage.events_per_message,
    };
    Traffic::start(fleet, load).await
}

async fn probe(fleet: &Fleet, probes: &[(usize, String)]) -> anyhow::Result<Traffic> {
    let receivers = probes.iter().map(|(_, customer)| Receiver::small(customer)).collect();
    let load = Load { receivers, messages_per_s: PROBES_PER_S, events_per_message: 1 };
    Traffic::start(fleet, load).await
}

/// Waits; gives the most memory that the writer had meanwhile.
async fn most_resident(fleet: &mut Fleet, time: Duration) -> anyhow::Result<u64> {
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < time {
        most = most.max(fleet.writer().memory()?.resident);
        tokio::time::sleep(wait::INTERVAL).await;
    }
    Ok(most)
}

/// Waits until a row that was published since then comes soon; gives the time at which it came.
async fn level(fleet: &Fleet, probes: &[(usize, String)], back: Duration) -> anyhow::Result<Duration> {
    let (shard, customer) = probes.iter().find(|(shard, _)| *shard == DOWN).context("the shard has a probe")?;
    let arrivals = Arrivals::follow(&fleet.shards()[*shard].address, customer).await?;
    let soon = |arrival: &Arrival| arrival.published >= back && arrival.latency < LEVEL;
    let come = || std::future::ready(arrivals.so_far().iter().any(soon));
    wait::until("a shard that is level again", LEVEL_WITHIN, come).await?;
    let first = arrivals.so_far().into_iter().find(soon).context("it was there just now")?;
    Ok(first.published + first.latency)
}
