//! The journal: a partition's messages, of which a prefix may have been trimmed, some may have
//! expired, and the end may have been lost and given again.

use crate::bounds::{SHARDS, Variant};

/// A position in a partition. 0 stands before the first message.
pub(crate) type Position = u8;

/// A set of messages: bit n is position n as it was given first, bit 8 + n as it was given again
/// after a loss, bit 16 + n stands for a message that is gone and was passed.
pub(crate) type Messages = u32;

/// A position, and the stamp of the message there. A stamp is 0 in the first history, 1 for what
/// was given again, and [`LOST`] where the message is gone and somebody has accepted that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) stamp: u8,
}

impl Place {
    /// The message that stands here. Position 0 has none.
    pub(crate) fn message(self) -> Messages {
        if self.position == 0 { 0 } else { 1 << (self.position + 8 * self.stamp) }
    }
}

/// The stamp that readers give to a position whose message is gone, and whose loss was accepted.
pub(crate) const LOST: u8 = 2;

/// The stamp of a place of which nobody knows the message. It is no stored place's.
pub(crate) const UNKNOWN: u8 = 3;

/// The messages of both histories: what a row can come from.
const REAL: Messages = 0xffff;

/// All messages at positions in `(after, through]`, of both histories.
pub(crate) fn span(after: Position, through: Position) -> Messages {
    let up_to = |position: Position| ((1 << (position + 1)) - 1) & 0xff;
    let first = up_to(through) & !up_to(after);
    first | first << 8
}

/// One partition's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Log {
    /// The first position that is kept.
    pub(crate) first: Position,
    /// The last position.
    pub(crate) last: Position,
    /// Where the journal ended when it lost its end, once it has.
    pub(crate) lost_after: Option<Position>,
    /// Each shard's messages, lost ones too. A route is a function of customer and position, so the
    /// publish settles it.
    pub(crate) routed: [Messages; SHARDS],
    /// What expired, or was deleted. The journal still counts its positions.
    pub(crate) gone: Messages,
    /// What the record of accepted losses lets each shard pass.
    pub(crate) accepted: [Messages; SHARDS],
    /// What was named as lost for each shard, and accepted so. A wrong variant lets a shard pass
    /// more than that.
    pub(crate) named: [Messages; SHARDS],
    /// Positions from which shards may go on although the message there is gone.
    pub(crate) vouched: Messages,
}

impl Log {
    /// Makes one without a message.
    pub(crate) fn new() -> Self {
        Self {
            first: 1,
            last: 0,
            lost_after: None,
            routed: [0; SHARDS],
            gone: 0,
            accepted: [0; SHARDS],
            named: [0; SHARDS],
            vouched: 0,
        }
    }

    /// Stores a message whose customer lives on `shard`.
    pub(crate) fn publish(&mut self, shard: usize) {
        self.last += 1;
        self.routed[shard] |= self.end().message();
    }

    /// Loses everything beyond `after`; later messages get the same positions again, with other
    /// stamps.
    pub(crate) fn lose(&mut self, after: Position) {
        self.last = after;
        self.lost_after = Some(after);
    }

    /// The place of the message that the journal now has at a position.
    pub(crate) fn at(&self, position: Position) -> Place {
        Place { position, stamp: self.lost_after.is_some_and(|after| position > after).into() }
    }

    pub(crate) fn end(&self) -> Place {
        self.at(self.last)
    }

    /// The place before the first message, after which a reader opens that carries no lane.
    pub(crate) fn before_first(&self) -> Place {
        if self.first == 1 { Place::default() } else { Place { position: self.first - 1, stamp: UNKNOWN } }
    }

    /// Whether the journal lacks the message at this place, or has another one there. A trimmed
    /// message shows nothing any more.
    pub(crate) fn has_parted(&self, place: Place) -> bool {
        let passed = place.stamp == LOST && self.lacks(place.position);
        let is_another = self.at(place.position) != place && !passed;
        place.position >= self.first && (place.position > self.last || is_another)
    }

    /// Whether the message at this place is trimmed, or expired: then nothing tells whether what
    /// follows is of the same history. A shard that was never set back stands at no trimmed place,
    /// as the message at a stored position is kept.
    pub(crate) fn has_trimmed(&self, place: Place) -> bool {
        let before_first = place.position < self.first && self.first > 1;
        place.stamp != UNKNOWN && (before_first || self.gone & bit(place.position) != 0)
    }

    /// Whether nobody may read on behind this place: its message is gone, and nobody has accepted
    /// that.
    pub(crate) fn is_unseen(&self, place: Place) -> bool {
        self.has_trimmed(place) && self.vouched & bit(place.position) == 0
    }

    /// Whether the journal once gave this position and no longer has its message.
    pub(crate) fn lacks(&self, position: Position) -> bool {
        position > 0 && position <= self.last && (position < self.first || self.gone & bit(position) != 0)
    }

    /// What the journal lacks of the positions behind `after`.
    pub(crate) fn lost_behind(&self, after: Position) -> Messages {
        (after + 1..=self.last).filter(|position| self.lacks(*position)).map(bit).sum()
    }

    /// Whether readers take this position for lost, whichever shard they read for.
    fn is_passed(&self, position: Position, variant: Variant) -> bool {
        let takes_word = matches!(variant, Variant::AcceptsHeld | Variant::AcceptsBeyond);
        let accepted = self.accepted.iter().any(|accepted| accepted & bit(position) != 0);
        accepted && position <= self.last && (takes_word || self.lacks(position))
    }

    /// What a reader that stands at `after` is given next: a position whose loss was accepted, or
    /// whatever the server gives.
    pub(crate) fn next(&self, after: Position, variant: Variant) -> Option<Place> {
        let position = after + 1;
        if self.is_passed(position, variant) {
            return Some(Place { position, stamp: LOST });
        }
        self.deliver(position)
    }

