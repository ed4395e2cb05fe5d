//! What is said once, and then now and then: trouble that lasts, in a log.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Says the same trouble again no sooner than after this time. Lower: a log that is full of it.
/// Higher: who looks at the log's end does not see that it lasts.
pub const AGAIN: Duration = Duration::from_secs(10);

/// Remembers what was said last.
#[derive(Debug, Default)]
pub struct Said(Mutex<Option<(String, Instant)>>);

impl Said {
    /// Whether to say this now: it is news, or was said [`AGAIN`] ago.
    pub fn is_due(&self, text: &str) -> bool {
        self.is_due_at(text, Instant::now())
    }

    /// Notes that the trouble is over: whatever comes next is news.
    pub fn clear(&self) {
        *self.last() = None;
    }

    fn is_due_at(&self, text: &str, now: Instant) -> bool {
        let mut last = self.last();
        if last.as_ref().is_some_and(|(said, at)| said == text && now.duration_since(*at) < AGAIN) {
            return false;
        }
        *last = Some((text.to_owned(), now));
        true
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(String, Instant)>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_again_only_after_a_while_and_news_at_once() {
        let (said, begin) = (Said::default(), Instant::now());
        let due = |text, after_s| said.is_due_at(text, begin + Duration::from_secs(after_s));
        assert_eq!(
            [due("a", 0), due("a", 1), due("b", 2), due("b", 11), due("b", 12)],
            [true, false, true, false, true]
        );
        said.clear();
        assert!(due("b", 13));
    }
}
