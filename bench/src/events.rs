//! The events of a scenario: the same again for the same numbers, cheap to make, and about 80 bytes a row.

use sluice_model::{CustomerId, MessageBuilder, PartitionCount, Person, Position, Rows};

/// Messages, numbered from 0, of customers in an order that no cache foresees.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// How many customers there are.
    pub customers: u64,
    /// Events of each message.
    pub per_message: u64,
    /// How many messages there are.
    pub messages: u64,
}

impl Events {
    /// All events of all messages.
    pub fn count(&self) -> u64 {
        self.messages * self.per_message
    }

    /// Whose the message is.
    pub fn customer(&self, message: u64) -> CustomerId {
        customer(message.wrapping_mul(611_953) % self.customers)
    }

    /// What it holds.
    pub fn payload(&self, message: u64) -> MessageBuilder {
        let mut payload = MessageBuilder::new();
        for index in 0..self.per_message {
            payload.push(&person(message * self.per_message + index));
        }
        payload
    }

    /// The rows that become of all messages, by shard, in the order in which a writer meets them: so many shards, each with every so
    /// manieth customer. The ids are like those of a journal of so many partitions.
    pub fn rows(&self, shards: usize, partitions: PartitionCount) -> Vec<Rows> {
        let mut rows = vec![Rows::new(); shards];
        let mut next: Vec<Position> = partitions.all().map(Position::first).collect();
        for message in 0..self.messages {
            let number = message.wrapping_mul(611_953) % self.customers;
            let customer = customer(number);
            let next = &mut next[partitions.of(&customer).index()];
            let shard = usize::try_from(number % shards as u64).expect("less than a usize");
            for index in 0..self.per_message {
                let id = next.event(usize::try_from(index).expect("at most 1,024"));
                rows[shard].push(&customer, id, &person(message * self.per_message + index));
            }
            *next = next.next();
        }
        rows
    }
}

fn customer(number: u64) -> CustomerId {
    format!("c{number}").parse().expect("a letter and digits")
}

fn person(number: u64) -> Person<'static> {
    let name = format!("Person {number}");
    let address = format!("{} Long Street, Springfield {}", number % 977, number % 90_001);
    Person { name: name.into(), address: address.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_customer_has_as_many_messages_and_every_event_is_one_row() {
        let events = Events { customers: 10, per_message: 3, messages: 40 };
        let customers: std::collections::BTreeMap<_, _> =
            (0..40).fold(std::collections::BTreeMap::new(), |mut seen, message| {
                *seen.entry(events.customer(message)).or_insert(0) += 1;
                seen
            });
        assert!(customers.len() == 10 && customers.values().all(|count| *count == 4));
        let rows = events.rows(3, PartitionCount::try_from(4).unwrap());
        assert_eq!(rows.iter().map(Rows::len).sum::<usize>(), 120);
        let ids: std::collections::BTreeSet<_> = rows.iter().flat_map(Rows::iter).map(|row| row.id).collect();
        assert_eq!(ids.len(), 120);
        assert_eq!(events.payload(7).events(), 3);
    }
}
