//! How far a partition has gone, as one publisher was told: by that it notices a journal that went back. No I/O.

use std::time::Instant;

use sluice_model::Position;

use super::PublishError;

/// How far a partition has gone, as this publisher was told.
#[derive(Debug, Default)]
pub(super) struct Heights {
    /// The highest position acknowledged.
    told: Option<Position>,
    /// A lower one that came after it. Nothing is published while this is so.
    given: Option<Position>,
    /// When the journal was last asked whether it has gone beyond.
    pub(super) asked: Option<Instant>,
}

impl Heights {
    /// Takes in what one round was told. Of one round nobody knows the order, so it is compared with the rounds before.
    pub(super) fn note(&mut self, round: &[Position]) -> Result<(), PublishError> {
        let (Some(least), Some(most)) = (round.iter().min(), round.iter().max()) else { return Ok(()) };
        let before = self.told.filter(|told| least <= told);
        if before.is_some() {
            self.given = Some(*least);
        }
        self.told = self.told.max(Some(*most));
        self.check()
    }

    pub(super) fn check(&self) -> Result<(), PublishError> {
        match (self.told, self.given) {
            (Some(told), Some(given)) => Err(PublishError::WentBack { told, given }),
            _ => Ok(()),
        }
    }

    /// The journal ends here now.
    pub(super) fn reached(&mut self, last: Position) {
        if self.told.is_none_or(|told| told <= last) {
            self.given = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_below_an_earlier_one_stops_a_partition_until_the_journal_has_gone_beyond() {
        let at = |n| Position::new(n).unwrap();
        let mut heights = Heights::default();
        for round in [&[at(3), at(1), at(2)][..], &[], &[at(9), at(4)]] {
            heights.note(round).unwrap();
        }
        let error = heights.note(&[at(12), at(9), at(10)]).unwrap_err();
        assert!(matches!(error, PublishError::WentBack { told, given } if (told, given) == (at(12), at(9))), "{error}");
        heights.reached(at(11));
        assert!(heights.check().is_err());
        heights.reached(at(12));
        assert!(heights.check().is_ok() && heights.note(&[at(13)]).is_ok());
        // One that was stored long ago and is found again by its message id says nothing: it is not noted at all.
        assert!(heights.note(&[]).is_ok() && heights.note(&[at(13)]).is_err());
    }
}
