//! The library of all functions. It has three floors, and a module imports only from the floors below its own:
//!
//! 1. [`config`] reads settings; [`problem`] answers errors; [`body`] takes
//!    what clients send; [`telemetry`] logs; [`deadline`] bounds everything that waits.
//! 2. `database` (feature `database`) is Postgres: a lazy connection, a pool, and the state of the schema.
//!    `storage` (feature `storage`) is the bucket: GCS, S3, a folder or memory behind one type.
//! 3. [`health`] is the health contract; [`sse`] serves event streams.
//! 4. [`runtime`] runs a binary in its four lives.
//!
//! What never ships stands in packages beside `src`.

pub mod body;
mod closed_set;
pub mod config;
#[cfg(feature = "database")]
pub mod database;
pub mod deadline;
pub mod health;
#[cfg(feature = "https")]
pub mod https;
pub mod problem;
pub mod random;
pub mod runtime;
pub mod sse;
#[cfg(feature = "storage")]
pub mod storage;
pub mod telemetry;