    /// Whether a message is gone that others stand before, and nobody has accepted that: a reader
    /// that comes by stops.
    pub(crate) fn has_unaccepted_hole(&self) -> bool {
        let accepted = self.accepted.iter().fold(0, |all, accepted| all | accepted);
        self.first <= self.last && self.lost_behind(self.first) & !accepted != 0
    }

    /// The message at a position is gone from now on.
    pub(crate) fn expire(&mut self, position: Position) {
        self.gone |= bit(position);
        self.skip_gone();
    }

    /// Somebody accepts what the journal lacks, where the shards have stored these places: each of
    /// them may pass what it lacks, and nothing else.
    pub(crate) fn accept(&mut self, stored: [Place; SHARDS], variant: Variant) {
        for (shard, stored) in stored.into_iter().enumerate() {
            let lost = self.lost_behind(stored.position);
            let more = match variant {
                Variant::AcceptsHeld if lost != 0 => span(stored.position, self.last) & 0xff,
                Variant::AcceptsBeyond if lost != 0 => span(stored.position, self.first) & 0xff,
                _ => 0,
            };
            self.accepted[shard] |= lost | more;
            self.named[shard] |= lost;
            self.vouched |= lost | if self.has_trimmed(stored) { bit(stored.position) } else { 0 };
        }
    }

    fn skip_gone(&mut self) {
        while self.first <= self.last && self.gone & bit(self.first) != 0 {
            self.first += 1;
        }
    }

    /// All messages up to a place, in the history that leads to it.
    pub(crate) fn history(&self, place: Place) -> Messages {
        let given_first = if place.stamp == 1 { self.lost_after.unwrap_or(0) } else { place.position };
        (span(0, given_first) & 0xff) | (span(given_first, place.position) & 0xff00)
    }

    /// What a consumer that asks for `from` is given. The server skips a trimmed prefix, and what
    /// expired, without a word.
    pub(crate) fn deliver(&self, from: Position) -> Option<Place> {
        let mut there = (from.max(self.first)..=self.last).filter(|position| self.gone & bit(*position) == 0);
        there.next().map(|position| self.at(position))
    }

    /// Removes what stands before `floor`; the message at `floor` stays, if it is there.
    pub(crate) fn trim(&mut self, floor: Position) {
        self.first = self.first.max(floor);
        self.skip_gone();
    }
}

/// The message that was given first at a position.
pub(crate) fn bit(position: Position) -> Messages {
    1 << position
}

/// Those of some messages that rows can come from.
pub(crate) fn real(messages: Messages) -> Messages {
    messages & REAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_end_and_not_its_beginning() {
        assert_eq!(span(0, 0), 0);
        assert_eq!(span(0, 2), 0b110_0000_0110);
        assert_eq!(span(2, 3), 0b1000_0000_1000);
        assert_eq!(span(3, 1), 0);
        assert_eq!(span(6, 7), 0b1000_0000_1000_0000);
    }

    #[test]
    fn a_trimmed_prefix_is_skipped_silently() {
        let mut log = Log::new();
        assert_eq!(log.deliver(1), None);
        log.publish(0);
        log.publish(1);
        assert_eq!(log.deliver(1), Some(log.at(1)));
        log.trim(2);
        assert_eq!(log.deliver(1), Some(log.at(2)));
        assert_eq!(log.routed, [0b10, 0b100]);
    }

    #[test]
    fn what_is_given_again_is_told_from_what_was_lost() {
        let mut log = Log::new();
        (0..3).for_each(|_| log.publish(0));
        let (kept, lost) = (log.at(1), log.at(3));
        log.lose(1);
        assert!(!log.has_parted(kept) && log.has_parted(lost), "the journal ends before what was lost");
        (0..2).for_each(|_| log.publish(1));
        assert!(!log.has_parted(kept) && log.has_parted(lost), "another message stands there");
        assert!(!log.has_parted(log.end()));
        assert_eq!(log.history(lost), 0b1110);
        assert_eq!(log.history(log.end()), 0b1100_0000_0010);
        assert_eq!(log.routed, [0b1110, 0b1100_0000_0000]);
        log.trim(3);
        let gone = Place { position: 2, stamp: 0 };
        assert!(!log.has_parted(gone) && log.has_trimmed(gone), "its stamp cannot be compared any more");
        assert!(!log.has_trimmed(log.end()) && !log.has_trimmed(log.before_first()));
    }

    #[test]
    fn a_reader_passes_what_was_accepted_as_lost_and_nothing_that_the_journal_has() {
        let mut log = Log::new();
        (0..4).for_each(|_| log.publish(0));
        log.expire(2);
        let right = Variant::Right;
        assert_eq!((log.next(1, right), log.lost_behind(0)), (Some(log.at(3)), 0b100));
        let stored = [log.at(1), log.at(3)];
        log.accept(stored, right);
        assert_eq!((log.accepted, log.vouched), ([0b100, 0], 0b100), "the second shard had stored it");
        let passed = Place { position: 2, stamp: LOST };
        assert_eq!(log.next(1, right), Some(passed));
        assert!(!log.has_parted(passed) && !log.is_unseen(passed) && log.next(2, right) == Some(log.at(3)));
        log.expire(1);
        assert_eq!(log.first, 3, "what is gone before the first message is a trimmed prefix");
        assert!(log.is_unseen(log.at(1)) && log.lost_behind(0) == 0b110);
        log.accept(stored, right);
        assert!(!log.is_unseen(log.at(1)), "the first shard stands there");
    }
}
