//! What every function of the bundle stands on. Floors, from the ground; a module imports from the floors below only:
//!
//! 1. [`config`] reads settings; [`problem`] answers errors; [`telemetry`] logs; [`lifetime`] says how long an answer
//!    may take.
//! 2. `database` (feature `database`) is Postgres: a lazy connection, a pool, and the state of the schema.
//!    `storage` (feature `storage`) is the bucket: GCS, S3, a folder or memory behind one type.
//! 3. [`health`] is the health contract; [`sse`] is the life of an event stream; [`runtime`] is the four lives of a
//!    binary.
//!
//! `private_postgres` (feature `private-postgres`) runs a Postgres of our own, for development and for tests;
//! `testing` (feature `testing`) starts the real binaries under a fake Lambda Runtime API.

mod closed_set;
pub mod config;
#[cfg(feature = "database")]
pub mod database;
pub mod health;
pub mod lifetime;
#[cfg(feature = "private-postgres")]
pub mod private_postgres;
pub mod problem;
pub mod random;
pub mod runtime;
pub mod sse;
#[cfg(feature = "storage")]
pub mod storage;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
