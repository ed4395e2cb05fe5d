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
//! 3. [`group`]: which partitions this process has, of all writers that are there.
//! 4. [`worker`]: a share of the partitions; it starts and ends their readers. [`share`]: that share as the others see it.
//! 5. [`partition`]: a partition's live reader: where it starts, and how it feeds the lanes.
//! 6. [`router`]: which shard each event of a chunk belongs to.
//! 7. [`lanes`]: a worker's lanes. [`lane`]: one shard's queue and its single running transaction; behind, catching up, joining.
//! 8. [`patience`]: when a lane that is full has made the others wait for long enough.
//! 9. [`shards`]: the shards' addresses, as the directory last told them.
//! 10. [`status`]: what `/readyz` and `/lanes` answer. [`standstill`]: whether a reader gets on;
//!     [`lag`]: how far it is to the journal's end.
//! 11. [`trim`]: what every shard has stored is removed from the journal, in time.
//!
//! Apart from all that, the administrator's commands: [`dead`] for events that can never become a row, and [`journal_repair`] for a
//! journal that lost its end or was made anew.

pub mod config;
pub mod dead;
pub mod group;
pub mod journal_repair;
pub mod lag;
pub mod lane;
pub mod lanes;
pub mod partition;
pub mod patience;
pub mod router;
pub mod service;
pub mod shards;
pub mod share;
pub mod standstill;
pub mod status;
pub mod trim;
pub mod worker;

pub use config::Config;
pub use service::run;
