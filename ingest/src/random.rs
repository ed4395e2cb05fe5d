//! The random person that an empty body stands for, as in the original demo.

use fake::{
    Fake,
    faker::{
        address::en::{BuildingNumber, CityName, StreetName},
        name::en::Name,
    },
};
use sluice_model::Person;

/// A person who does not exist. Made here, once, and stored in the journal: whoever reads the event reads the same one.
pub fn person() -> Person<'static> {
    let name: String = Name().fake();
    let (number, street, city): (String, String, String) =
        (BuildingNumber().fake(), StreetName().fake(), CityName().fake());
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
