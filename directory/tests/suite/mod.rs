//! The tests, each written once.

pub(crate) mod placement;
pub(crate) mod secrets;
pub(crate) mod shards;
