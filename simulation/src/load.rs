//! Events, as publishers store them.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use sluice_journal::fate::REPLY_HEADER;
use sluice_model::{CustomerId, Position};
use tokio::time::Instant;

use crate::{chance::Chance, oracle::POISON, world::World};

/// The most messages of a flood. More: each seed with one takes seconds.
const FLOOD_MESSAGES: u64 = 3;

/// Publishes until the time is over.
pub async fn run(world: World, mut chance: Chance) {
    let plan = world.plan().clone();
    let until = Instant::now() + Duration::from_millis(plan.lasts_ms);
    let mut number = 0;
    if plan.flood_lines > 0 {
        tokio::spawn(flood(world.clone(), chance.clone()));
    }
    while Instant::now() < until && number < plan.events {
        // Some come at once, and then none for a while.
        for _ in 0..chance.magnitude(1, 16) {
            number += 1;
            publish(&world, &mut chance, number);
        }
        tokio::time::sleep(Duration::from_millis(chance.between(0, 4 * plan.events_apart_ms))).await;
    }
}

/// At some moment one publisher sends messages of many lines, none of which can become a row, or all but one.
async fn flood(world: World, mut chance: Chance) {
    let plan = world.plan();
    tokio::time::sleep(Duration::from_millis(chance.between(0, plan.lasts_ms))).await;
    for number in 0..chance.between(1, FLOOD_MESSAGES) {
        let customer: CustomerId =
            format!("c{}", chance.between(1, plan.customers)).parse().expect("a letter and digits");
        let kind = chance.draw();
        let mut lines: Vec<String> =
            (0..plan.flood_lines).map(|line| bad_line(kind, &format!("flood {number}.{line}"))).collect();
        if chance.once_in(2) {
            lines[0] = format!(r#"{{"name":"good {number}","address":"a"}}"#);
        }
        let subject = format!("journal.{}.person.create.{customer}", plan.partitions.of(&customer));
        let stored = world.server().publish(&subject, HeaderMap::new(), Bytes::from(lines.join("\n")));
        world.note(&format!("a flood: {subject}, {} lines, is stored at {stored:?}", lines.len()));
    }
}

fn publish(world: &World, chance: &mut Chance, number: u64) {
    let plan = world.plan();
    let customer: CustomerId = format!("c{}", chance.between(1, plan.customers)).parse().expect("a letter and digits");
    let partition = plan.partitions.of(&customer);
    let is_bad = chance.once_in(plan.bad_once_in);
    let mut subject = format!("journal.{partition}.person.create.{customer}");
    let mut lines =
        if is_bad && chance.once_in(2) { vec![bad_line(chance.draw(), &number.to_string())] } else { Vec::new() };
    if is_bad && lines.is_empty() {
        // Nobody's: a subject that says nothing, or another partition than the customer's.
        if chance.once_in(2) {
            subject = format!("journal.{partition}.person.drop.{customer}");
        } else {
            let other = (partition.number() + 1) % plan.partitions.get();
            subject = format!("journal.{other}.person.create.{customer}");
        }
    } else {
        for line in 0..chance.between(u64::from(lines.is_empty()), 4) {
            lines.push(format!(r#"{{"name":"n{number}.{line}","address":"a"}}"#));
        }
    }
    if lines.is_empty() {
        lines.push(format!(r#"{{"name":"n{number}","address":"nobody's"}}"#));
    }
    let mut headers = HeaderMap::new();
    let inbox = format!("_INBOX.waits.{number}");
    let waits = chance.once_in(4);
    if waits {
        headers.insert(REPLY_HEADER, inbox.as_str());
    }
    let stored = world.server().publish(&subject, headers, Bytes::from(lines.join("\n")));
    match stored.and_then(Position::new) {
        Some(position) => {
            if waits {
                world.waits(&inbox, position);
            }
            world.note(&format!("{subject} is stored at {position:?}, {} events", lines.len()));
        }
        None => world.note(&format!("{subject} is not stored")),
    }
}

fn bad_line(kind: u64, number: &str) -> String {
    match kind % 3 {
        0 => format!(r#"{{"name":"{POISON} {number}","address":"a"}}"#),
        1 => format!(r#"{{"name":"n{number}","address":17}}"#),
        _ => "nonsense".to_owned(),
    }
}
