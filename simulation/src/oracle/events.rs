//! What a message means, worked out without the writer.

use std::collections::BTreeMap;

use sluice_directory::client::memory::MemoryDirectory;
use sluice_model::{CustomerId, PartitionCount, Position, message};
use sluice_shard::memory::Row;

use super::past::Message;

/// The word in a name for which every database in memory refuses a row.
pub const POISON: &str = "poison";

/// What is due of some messages.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Rows of one shard, by id.
    pub(super) rows: BTreeMap<i64, Row>,
    /// Their messages' stamps.
    pub(super) stamps: Vec<(i64, i64)>,
    /// Events of that shard that can never become a row, with their message's stamp.
    pub(super) dead: Vec<(i64, i64)>,
    /// Events that are no shard's.
    pub(super) nobodys: Vec<(i64, i64)>,
}

impl Due {
    pub(super) fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.stamps.extend(other.stamps);
        self.dead.extend(other.dead);
        self.nobodys.extend(other.nobodys);
    }
}

/// Where a customer's event belongs.
enum Place {
    Shard(String),
    Refused,
}

/// How many events a message has.
pub(super) fn count(message: &Message) -> usize {
    match customer_of(message) {
        Some(customer) => message::events(&message.payload, &customer).count(),
        None => 1,
    }
}

/// What is due of a message on a shard.
pub(super) fn due(
    message: &Message,
    shard: &str,
    partitions: PartitionCount,
    directory: &MemoryDirectory,
) -> Result<Due, String> {
    let mut due = Due::default();
    let partition = message.position.partition();
    let customer = customer_of(message).filter(|customer| partitions.of(customer) == partition);
    let Some(customer) = customer else {
        due.nobodys.push((message.position.event(0).get(), message.stamp));
        return Ok(due);
    };
    let place = place(&customer, message.position, directory)
        .ok_or_else(|| format!("{:?} is passed before it is known where {customer} belongs", message.position))?;
    for (index, event) in message::events(&message.payload, &customer).enumerate() {
        let id = message.position.event(index).get();
        match (&place, event.person) {
            (Place::Refused, _) => due.nobodys.push((id, message.stamp)),
            (Place::Shard(of), _) if of != shard => {}
            (Place::Shard(_), Ok(person)) if !person.name.contains(POISON) => {
                let (name, address) = (person.name.into_owned(), person.address.into_owned());
                due.stamps.push((id, message.stamp));
                due.rows.insert(id, Row { customer: customer.to_string(), id, name, address });
            }
            (Place::Shard(_), _) => due.dead.push((id, message.stamp)),
        }
    }
    Ok(due)
}

/// `journal.<partition>.person.create.<customer>`
fn customer_of(message: &Message) -> Option<CustomerId> {
    let tokens: Vec<&str> = message.subject.split('.').collect();
    match tokens[..] {
        ["journal", _, "person", "create", customer] => customer.parse().ok(),
        _ => None,
    }
}

fn place(customer: &CustomerId, at: Position, directory: &MemoryDirectory) -> Option<Place> {
    let known = directory.known(customer);
    if known.routes.is_empty() {
        return known.refused_through.filter(|through| at <= *through).map(|_| Place::Refused);
    }
    let route = known.routes.iter().rev().find(|route| route.from <= at);
    Some(route.map_or(Place::Refused, |route| Place::Shard(route.shard.clone())))
}
