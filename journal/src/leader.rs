//! Whose answers decide anything, where a stream has several copies.
//!
//! A publish is stored once the majority of the copies have it, and only the stream's leader has surely all of that. Others may
//! answer all the same:
//!
//! - A copy that lags answers a direct get. So nothing that decides anything is read by direct gets.
//! - Where a stream has no leader, every server that holds a copy says what it has itself when it is asked about the stream.
//! - A server that was frozen, or is cut off, believes for a while that it leads what others lead by now.
//!
//! What such an answer holds is true, as nothing stands in any copy that was not stored; but its end may be too early. So an end
//! is only believed from a leader whom the majority follows, and where it would stop a reader for good, only if it stays
//! so for [`AGAIN`] and again (`lookup::end_before`).

use std::time::Duration;

use async_nats::jetstream::stream::ClusterInfo;

/// A leader that has not heard from the majority for this long may have been followed by another one since. Leaders ask every
/// second; nobody stands for election before 4 seconds of silence. Lower: answers of a busy server count for nothing, and are
/// asked for again. Higher: an answer may come from one whom nobody follows.
const HEARD: Duration = Duration::from_secs(3);

/// How long to wait before asking again whether the journal really ends before a position. Too short: a server that slept has
/// not heard yet that it no longer leads. Too long: a journal that did lose its end is noticed that much later.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
/// How often it has to say so.
pub(crate) const TIMES: u32 = 3;

/// Whether a stream's description comes from a leader whom the majority of its copies follows. A server that is alone says
/// nothing of a cluster, and speaks for itself.
pub(crate) fn is_followed(cluster: Option<&ClusterInfo>) -> bool {
    let Some(cluster) = cluster else { return true };
    let has_leader = cluster.leader.as_deref().is_some_and(|leader| !leader.is_empty());
    let copies = cluster.replicas.len() + 1;
    let heard = cluster.replicas.iter().filter(|copy| {
        // A leader that has never heard from a copy says 0 as well; but then that copy is not current.
        let ever = copy.current || copy.active > Duration::ZERO;
        ever && copy.active <= HEARD
    });
    has_leader && heard.count() + 1 > copies / 2
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PeerInfo;

    use super::*;

    /// A leader's description; for each other copy how long it has been silent, and whether it is current.
    fn cluster(leader: Option<&str>, others: &[(u64, bool)]) -> ClusterInfo {
        let copy = |&(silent_ms, current): &(u64, bool)| {
            let json = serde_json::json!({
                "name": "other", "current": current, "active": silent_ms * 1_000_000, "offline": false
            });
            serde_json::from_value::<PeerInfo>(json).unwrap()
        };
        let mut cluster: ClusterInfo = serde_json::from_str("{}").unwrap();
        cluster.leader = leader.map(str::to_owned);
        cluster.replicas = others.iter().map(copy).collect();
        cluster
    }

    #[test]
    fn a_server_that_is_alone_and_a_leader_that_most_follow_are_believed_and_nobody_else() {
        assert!(is_followed(None));
        // One copy in a cluster.
        assert!(is_followed(Some(&cluster(Some("a"), &[]))));
        let three = |others: [(u64, bool); 2]| is_followed(Some(&cluster(Some("a"), &others)));
        assert!(three([(10, true), (20, true)]));
        // One is lost; or lags, but follows.
        assert!(three([(10, true), (60_000, false)]));
        assert!(three([(10, false), (60_000, false)]));
        // It slept, or is cut off.
        assert!(!three([(4_000, true), (5_000, true)]));
        // It has only just been started, and has heard from nobody.
        assert!(!three([(0, false), (0, false)]));
        // There is no leader: whoever has a copy answers.
        assert!(!is_followed(Some(&cluster(None, &[(10, true), (10, true), (10, true)]))));
        assert!(!is_followed(Some(&cluster(Some(""), &[(10, true), (10, true), (10, true)]))));
        let five = |others: [(u64, bool); 4]| is_followed(Some(&cluster(Some("a"), &others)));
        assert!(five([(10, true), (10, true), (9_000, true), (9_000, true)]));
        assert!(!five([(10, true), (9_000, true), (9_000, true), (9_000, true)]));
    }
}
