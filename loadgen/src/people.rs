//! Random persons, the same again for the same seed and number, whatever the order they are asked for in.

use fake::{
    Fake,
    faker::{
        address::en::{BuildingNumber, CityName, StreetName},
        name::en::Name,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use sluice_model::{MessageBuilder, Person};

/// A message with `count` random persons: the ones of this seed and parcel.
///
/// # Panics
/// Where `count` is more than a message holds.
pub fn message(seed: u64, parcel: u64, count: u32) -> Vec<u8> {
    // Neighbouring seeds would share parcels if the two were only added.
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ parcel);
    let mut message = MessageBuilder::new();
    for _ in 0..count {
        message.push(&person(&mut random));
    }
    message.into_payload()
}

fn person(random: &mut StdRng) -> Person<'static> {
    let name: String = Name().fake_with_rng(random);
    let number: String = BuildingNumber().fake_with_rng(random);
    let street: String = StreetName().fake_with_rng(random);
    let city: String = CityName().fake_with_rng(random);
    Person { name: name.into(), address: format!("{number} {street}, {city}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_parcel_make_the_same_persons() {
        assert_eq!(message(7, 3, 5), message(7, 3, 5));
        assert_ne!(message(7, 3, 5), message(7, 4, 5));
        assert_ne!(message(7, 3, 5), message(8, 3, 5));
    }

    #[test]
    fn every_random_person_can_become_a_row() {
        let customer = "42".parse().unwrap();
        for parcel in 0..50 {
            let payload = message(1, parcel, 20);
            let people: Vec<_> = sluice_model::message::decode(&payload, &customer).collect();
            assert_eq!(people.len(), 20);
            assert!(people.iter().all(|person| person.as_ref().is_ok_and(|p| !p.name.is_empty())));
        }
    }
}
