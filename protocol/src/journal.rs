//! The journal: a partition's messages, of which a prefix may have been trimmed, and the end lost
//! and given again.

use crate::bounds::SHARDS;

/// A position in a partition. 0 stands before the first message.
pub(crate) type Position = u8;

/// A set of messages: bit n is position n as it was given first, bit 8 + n as it was given again
/// after a loss.
pub(crate) type Messages = u16;

/// A position, and the stamp of the message there. A stamp is 0 in the first history, and 1 for
/// what was given again.
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

/// The stamp of a place of which nobody knows the message. It is no stored place's.
pub(crate) const UNKNOWN: u8 = 2;

/// All messages at positions in `(after, through]`, of both histories.
pub(crate) fn span(after: Position, through: Position) -> Messages {
    let up_to = |position: Position| (1_u16 << (position + 1)) - 1;
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
}

impl Log {
    /// Makes one without a message.
    pub(crate) fn new() -> Self {
        Self { first: 1, last: 0, lost_after: None, routed: [0; SHARDS] }
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
        place.position >= self.first && (place.position > self.last || self.at(place.position) != place)
    }

    /// Whether the message at this place is trimmed: then nothing tells whether what follows is of
    /// the same history. A shard that was never set back is never there, as the message at a stored
    /// position is kept.
    pub(crate) fn has_trimmed(&self, place: Place) -> bool {
        place.position < self.first && self.first > 1 && place.stamp != UNKNOWN
    }

    /// All messages up to a place, in the history that leads to it.
    pub(crate) fn history(&self, place: Place) -> Messages {
        let given_first = if place.stamp == 0 { place.position } else { self.lost_after.unwrap_or(0) };
        (span(0, given_first) & 0xff) | (span(given_first, place.position) & 0xff00)
    }

    /// What a consumer that asks for `from` is given. The server skips a trimmed prefix without a
    /// word.
    pub(crate) fn deliver(&self, from: Position) -> Option<Place> {
        (from <= self.last).then(|| self.at(from.max(self.first)))
    }

    /// Removes what stands before `floor`; the message at `floor` stays.
    pub(crate) fn trim(&mut self, floor: Position) {
        self.first = self.first.max(floor);
    }
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
}
