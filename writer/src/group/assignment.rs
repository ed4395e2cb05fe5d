//! Who has which partitions.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use sluice_model::Partition;

/// Shares partitions out among members (or a process' share among its workers): each gets as many as the next, or one more.
///
/// Rendezvous hashing with bounded loads: every pair of member and partition has a weight that depends on nothing else, and pairs
/// are taken from the heaviest down, where the partition is still free and the member has not got its number. All who know the
/// same members come to the same result, and few partitions move when one comes or goes. Plain rendezvous hashing (Thaler and
/// Ravishankar, 1998) moves the fewest, but leaves one of two members without any of four partitions in an eighth of all
/// cases; bounding loads is Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
pub fn share_out<'a>(
    partitions: &BTreeSet<Partition>,
    members: &'a BTreeSet<String>,
) -> BTreeMap<&'a str, BTreeSet<Partition>> {
    let mut shares: BTreeMap<&str, BTreeSet<Partition>> =
        members.iter().map(|member| (member.as_str(), BTreeSet::new())).collect();
    if members.is_empty() {
        return shares;
    }
    let (each, mut one_more) = (partitions.len() / members.len(), partitions.len() % members.len());
    let pairs = members.iter().flat_map(|member| partitions.iter().map(move |partition| (member.as_str(), *partition)));
    let mut pairs: Vec<_> = pairs.map(|(member, partition)| (weight(member, partition), member, partition)).collect();
    pairs.sort_unstable_by(|a, b| b.cmp(a));
    let mut taken = BTreeSet::new();
    for (_, member, partition) in pairs {
        let share = shares.get_mut(member).expect("every member has a share");
        let has_room = share.len() < each || (share.len() == each && one_more > 0);
        if has_room && taken.insert(partition) {
            one_more -= usize::from(share.len() == each);
            share.insert(partition);
        }
    }
    shares
}

/// What each worker of one member has, where these members are there.
pub fn of_workers(
    partitions: &BTreeSet<Partition>,
    members: &BTreeSet<String>,
    me: &str,
    workers: u16,
) -> Vec<BTreeSet<Partition>> {
    let share = share_out(partitions, members).remove(me).unwrap_or_default();
    let names: BTreeSet<String> = (0..workers).map(|worker| worker.to_string()).collect();
    let mut shares = share_out(&share, &names);
    (0..workers).map(|worker| shares.remove(worker.to_string().as_str()).unwrap_or_default()).collect()
}

/// SHA-256, as it is the same in every build of every version: members that reckon differently would leave partitions alone.
fn weight(member: &str, partition: Partition) -> [u8; 32] {
    Sha256::new().chain_update(partition.number().to_be_bytes()).chain_update(member).finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partitions(count: u16) -> BTreeSet<Partition> {
        (0..count).map(Partition::new).collect()
    }

    fn members(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
        numbers.into_iter().map(|n| format!("host{n}-7080")).collect()
    }

    /// Who has each partition.
    fn owners(shares: &BTreeMap<&str, BTreeSet<Partition>>) -> BTreeMap<Partition, String> {
        shares.iter().flat_map(|(member, share)| share.iter().map(|p| (*p, (*member).to_owned()))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn every_partition_has_one_member_and_each_member_as_many_as_the_next(
            count in prop_oneof![99 => 1u16..=16, 1 => 1u16..=512], numbers in prop::collection::btree_set(0u32..1_000, 1..8),
        ) {
            let (partitions, members) = (partitions(count), members(numbers));
            let shares = share_out(&partitions, &members);
            prop_assert_eq!(shares.values().map(BTreeSet::len).sum::<usize>(), partitions.len());
            prop_assert!(owners(&shares).keys().eq(partitions.iter()));
            let sizes: Vec<_> = shares.values().map(BTreeSet::len).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn when_a_member_comes_or_goes_little_more_than_its_share_moves() {
        let partitions = partitions(64);
        let mut most = 0;
        for n in 0..200 {
            let four = members([n, n + 1_000, n + 2_000, n + 3_000]);
            let three = members([n, n + 1_000, n + 2_000]);
            let (before, after) = (owners(&share_out(&partitions, &four)), owners(&share_out(&partitions, &three)));
            let moved = partitions.iter().filter(|p| before[p] != after[p]).count();
            assert!(moved >= 16, "what the fourth had has moved");
            most = most.max(moved);
        }
        assert!(most <= 40, "{most} of 64 moved, and 16 had to");
    }

    #[test]
    fn the_workers_of_a_member_share_what_it_has() {
        let (partitions, members) = (partitions(64), members([1, 2]));
        let own = share_out(&partitions, &members)["host1-7080"].clone();
        let workers = of_workers(&partitions, &members, "host1-7080", 3);
        assert_eq!(workers.iter().map(BTreeSet::len).collect::<BTreeSet<_>>(), BTreeSet::from([10, 11]));
        assert_eq!(workers.into_iter().flatten().collect::<BTreeSet<_>>(), own);
        assert_eq!(of_workers(&partitions, &members, "nobody", 2), [BTreeSet::new(), BTreeSet::new()]);
    }

    #[test]
    fn nobody_gets_nothing_of_no_partitions() {
        assert!(share_out(&partitions(4), &BTreeSet::new()).is_empty());
        assert!(share_out(&BTreeSet::new(), &members([1]))["host1-7080"].is_empty());
    }

    /// Processes of two versions have to agree: a change of these is a change of the protocol.
    #[test]
    fn the_result_is_the_same_in_every_version() {
        let (partitions, members) = (partitions(6), members([1, 2]));
        let shares = share_out(&partitions, &members);
        let first: Vec<_> = shares["host1-7080"].iter().map(|p| p.number()).collect();
        assert_eq!(first, [0, 2, 5]);
    }
}
