//! The tests, by what they are about.

pub(crate) mod adopted;
pub(crate) mod columns;
pub(crate) mod identity;
mod mysql_only;
pub(crate) mod positions;
mod postgres_only;
mod postgres_tables;
pub(crate) mod rebinding;
pub(crate) mod refused;
mod rights;
pub(crate) mod rows;
mod sessions;
pub(crate) mod size;
mod sqlite_only;
pub(crate) mod wrong_table;
