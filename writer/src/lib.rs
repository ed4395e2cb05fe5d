//! The writer: journal in, rows out.
//!
//! ```text
//! journal partition -> reader -> router -> lane (one per shard) -> one transaction: rows + stored position
//! ```
//!
//! There is no checkpoint and no acknowledgement: each shard says itself how far it is, and a writer that starts, or is in
//! any doubt, asks. Read in this order:
//!
//! 1. [`config`]: [`Config`], every knob.
//! 2. [`service`]: [`run`], the whole life: connect, start the workers, stop in order.
//! 3. [`worker`]: some partitions, and a lane for each shard.
//! 4. [`partition`]: a partition's live reader: where it starts, and how it feeds the lanes.
//! 5. [`router`]: which shard each event of a chunk belongs to.
//! 6. [`lane`]: one shard's queue and its single running transaction; behind, catching up, joining.
//! 7. [`patience`]: when a lane that is full has made the others wait for long enough.
//! 8. [`shards`]: the shards' addresses, as the directory last told them.
//! 9. [`status`]: what `/readyz` and `/lanes` answer.
//!
//! Apart from all that: [`dead`], the administrator's commands for events that can never become a row.
//! 10. [`trim`]: what every shard has stored is removed from the journal, in time.

pub mod config;
pub mod dead;
pub mod lane;
pub mod partition;
pub mod patience;
pub mod router;
pub mod service;
pub mod shards;
pub mod status;
pub mod trim;
pub mod worker;

pub use config::Config;
pub use service::run;
