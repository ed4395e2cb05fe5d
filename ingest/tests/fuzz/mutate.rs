//! Mutations of inputs: bytes, pieces, and words that matter to what reads them.

use rand::{RngExt, rngs::StdRng};

/// Words that random bytes would hardly hit upon.
const WORDS: [&[u8]; 24] = [
    b"{\"name\":\"a\",\"address\":\"b\"}",
    b"\"customer_id\":\"42\"",
    b"\"customer_id\":null",
    b"\"name\":",
    b"\"address\":",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"\\\"",
    b"\\",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"1e999",
    b".",
];
/// No input grows beyond this.
const LONGEST: usize = 64 << 10;

/// One of these, changed in up to eight places.
pub(crate) fn mutated(pool: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = pool[rng.random_range(0..pool.len())].clone();
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..=input.len());
        let end = (at + rng.random_range(0..32)).min(input.len());
        match rng.random_range(0..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 => input.insert(at, rng.random()),
            2 => drop(input.drain(at..end)),
            3 => insert(&mut input, at, WORDS[rng.random_range(0..WORDS.len())]),
            4 => {
                let piece = input[at..end].to_vec();
                (0..rng.random_range(1..20)).for_each(|_| insert(&mut input, at, &piece));
            }
            5 => {
                let other = &pool[rng.random_range(0..pool.len())];
                let from = rng.random_range(0..=other.len());
                let piece = other[from..].to_vec();
                insert(&mut input, at, &piece);
            }
            _ => input.truncate(at),
        }
    }
    input
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if input.len() + piece.len() <= LONGEST {
        input.splice(at..at, piece.iter().copied());
    }
}
