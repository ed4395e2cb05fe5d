//! Writers as a group: each process has a share of the partitions, and takes over what a silent one had.
//!
//! Every process says several times a second that it is there, in a key-value bucket, and hears what all others say, itself
//! included, in one order. From who is there follows who has what: no leader, no lease, no vote. Two that see different members for a
//! while both read some partition, or neither does: the first wastes work and no more (see [`crate::lane`]: a shard takes
//! everything once), the second ends with the next beat.
//!
//! 1. [`name`]: what a member is called.
//! 2. [`roll`]: who is there; pure.
//! 3. [`assignment`]: who has which partitions; pure.
//! 4. [`membership`]: saying and hearing it.
//! 5. [`division`]: tells this process' workers.

pub mod assignment;
pub mod division;
pub mod membership;
pub mod name;
pub mod roll;

pub use name::MemberName;
