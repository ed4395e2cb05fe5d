//! Who is there, as one member hears it.

use std::collections::{BTreeMap, BTreeSet};

/// The members that were heard lately.
///
/// Time is counted in this member's own beats as it hears them: "silent" means that so many of its own came back, and none of
/// the other's between them. So no clocks are compared, and while nothing is heard at all (the server is away), nobody is silent.
#[derive(Debug)]
pub struct Roll {
    me: String,
    /// Own beats after which a member that was not heard is taken for dead.
    silence: u64,
    beats: u64,
    others: BTreeMap<String, Other>,
}

/// Another member.
#[derive(Debug)]
struct Other {
    /// Which of its beats was heard last.
    revision: u64,
    /// When, in own beats; `None` where it has left.
    heard: Option<u64>,
}

impl Roll {
    /// Nobody heard yet.
    pub fn new(me: String, silence: u64) -> Self {
        Self { me, silence, beats: 0, others: BTreeMap::new() }
    }

    /// This process has heard itself.
    pub fn heard_myself(&mut self) {
        self.beats += 1;
    }

    /// Another member was heard, or an earlier process of this one's name, which is none. A beat that was heard before says nothing.
    pub fn heard(&mut self, member: &str, revision: u64) {
        let known = self.others.get(member).is_some_and(|other| other.revision == revision);
        if member != self.me && !known {
            self.others.insert(member.to_owned(), Other { revision, heard: Some(self.beats) });
        }
    }

    /// A member has left.
    pub fn left(&mut self, member: &str) {
        if let Some(other) = self.others.get_mut(member) {
            other.heard = None;
        }
    }

    /// Everybody who is there; nobody as long as this member has not heard itself, since it has not heard all others before.
    pub fn members(&self) -> Option<BTreeSet<String>> {
        let lives = |other: &Other| other.heard.is_some_and(|heard| heard + self.silence >= self.beats);
        let others = self.others.iter().filter(|(_, other)| lives(other)).map(|(name, _)| name.clone());
        (self.beats > 0).then(|| others.chain([self.me.clone()]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(roll: &Roll) -> Option<String> {
        roll.members().map(|members| members.into_iter().collect())
    }

    #[test]
    fn a_member_is_there_until_it_was_silent_for_long_or_has_left() {
        let mut roll = Roll::new("b".to_owned(), 3);
        roll.heard("a", 1);
        roll.heard("b", 2);
        assert!(members(&roll).is_none(), "others may be there that were not heard yet");
        roll.heard_myself();
        roll.heard("c", 3);
        assert_eq!(members(&roll).unwrap(), "abc");
        for revision in 4..7 {
            roll.heard("c", revision);
            roll.heard_myself();
        }
        assert_eq!(members(&roll).unwrap(), "bc", "a was silent");
        roll.heard("a", 1);
        assert_eq!(members(&roll).unwrap(), "bc", "that was heard before: hearing began anew");
        roll.left("c");
        assert_eq!(members(&roll).unwrap(), "b");
        roll.heard("c", 6);
        assert_eq!(members(&roll).unwrap(), "b", "and that");
        roll.heard("a", 9);
        assert_eq!(members(&roll).unwrap(), "ab", "a is back");
    }

    #[test]
    fn nobody_is_silent_while_nothing_is_heard() {
        let mut roll = Roll::new("b".to_owned(), 2);
        roll.heard("a", 1);
        roll.heard_myself();
        // The server was away for hours; the first that is heard afterwards is this member itself.
        roll.heard_myself();
        assert_eq!(members(&roll).unwrap(), "ab");
    }
}
