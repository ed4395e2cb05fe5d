//! What it costs to find out where a customer belongs: from memory, and by asking the directory.

use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use sluice_directory::{Client, RouteAnswer};
use sluice_model::{CustomerId, PartitionCount, Position};
use sluice_service::tokens::Token;
use sluice_writer::router::cache::Cache;

use crate::{Fleet, memory::Memory};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Customers in the cache that is measured.
const CACHED: usize = 1_000_000;
/// Customers of a batch.
const BATCH: usize = 1_000;

/// One kind of look-up.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// What was asked.
    pub what: String,
    /// How often.
    pub samples: usize,
    /// Half of them took no longer, in nanoseconds.
    pub p50_ns: u64,
    /// All but one in a hundred took no longer.
    pub p99_ns: u64,
}

/// All kinds.
#[derive(Debug, Clone, Serialize)]
pub struct Lookups {
    /// In the order of their measuring.
    pub costs: Vec<Cost>,
    /// How much more memory this process has with a million customers in a cache.
    pub cache_bytes: u64,
}

/// Measures each kind so many times, a batch a tenth as often.
///
/// # Errors
/// Where the directory does not answer as it should.
pub async fn measure(fleet: &Fleet, samples: usize) -> anyhow::Result<Lookups> {
    let mut costs = Vec::new();
    // What fits into the processor's own memory, and what does not.
    costs.push(cached(10_000)?.0);
    let (cached, cache_bytes) = cached(CACHED)?;
    costs.push(cached);
    let faces = [
        ("NATS", Client::over_nats(fleet.nats_client().await?, TIMEOUT)),
        ("HTTP", Client::over_http(&fleet.directory_url(), TIMEOUT, Some(Token::given(&fleet.tokens().reader)?))?),
    ];
    for (face, client) in &faces {
        let asker = Asker { client, partitions: fleet.partitions() };
        // A connection is made at the first question.
        asker.ask(&customers(face, 0, 1)).await?;
        costs.push(asker.series(&format!("{face}: one known customer"), samples, |_| customers(face, 0, 1)).await?);
        let new = |sample| customers(face, 1 + sample, 1);
        costs.push(asker.series(&format!("{face}: one new customer, placed"), samples, new).await?);
        let new = |sample| customers(face, 1_000_000 + sample * BATCH, BATCH);
        let batches = (samples / 10).max(1);
        costs.push(asker.series(&format!("{face}: {BATCH} new customers in one request"), batches, new).await?);
        costs.push(asker.series(&format!("{face}: {BATCH} known customers in one request"), batches, new).await?);
    }
    Ok(Lookups { costs, cache_bytes })
}

/// Customers of one face's own, from this number on.
fn customers(face: &str, from: usize, count: usize) -> Vec<CustomerId> {
    let customer = |number| format!("{face}-{number}").parse().expect("letters, digits and a dash");
    (from..from + count).map(customer).collect()
}

struct Asker<'a> {
    client: &'a Client,
    partitions: PartitionCount,
}

impl Asker<'_> {
    async fn series(
        &self,
        what: &str,
        samples: usize,
        questions: impl Fn(usize) -> Vec<CustomerId>,
    ) -> anyhow::Result<Cost> {
        let mut took = Vec::with_capacity(samples);
        for sample in 0..samples {
            let customers = questions(sample);
            let begun = Instant::now();
            self.ask(&customers).await.with_context(|| what.to_owned())?;
            took.push(nanos(begun.elapsed()));
        }
        Ok(cost(what, took))
    }

    async fn ask(&self, customers: &[CustomerId]) -> anyhow::Result<()> {
        let first = |customer: &CustomerId| Position::first(self.partitions.of(customer));
        let questions: Vec<_> = customers.iter().map(|customer| (customer.clone(), first(customer))).collect();
        let answers = self.client.write_routes(&questions).await?;
        let placed = answers.iter().filter(|answer| matches!(answer, RouteAnswer::Placed(_))).count();
        ensure!(placed == customers.len(), "{placed} of {} customers are placed", customers.len());
        Ok(())
    }
}

/// The writer's own cache, with so many customers, asked for each in an order that no processor's cache foresees.
fn cached(customers: usize) -> anyhow::Result<(Cost, u64)> {
    const ROUND: usize = 1_000;
    let before = Memory::of(std::process::id())?.resident;
    let mut cache = Cache::new(customers);
    for number in 0..customers {
        cache.insert(format!("customer-{number}").parse()?, number % 3);
    }
    let bytes = Memory::of(std::process::id())?.resident.saturating_sub(before);
    // A step that shares no factor with the number of customers meets each of them once.
    let names: Vec<_> = (0..customers).map(|index| format!("customer-{}", index * 611_953 % customers)).collect();
    let mut took = Vec::new();
    for names in names.chunks(ROUND) {
        let begun = Instant::now();
        let known = names.iter().filter(|name| cache.touch(name) && black_box(cache.get(name)).is_some()).count();
        took.push(nanos(begun.elapsed()) / ROUND as u64);
        ensure!(known == names.len(), "the cache forgot somebody");
    }
    Ok((cost(&format!("from memory: one of {customers} customers"), took), bytes))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn cost(what: &str, mut took: Vec<u64>) -> Cost {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    Cost { what: what.to_owned(), samples: took.len(), p50_ns: at(50), p99_ns: at(99) }
}

impl fmt::Display for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["look-up", "samples", "p50", "p99"]);
        for cost in &self.costs {
            let time = |ns| format!("{:.1?}", Duration::from_nanos(ns));
            table.add_row([cost.what.clone(), cost.samples.to_string(), time(cost.p50_ns), time(cost.p99_ns)]);
        }
        writeln!(f, "{table}")?;
        write!(f, "1,000,000 customers in memory: {:.0} MiB", self.cache_bytes as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let cost = cost("x", (0..=100).rev().collect());
        assert_eq!((cost.samples, cost.p50_ns, cost.p99_ns), (101, 50, 99));
    }
}
