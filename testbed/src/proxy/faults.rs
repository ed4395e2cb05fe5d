//! What a proxy is told to break, shared with all its connections.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The bytes that a client sends to commit, to PostgreSQL and to MySQL.
const COMMIT: &[u8] = b"COMMIT";
/// The values of the one statement by which a small batch is stored in PostgreSQL. No other statement of a lane has so many.
const STORE_VALUES: u16 = 11;

/// Where a connection is cut: so many bytes after a word that the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The word, such as `BEGIN`.
    pub after: &'static str,
    /// How many bytes after the word's last one still reach the server; nothing does after them.
    pub bytes: usize,
}

/// The faults of one proxy.
#[derive(Debug, Default)]
pub(super) struct Faults {
    answers_to_lose: AtomicU64,
    answers_lost: AtomicU64,
    cut: Mutex<Option<Cut>>,
    cuts: AtomicU64,
    delay_ms: AtomicU64,
}

impl Faults {
    pub(super) fn lose_commit_answers(&self, commits: u64) {
        self.answers_to_lose.store(commits, Ordering::SeqCst);
    }

    pub(super) fn answers_lost(&self) -> u64 {
        self.answers_lost.load(Ordering::SeqCst)
    }

    /// Whether the answer to this is the next one to be lost.
    pub(super) fn loses_answer_to(&self, asked: &[u8]) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        let commits = find(asked, COMMIT).is_some() || bound_values(asked) == Some(STORE_VALUES);
        commits && self.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }

    pub(super) fn answer_is_lost(&self) {
        self.answers_lost.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn cut(&self, cut: Cut) {
        *self.cut.lock().expect("no holder of this lock panics") = Some(cut);
    }

    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Where the cut falls, counted from the beginning of these bytes (it may lie beyond their end), if the word is in them.
    /// It is this connection's then, and no other's.
    pub(super) fn take_cut(&self, asked: &[u8]) -> Option<usize> {
        let mut due = self.cut.lock().expect("no holder of this lock panics");
        let cut = (*due)?;
        let at = find(asked, cut.after.as_bytes())?;
        *due = None;
        Some(at + cut.after.len() + cut.bytes)
    }

    pub(super) fn is_cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))
    }
}

/// How many values PostgreSQL is given by what begins with its message `Bind`: a portal's name, a statement's name, the values' formats, the
/// values (`https://www.postgresql.org/docs/current/protocol-message-formats.html`).
fn bound_values(asked: &[u8]) -> Option<u16> {
    let number = |at: usize| Some(u16::from_be_bytes(asked.get(at..at + 2)?.try_into().ok()?));
    let after_name = |at: usize| Some(at + asked.get(at..)?.iter().position(|byte| *byte == 0)? + 1);
    if asked.first() != Some(&b'B') {
        return None;
    }
    let formats = after_name(after_name(5)?)?;
    number(formats + 2 + 2 * usize::from(number(formats)?))
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_known_by_its_word_or_by_the_values_of_the_one_statement() {
        let bind =
            |values: u8| [b"B\0\0\0\x63\0sqlx_s_3\0\0\x01\0\x01\0".as_slice(), &[values], b"\0\0\0\x04"].concat();
        assert_eq!((bound_values(&bind(11)), bound_values(&bind(3))), (Some(11), Some(3)));
        assert_eq!(
            (bound_values(b"Q\0\0\0\x0bCOMMIT\0"), bound_values(b"B\0\0"), bound_values(b"")),
            (None, None, None)
        );
        let faults = Faults::default();
        faults.lose_commit_answers(2);
        assert!(!faults.loses_answer_to(&bind(3)) && !faults.loses_answer_to(b"Q\0\0\0\x0aBEGIN\0"));
        assert!(faults.loses_answer_to(&bind(11)) && faults.loses_answer_to(b"Q\0\0\0\x0bCOMMIT\0"));
        assert!(!faults.loses_answer_to(&bind(11)), "no more than two");
    }
}
