//! Rows on their way to a shard, without an allocation per row.

mod sort;

use std::ops::Range;

use crate::{CustomerId, EventId, Person};

/// A list of person rows. The texts stand one after the other in a single buffer.
#[derive(Debug, Default, Clone)]
pub struct Rows {
    text: String,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    id: EventId,
    start: usize,
    customer_bytes: u32,
    name_bytes: u32,
    address_bytes: u32,
}

/// One row, as the shard's table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Whose it is.
    pub customer_id: &'a str,
    /// The event that it came from.
    pub id: EventId,
    /// The person's name.
    pub name: &'a str,
    /// The person's address.
    pub address: &'a str,
}

impl Rows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row. Its person must have passed [`Person::check`].
    pub fn push(&mut self, customer: &CustomerId, id: EventId, person: &Person<'_>) {
        let start = self.text.len();
        let bytes = |text: &str| {
            self.text.push_str(text);
            u32::try_from(text.len()).expect("a checked person's fields are far below 4 GiB")
        };
        let [customer_bytes, name_bytes, address_bytes] = [customer.as_str(), &person.name, &person.address].map(bytes);
        self.places.push(Place { id, start, customer_bytes, name_bytes, address_bytes });
    }

    /// Adds all rows of another list.
    pub fn append(&mut self, other: &Self) {
        let offset = self.text.len();
        self.text.push_str(&other.text);
        self.places.extend(other.places.iter().map(|place| Place { start: place.start + offset, ..*place }));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The memory that the rows take, in bytes (spare capacity not counted).
    pub fn bytes(&self) -> usize {
        self.text.len() + self.places.len() * size_of::<Place>()
    }

    /// The row at this index, if there is one.
    pub fn get(&self, index: usize) -> Option<Row<'_>> {
        self.places.get(index).map(|place| self.row(place))
    }

    /// Every row, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.places.iter().map(|place| self.row(place))
    }

    /// The rows of a range of indices.
    ///
    /// # Panics
    /// Where the range goes beyond the end.
    pub fn range(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.places[range].iter().map(|place| self.row(place))
    }

    /// Keeps only the rows whose event the test wants.
    pub fn retain(&mut self, mut wanted: impl FnMut(EventId) -> bool) {
        self.places.retain(|place| wanted(place.id));
    }

    /// Returns copies of the rows whose event the test wants, in the same order.
    #[must_use]
    pub fn only(&self, mut wanted: impl FnMut(EventId) -> bool) -> Self {
        let mut rows = Self::new();
        for place in self.places.iter().filter(|place| wanted(place.id)) {
            let start = rows.text.len();
            let bytes = place.customer_bytes as usize + place.name_bytes as usize + place.address_bytes as usize;
            rows.text.push_str(&self.text[place.start..place.start + bytes]);
            rows.places.push(Place { start, ..*place });
        }
        rows
    }

    /// Puts the rows into the order of the shards' primary key: customers as bytes, then ids. A batch in this order meets each page
    /// of the index once, and two batches never wait for each other's keys in opposite order. The texts stay where they are.
    pub fn sort(&mut self) {
        let sorted = sort::sorted(self.text.as_bytes(), &self.places);
        // Copied, as a batch's memory is kept for the next one, which may be larger.
        self.places.copy_from_slice(&sorted);
    }

    /// Removes all rows and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.text.clear();
        self.places.clear();
    }

    fn row(&self, place: &Place) -> Row<'_> {
        let name = place.start + place.customer_bytes as usize;
        let address = name + place.name_bytes as usize;
        let end = address + place.address_bytes as usize;
        Row {
            customer_id: &self.text[place.start..name],
            id: place.id,
            name: &self.text[name..address],
            address: &self.text[address..end],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Partition, Position};

    #[test]
    fn rows_come_back_as_they_were_added() {
        let mut rows = Rows::new();
        let customers: Vec<CustomerId> = ["1", "forty-two"].iter().map(|c| c.parse().unwrap()).collect();
        let position = Position::first(Partition::new(3));
        for (index, customer) in customers.iter().enumerate() {
            let person = Person { name: format!("näme {index}").into(), address: "".into() };
            rows.push(customer, position.event(index), &person);
        }
        let second = Row { customer_id: "forty-two", id: position.event(1), name: "näme 1", address: "" };
        assert_eq!(rows.get(1), Some(second));
        assert_eq!((rows.iter().len(), rows.get(2)), (2, None));
        let mut twice = rows.clone();
        twice.append(&rows);
        assert!(twice.iter().eq(rows.iter().chain(rows.iter())));
        let only = rows.only(|id| id.index() == 1);
        assert!(only.iter().eq([second]) && only.bytes() < rows.bytes());
        rows.retain(|id| id.index() == 1);
        assert_eq!(rows.range(0..1).next(), Some(second));
        rows.clear();
        assert!(rows.is_empty() && rows.bytes() == 0);
    }
}
