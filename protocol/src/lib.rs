//! TODO
pub mod bounds;
mod drain;
pub mod invariants;
mod journal;
mod lane;
pub mod model;
mod shard;
pub mod step;
mod trimmer;
mod work;
pub mod world;
mod writer;
pub use self::{bounds::{Bounds, Variant}, model::Protocol};
