//! The functions that every event goes through, one by one: `cargo bench --workspace --bench pure_parts`. `cargo test` runs each once.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sluice_bench::events::Events;
use sluice_model::{PartitionCount, Rows, message};
use sluice_shard::copy_format;
use sluice_writer::router::cache::Cache;

const CUSTOMERS: u64 = 10_000;
const ROWS: u64 = 10_000;

fn partitions() -> PartitionCount {
    PartitionCount::try_from(4).expect("4 is from 1 to 512")
}

fn decode(criterion: &mut Criterion) {
    for events in [1, 100] {
        let message = Events { customers: CUSTOMERS, per_message: events, messages: 1 };
        let (customer, payload) = (message.customer(0), message.payload(0).into_payload());
        let mut group = criterion.benchmark_group("decode");
        group.throughput(Throughput::Elements(events));
        group.bench_function(format!("a message of {events}"), |bencher| {
            bencher.iter(|| message::decode(black_box(&payload), &customer).filter(Result::is_ok).count());
        });
        group.finish();
    }
}

fn partition(criterion: &mut Criterion) {
    let customer = Events { customers: CUSTOMERS, per_message: 1, messages: 1 }.customer(7);
    criterion.bench_function("the partition of a customer", |bencher| {
        bencher.iter(|| partitions().of(black_box(&customer)));
    });
}

fn route(criterion: &mut Criterion) {
    let events = Events { customers: CUSTOMERS, per_message: 1, messages: CUSTOMERS };
    let customers: Vec<_> = (0..CUSTOMERS).map(|message| events.customer(message)).collect();
    let mut cache = Cache::new(customers.len());
    customers.iter().enumerate().for_each(|(number, customer)| cache.insert(customer.clone(), number));
    let mut next = customers.iter().cycle();
    criterion.bench_function("the route of one of 10,000 customers", |bencher| {
        bencher.iter(|| {
            let customer = next.next().expect("a cycle has no end").as_str();
            cache.touch(black_box(customer)) && cache.get(customer).is_some()
        });
    });
}

fn rows(per_message: u64) -> Rows {
    let events = Events { customers: CUSTOMERS, per_message, messages: ROWS / per_message };
    events.rows(1, partitions()).pop().expect("there is one shard")
}

fn sort(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sort");
    group.throughput(Throughput::Elements(ROWS));
    for per_message in [1, 100] {
        let rows = rows(per_message);
        group.bench_function(format!("a batch of 10,000 rows, {per_message} of each message"), |bencher| {
            bencher.iter_batched_ref(|| rows.clone(), Rows::sort, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS));
    let (rows, mut buffer) = (rows(1), Vec::new());
    group.bench_function("10,000 rows as COPY takes them", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            rows.iter().for_each(|row| copy_format::encode(row, &mut buffer));
            buffer.len()
        });
    });
    group.finish();
}

criterion_group!(pure_parts, decode, partition, route, sort, encode);
criterion_main!(pure_parts);
