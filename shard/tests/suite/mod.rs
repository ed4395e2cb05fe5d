//! The tests, by what they are about.

pub(crate) mod columns;
pub(crate) mod identity;
mod mysql_only;
pub(crate) mod positions;
mod postgres_only;
pub(crate) mod rebinding;
pub(crate) mod refused;
pub(crate) mod rows;
pub(crate) mod size;
mod sqlite_only;
