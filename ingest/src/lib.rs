//! The front door: HTTP in, journal out. It decides nothing but whether an event could become a row at all.
//!
//! 1. [`config`]: [`Config`], every knob.
//! 2. [`app`]: [`run`], the service's whole life, and what its requests share; [`routes`]: every path.
//! 3. [`person`]: `POST /person/{customer_id}`; [`random`]: the person that an empty body stands for.
//! 4. [`bulk`]: many persons in one request; [`lines`] cuts them apart, [`report`] says what came of each.
//! 5. [`access`]: who may write for whom; [`customer`]: whom the request names; [`asked`]: what its headers ask for.
//! 6. [`body`]: receiving from a client that may be slow; [`byte_order_mark`]: what may stand
//!    before a body and says nothing; [`store`]: storing, and what a failure means.
//! 7. [`cors`]: which pages in a browser may post.
//! 8. [`openapi`]: all of this as a document; [`ready`]: whether it can take events.

pub mod access;
pub mod app;
pub mod asked;
pub mod body;
pub mod bulk;
pub mod byte_order_mark;
pub mod config;
pub mod cors;
pub mod customer;
pub mod lines;
pub mod openapi;
pub mod person;
pub mod random;
pub mod ready;
pub mod report;
pub mod routes;
pub mod store;

pub use app::run;
pub use config::Config;
