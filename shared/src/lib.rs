//! The library that every function uses. It has four floors, and a module imports only from the floors below it:
//!
//! 1. [`config`] reads settings; [`problem`] answers errors; [`body`] and [`parameters`] take what clients send;
//!    [`download`] answers bytes; [`telemetry`] logs; [`deadline`] bounds everything that waits; `https` (feature `https`) is
//!    the HTTPS client; [`random`] draws numbers; `single_flight` does work once for all that ask at once; `closed_set!`
//!    declares sets of words.
//! 2. `database` (feature `database`) is Postgres: a lazy connection, a pool, and the state of the schema.
//!    `storage` (feature `storage`) is the bucket: GCS, S3, a folder or memory behind one type.
//!    `callers` (feature `callers`) verifies tokens.
//! 3. [`health`] is the health contract; [`sse`] serves event streams; `idempotency` (feature `database`) answers a request
//!    that is repeated; `streams` (feature `streams`) are durable streams.
//! 4. [`runtime`] runs a binary in its four lives.
//!
//! What never ships is in packages beside `src`.

pub mod body;
#[cfg(feature = "callers")]
pub mod callers;
mod causes;
mod closed_set;
pub mod config;
#[cfg(feature = "database")]
pub mod database;
pub mod deadline;
pub mod download;
pub mod health;
#[cfg(feature = "https")]
pub mod https;
#[cfg(feature = "database")]
pub mod idempotency;
pub mod parameters;
pub mod problem;
pub mod random;
pub mod runtime;
mod single_flight;
mod source;
pub mod sse;
#[cfg(feature = "storage")]
pub mod storage;
#[cfg(feature = "streams")]
pub mod streams;
pub mod telemetry;

/// The name of this bundle: `[workspace.metadata] name` of the root manifest.
pub const BUNDLE: &str = env!("BUNDLE");

/// The last second that RFC 3339 can write, since 1970: the end of the year 9999. Postgres knows later ones.
pub const LAST_SECOND: i64 = 253_402_300_799;
