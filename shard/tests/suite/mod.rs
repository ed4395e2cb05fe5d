//! The tests, by what they are about.

pub(crate) mod identity;
pub(crate) mod positions;
mod postgres_only;
pub(crate) mod refused;
pub(crate) mod rows;
mod sqlite_only;
