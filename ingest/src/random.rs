//! The random person that an empty body stands for, as in the original demo.

use fake::{
    Fake,
    faker::{
        address::en::{BuildingNumber, CityName, StreetName},
        name::en::Name,
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sluice_model::Person;

/// A person who does not exist. Made here, once, and stored in the journal: whoever reads the event reads the same one.
pub fn person() -> Person<'static> {
    person_by(&mut rand::rng())
}

/// The person of that seed.
pub fn person_of(seed: [u8; 32]) -> Person<'static> {
    person_by(&mut StdRng::from_seed(seed))
}

fn person_by(rng: &mut impl Rng) -> Person<'static> {
    let name: String = Name().fake_with_rng(rng);
    let number: String = BuildingNumber().fake_with_rng(rng);
    let street: String = StreetName().fake_with_rng(rng);
    let city: String = CityName().fake_with_rng(rng);
    Person { name: name.into(), address: format!("{number} {street}, {city}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_person_can_be_stored() {
        for _ in 0..1_000 {
            let person = person();
            assert!(!person.name.is_empty() && !person.address.is_empty());
            person.check().unwrap();
        }
    }
}
