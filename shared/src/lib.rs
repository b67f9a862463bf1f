//! The library of all functions. It has three floors, and a module imports only from the floors below its own:
//!
//! 1. [`config`] reads settings; [`problem`] answers errors; [`telemetry`] logs; [`deadline`] bounds everything that waits.
//! 2. `database` (feature `database`) is Postgres: a lazy connection, a pool, and the state of the schema.
//!    `storage` (feature `storage`) is the bucket: GCS, S3, a folder or memory behind one type.
//! 3. [`health`] is the health contract; [`sse`] serves event streams; [`runtime`] runs a binary in its four lives.
//!
//! `private_postgres` (feature `private-postgres`) runs a Postgres of our own, for development and for tests;
//! `testing` (feature `testing`) starts the real binaries under a fake Lambda Runtime API.

pub mod config;
#[cfg(feature = "database")]
pub mod database;
pub mod deadline;
pub mod health;
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
