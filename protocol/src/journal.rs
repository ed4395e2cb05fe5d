//! The journal: a partition's messages, of which a prefix may have been trimmed.

use crate::bounds::SHARDS;

/// A position in a partition. 0 stands before the first message.
pub(crate) type Position = u8;

/// A set of positions: bit n is position n.
pub(crate) type Positions = u8;

/// All positions in `(after, through]`.
pub(crate) fn span(after: Position, through: Position) -> Positions {
    let up_to = |position: Position| (1_u16 << (position + 1)) - 1;
    u8::try_from(up_to(through) & !up_to(after)).expect("an instance has at most 7 messages")
}

/// One partition's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Log {
    /// The first position that is kept.
    pub(crate) first: Position,
    /// The last position.
    pub(crate) last: Position,
    /// Each shard's messages. A route is a function of customer and position, so it is settled by the publish.
    pub(crate) routed: [Positions; SHARDS],
}

impl Log {
    /// Without a message.
    pub(crate) fn new() -> Self {
        Self { first: 1, last: 0, routed: [0; SHARDS] }
    }

    /// Stores a message whose customer lives on `shard`.
    pub(crate) fn publish(&mut self, shard: usize) {
        self.last += 1;
        self.routed[shard] |= 1 << self.last;
    }

    /// What a consumer that asks for `from` is given. The server skips a trimmed prefix without a word.
    pub(crate) fn deliver(&self, from: Position) -> Option<Position> {
        (from <= self.last).then(|| from.max(self.first))
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
        assert_eq!(span(0, 2), 0b110);
        assert_eq!(span(2, 3), 0b1000);
        assert_eq!(span(3, 1), 0);
        assert_eq!(span(6, 7), 0b1000_0000);
    }

    #[test]
    fn a_trimmed_prefix_is_skipped_silently() {
        let mut log = Log::new();
        assert_eq!(log.deliver(1), None);
        log.publish(0);
        log.publish(1);
        assert_eq!(log.deliver(1), Some(1));
        log.trim(2);
        assert_eq!(log.deliver(1), Some(2));
        assert_eq!(log.routed, [0b10, 0b100]);
    }
}
