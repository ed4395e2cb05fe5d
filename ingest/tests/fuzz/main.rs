//! What strangers send: messages, lines and customer ids, mutated at random from a corpus, against a plain second opinion.
//!
//! Two seconds a target in `cargo test`. Longer: `SLUICE_FUZZ_S=600 cargo test --release --package sluice-ingest --test fuzz`; another
//! seed by `SLUICE_FUZZ_SEED`. A failure prints the input as a Rust literal: it belongs into the corpus then.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test a panic is the report; of hours of trying, so is the count"
)]

mod mutate;

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use sluice_ingest::lines::Lines;
use sluice_model::{CustomerId, MAX_EVENTS, MessageBuilder, Person, message};

use self::mutate::mutated;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Tries every entry of a corpus as it is, then mutations of them until the time is over.
fn fuzz(target: &str, check: impl Fn(&[u8], &mut StdRng) + std::panic::RefUnwindSafe) {
    let folder = format!("{}/tests/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(corpus.len() >= 5, "{folder} is nearly empty");
    let (seed, seconds) = (number("SLUICE_FUZZ_SEED", 1), number("SLUICE_FUZZ_S", 2));
    let mut rng = StdRng::seed_from_u64(seed);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut tried, mut pool) = (0u64, corpus.clone());
    while tried < corpus.len() as u64 || Instant::now() < until {
        let input = match corpus.get(usize::try_from(tried).unwrap()) {
            Some(input) => input.clone(),
            None => mutated(&pool, &mut rng),
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&input, &mut rng)));
        assert!(outcome.is_ok(), "seed {seed}, input {tried}: b\"{}\"", input.escape_ascii());
        // Some mutations are mutated further: so inputs go far from the corpus.
        if tried % 64 == 0 && input.len() < 4_096 {
            let place = rng.random_range(corpus.len()..corpus.len() + 64).min(pool.len());
            if place == pool.len() { pool.push(input) } else { pool[place] = input }
        }
        tried += 1;
    }
    eprintln!("{target}: {tried} inputs in {seconds} s, seed {seed}");
}

/// What an event says, read the slow way: through a tree of values, with every rule written down once more.
fn second_opinion(json: &[u8], customer: &str) -> Option<(String, String)> {
    let text = std::str::from_utf8(json).ok()?;
    let Value::Object(fields) = serde_json::from_str(text).ok()? else { return None };
    let (name, address) = (fields.get("name")?.as_str()?, fields.get("address")?.as_str()?);
    let known = |field: &String| ["name", "address", "customer_id"].contains(&field.as_str());
    let number = |id: &Value| id.as_u64().is_some_and(|number| number.to_string() == customer);
    let same = fields.get("customer_id").is_none_or(|id| id.is_null() || id == customer || number(id));
    let fits = name.len() <= 1_024 && address.len() <= 4_096 && !name.contains('\0') && !address.contains('\0');
    (fields.keys().all(known) && same && fits).then(|| (name.to_owned(), address.to_owned()))
}

#[test]
fn the_message_decoder_says_of_every_event_what_a_second_reading_says() {
    let customer: CustomerId = "42".parse().unwrap();
    fuzz("decoder", |input, _| {
        let mut count = 0;
        for event in message::events(input, &customer) {
            count += 1;
            let Ok(person) = event.person else { continue };
            let expected = second_opinion(event.json, "42").expect("a second reading takes it too");
            assert_eq!((person.name.as_ref(), person.address.as_ref()), (expected.0.as_str(), expected.1.as_str()));
            // What was taken can be packed, and is the same when it is read again.
            let mut packed = MessageBuilder::new();
            packed.push(&person);
            let payload = packed.into_payload();
            assert_eq!(message::decode(&payload, &customer).next().unwrap().unwrap(), person);
        }
        assert!((1..=MAX_EVENTS).contains(&count), "{count} events");
        // And nothing is refused that ought to be taken, but for a field that is there twice, which a tree cannot see.
        let refused = Person::decode(input, &customer).err();
        if let (Some(refusal), Some(_)) = (&refused, second_opinion(input, "42")) {
            assert!(refusal.detail.contains("duplicate field"), "{refusal}");
        }
        let _ = Person::decode_with_customer(input);
    });
}

#[test]
fn lines_are_cut_as_the_standard_library_cuts_them_however_they_arrive() {
    const MAX: usize = 40;
    fuzz("lines", |input, rng| {
        let mut lines = Lines::new(MAX);
        let mut found = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(rng.random_range(1..=rest.len()));
            lines.push(piece);
            found.extend(std::iter::from_fn(|| lines.next_line()));
            rest = next;
        }
        found.extend(lines.last());
        let found: Vec<_> =
            found.into_iter().map(|line| (line.number, line.bytes.map(|bytes| bytes.to_vec()))).collect();
        let whole = input.split(|byte| *byte == b'\n').zip(1u64..);
        let expected = whole.filter_map(|(line, number)| match line.trim_ascii() {
            _ if line.len() > MAX => Some((number, None)),
            b"" => None,
            line => Some((number, Some(line.to_vec()))),
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    });
}

#[test]
fn a_customer_id_is_exactly_what_is_documented_and_never_more_than_one_token_of_a_subject() {
    fuzz("customer", |input, _| {
        let text = String::from_utf8_lossy(input);
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let all = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let wanted = first && all && text.len() <= 64;
        let parsed = text.parse::<CustomerId>();
        assert_eq!(parsed.is_ok(), wanted, "{text:?}");
        let quoted = serde_json::to_string(&text).unwrap();
        assert_eq!(serde_json::from_str::<CustomerId>(&quoted).is_ok(), wanted);
        if let Ok(customer) = parsed {
            let subject = sluice_journal::subject::public_create(&customer);
            assert_eq!(subject.split('.').count(), 3, "{subject}");
            assert!(!subject.contains(['*', '>', ' ', '\r', '\n']), "{subject}");
        }
    });
}
