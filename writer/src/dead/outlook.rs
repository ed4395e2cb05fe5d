//! What would become of a dead letter's events if they were replayed. Pure.

use sluice_journal::DeadLetter;
use sluice_model::{CustomerId, Reason, message};

/// What is known before a replay about its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// Every event can only die again: what it says is wrong, whatever else is mended.
    Hopeless(String),
    /// Some of them can only die again.
    Partly {
        /// How many.
        dead: usize,
        /// Why the first of them.
        why: String,
    },
    /// A database refused it. Only the database knows whether it would again.
    Refused,
    /// Nothing is in its way.
    Good,
}

impl Outlook {
    /// Reads the events again as a writer would.
    pub fn of(letter: &DeadLetter, customer: &CustomerId) -> Self {
        let message = letter.message();
        let (mut events, mut dead, mut why) = (0, 0, None);
        for event in message::decode(&message, customer) {
            events += 1;
            if let Err(refusal) = event {
                dead += 1;
                why.get_or_insert_with(|| format!("{}: {}", refusal.reason, refusal.detail));
            }
        }
        match why {
            Some(why) if dead == events => Self::Hopeless(why),
            Some(why) => Self::Partly { dead, why },
            None if letter.reason == Reason::RefusedByShard.code() => Self::Refused,
            None => Self::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_journal::dead::State;

    use super::*;
    use crate::dead::select::tests::letter;

    const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;

    fn outlook(reason: &str, lines: &[&str]) -> Outlook {
        let events = (0..lines.len()).collect();
        let letter = DeadLetter { events, payload: lines.join("\n").into(), ..letter(0, "1", reason, State::Waiting) };
        Outlook::of(&letter, &"1".parse().unwrap())
    }

    #[test]
    fn what_is_wrong_by_itself_can_only_die_again_and_what_others_refused_may_not() {
        let elsewhere = r#"{"name":"a","address":"b","customer_id":"2"}"#;
        for (reason, line) in [("malformed_json", "nonsense"), ("empty_message", ""), ("customer_mismatch", elsewhere)]
        {
            let Outlook::Hopeless(why) = outlook(reason, &[line]) else { panic!("{line:?}") };
            assert!(why.starts_with(reason), "{why}");
        }
        // What an older version refused, this one may take: the event counts, and not the reason.
        assert_eq!(outlook("too_long", &[GOOD]), Outlook::Good);
        assert_eq!(outlook("unknown_customer", &[GOOD, GOOD]), Outlook::Good);
        assert_eq!(outlook("refused_by_shard", &[GOOD]), Outlook::Refused);
        let partly = outlook("unknown_customer", &[GOOD, "nonsense", GOOD]);
        assert!(matches!(partly, Outlook::Partly { dead: 1, .. }), "{partly:?}");
    }
}
