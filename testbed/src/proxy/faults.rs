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
        find(asked, COMMIT).is_some()
            && self.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
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

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}
