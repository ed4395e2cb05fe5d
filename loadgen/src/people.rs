//! Random persons, the same again for the same seed and number, whatever the order they are asked for in.

use fake::{
    Fake,
    faker::{
        address::en::{BuildingNumber, CityName, StreetName},
        name::en::Name,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use sluice_model::Person;

/// Random persons without end, one after the other: the ones of this seed and parcel.
pub fn people(seed: u64, parcel: u64) -> impl Iterator<Item = Person<'static>> {
    // Neighbouring seeds would share parcels if the two were only added.
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ parcel);
    std::iter::repeat_with(move || person(&mut random))
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

    fn first(seed: u64, parcel: u64, count: usize) -> Vec<Person<'static>> {
        people(seed, parcel).take(count).collect()
    }

    #[test]
    fn the_same_seed_and_parcel_make_the_same_persons() {
        assert_eq!(first(7, 3, 5), first(7, 3, 5));
        assert_ne!(first(7, 3, 5), first(7, 4, 5));
        assert_ne!(first(7, 3, 5), first(8, 3, 5));
    }

    #[test]
    fn every_random_person_can_become_a_row_and_none_is_taken_for_a_bad_one() {
        for person in (0..50).flat_map(|parcel| first(1, parcel, 20)) {
            assert!(person.check().is_ok() && !person.name.is_empty(), "{person:?}");
            assert!(!person.name.starts_with(crate::bad::PREFIX), "{person:?}");
        }
    }
}
