//! Takes the byte order mark off the start of a body that comes in pieces. No I/O.

use bytes::Bytes;
use sluice_model::message::BYTE_ORDER_MARK as MARK;

/// Where in a body one is.
#[derive(Debug)]
pub enum BodyStart {
    /// So many bytes of the mark have come, and nothing else.
    Within(usize),
    /// Beyond it, or there is none.
    Past,
}

impl BodyStart {
    /// Takes the next piece; gives what of the body is certain by now, without the mark.
    pub fn take(&mut self, piece: Bytes) -> Bytes {
        let Self::Within(seen) = *self else { return piece };
        let rest = &MARK[seen..];
        let same = piece.iter().zip(rest).take_while(|(byte, mark)| byte == mark).count();
        if same == rest.len() {
            *self = Self::Past;
            return piece.slice(same..);
        }
        if same == piece.len() {
            *self = Self::Within(seen + same);
            return Bytes::new();
        }
        *self = Self::Past;
        if seen == 0 { piece } else { [&MARK[..seen], &piece].concat().into() }
    }

    /// Gives what was held back, at the end of a body that is nothing but a part of the mark.
    pub fn end(&mut self) -> Bytes {
        match std::mem::replace(self, Self::Past) {
            Self::Within(seen) => Bytes::from_static(&MARK[..seen]),
            Self::Past => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut start = BodyStart::Within(0);
        let taken = pieces.iter().map(|piece| start.take(Bytes::copy_from_slice(piece)));
        let mut taken: Vec<Bytes> = taken.collect();
        taken.push(start.end());
        taken.concat()
    }

    proptest! {
        #[test]
        fn one_mark_goes_and_nothing_else_however_the_body_is_cut(
            body in prop::collection::vec(prop_oneof![
                Just(0xEF_u8), Just(0xBB), Just(0xBF), Just(b'a'),
            ], 0..8),
            cuts in prop::collection::vec(0usize..8, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            prop_assert_eq!(pushed(&pieces), body.strip_prefix(MARK).unwrap_or(&body));
        }
    }

    #[test]
    fn of_two_marks_the_second_stays() {
        assert_eq!(pushed(&[MARK, MARK]), MARK);
        assert_eq!(pushed(&[&MARK[..2]]), &MARK[..2]);
    }
}
