//! The front door: HTTP in, journal out. It decides nothing but whether an event could become a row at all.
//!
//! 1. [`config`]: [`Config`], every knob.
//! 2. [`app`]: [`run`], the service's whole life, and its routes.
//! 3. [`person`]: `POST /person/{customer_id}`.
//! 4. [`random`]: the random person that an empty body stands for.

pub mod app;
pub mod config;
pub mod person;
pub mod random;

pub use app::run;
pub use config::Config;
