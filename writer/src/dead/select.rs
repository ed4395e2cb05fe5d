//! Which dead letters a command means.

use sluice_journal::DeadLetter;
use sluice_model::{EventId, Reason};

use super::{cli::Selection, reach::Reach};

/// Whether a letter fits every filter that was given.
pub fn is_meant(letter: &DeadLetter, reason: Option<Reason>, customer: Option<&str>) -> bool {
    reason.is_none_or(|reason| letter.reason == reason.code()) && customer.is_none_or(|name| letter.customer == name)
}

/// The ids that a selection means, in the order of the journal: a customer's events are replayed in the order that they
/// came in. Tombstones are meant only where they are named.
///
/// # Errors
/// Where the dead letters cannot be listed.
pub async fn ids(reach: &Reach, selection: &Selection) -> anyhow::Result<Vec<EventId>> {
    if !selection.ids.is_empty() {
        return Ok(in_order(selection.ids.clone()));
    }
    Ok(in_order(meant(&reach.list().await?, selection)))
}

fn meant(letters: &[DeadLetter], selection: &Selection) -> Vec<EventId> {
    let waiting = letters.iter().filter(|letter| !letter.state.is_tombstone());
    let meant = waiting.filter(|letter| is_meant(letter, selection.reason, selection.customer.as_deref()));
    meant.map(|letter| letter.id).collect()
}

fn in_order(mut ids: Vec<EventId>) -> Vec<EventId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
pub(super) mod tests {
    use sluice_journal::dead::{Kept, State};
    use sluice_model::{Partition, Position};

    use super::*;

    pub(in crate::dead) fn letter(index: usize, customer: &str, reason: &str, state: State) -> DeadLetter {
        DeadLetter {
            id: Position::first(Partition::new(0)).event(index),
            events: [index].into_iter().collect(),
            customer: customer.to_owned(),
            reason: reason.to_owned(),
            detail: "why\u{1b}[2J".to_owned(),
            subject: format!("journal.0.person.create.{customer}"),
            stamp: 1_700_000_000_000_000_000,
            payload: "{\n\u{1b}".into(),
            whole_bytes: None,
            state,
            kept: Kept::default(),
        }
    }

    #[test]
    fn filters_have_to_fit_all_and_tombstones_never_do() {
        let letters = [
            letter(3, "1", "too_long", State::Waiting),
            letter(2, "1", "malformed_json", State::Waiting),
            letter(1, "2", "too_long", State::Waiting),
            letter(0, "1", "too_long", State::Dropped),
        ];
        let indices = |reason: Option<Reason>, customer: Option<&str>| {
            let selection = Selection { reason, customer: customer.map(str::to_owned), ..Selection::default() };
            in_order(meant(&letters, &selection)).iter().map(|id| id.index()).collect::<Vec<_>>()
        };
        assert_eq!(indices(None, None), [1, 2, 3]);
        assert_eq!(indices(Some(Reason::TooLong), None), [1, 3]);
        assert_eq!(indices(Some(Reason::TooLong), Some("1")), [3]);
        assert_eq!(indices(None, Some("_")), [0; 0]);
    }
}
