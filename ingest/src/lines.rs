//! A stream of bytes cut into lines. No I/O.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// One line, and its number, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// Its bytes without the line's end; `None` where there are more than allowed.
    pub bytes: Option<Bytes>,
}

/// Cuts what is pushed into lines. It never holds more than one line and the piece that was pushed last.
#[derive(Debug)]
pub struct Lines {
    rest: BytesMut,
    /// So much of it was searched.
    searched: usize,
    /// The line that it begins in is too long: all up to its end is dropped.
    skipping: bool,
    number: u64,
    max: usize,
}

impl Lines {
    /// No lines yet; one may have `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { rest: BytesMut::new(), searched: 0, skipping: false, number: 0, max }
    }

    /// More bytes.
    pub fn push(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next line that is whole; blank ones are counted and left out.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let Some(end) = memchr(b'\n', &self.rest[self.searched..]) else {
                self.searched = self.rest.len();
                if self.rest.len() > self.max {
                    self.skipping = true;
                    self.rest.clear();
                    self.searched = 0;
                }
                return None;
            };
            let line = self.rest.split_to(self.searched + end + 1);
            self.searched = 0;
            if let Some(line) = self.line(&line.freeze()) {
                return Some(line);
            }
        }
    }

    /// What is left at the end, which needs no line feed.
    pub fn last(&mut self) -> Option<Line> {
        if self.rest.is_empty() && !self.skipping {
            return None;
        }
        let rest = self.rest.split().freeze();
        self.searched = 0;
        self.line(&rest)
    }

    fn line(&mut self, bytes: &Bytes) -> Option<Line> {
        self.number += 1;
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let trimmed = whole.trim_ascii();
        // As it came, blanks and all: else it would depend on how it was cut.
        if std::mem::take(&mut self.skipping) || whole.len() > self.max {
            return Some(Line { number: self.number, bytes: None });
        }
        let bytes = bytes.slice_ref(trimmed);
        (!bytes.is_empty()).then_some(Line { number: self.number, bytes: Some(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], max: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(max);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next_line() {
                found.push(line);
            }
            assert!(lines.rest.len() <= max, "{} bytes are held", lines.rest.len());
        }
        found.extend(lines.last());
        found.into_iter().map(|line| (line.number, line.bytes.map(|bytes| bytes.to_vec()))).collect()
    }

    #[test]
    fn lines_are_numbered_blank_ones_left_out_and_long_ones_named() {
        let text = b"a\r\n\n  \nbcdefgh\nij";
        let found = cut(&[text], 4);
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(found, [(1, some("a")), (4, None), (5, some("ij"))]);
        assert_eq!(cut(&[b"abcdef", b"ghi\nx\n"], 4), [(1, None), (2, some("x"))]);
        assert_eq!(cut(&[b"abcdef"], 4), [(1, None)]);
        assert_eq!(cut(&[], 4), []);
    }

    proptest! {
        /// However a text is cut into pieces, its lines are those that the standard library finds.
        #[test]
        fn pieces_make_no_difference(text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), Just(b'b'), Just(b' ')], 0..200),
                                     cuts in prop::collection::vec(0usize..200, 0..10)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let mut expected = Vec::new();
            for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
                let line = line.trim_ascii();
                if !line.is_empty() {
                    expected.push((number as u64 + 1, Some(line.to_vec())));
                }
            }
            prop_assert_eq!(cut(&pieces, 1_000), expected);
        }
    }
}
