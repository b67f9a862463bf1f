//! For tests: the real binaries in each of their lives, and the real or emulated services that they talk to.

mod binary;
mod client;
mod events;
mod gcs;
pub mod golden;
mod postgres;
mod runtime_api;

pub use binary::{Function, Server};
pub use client::{Client, Exchange};
pub use events::EventShape;
pub use gcs::{Behaviour, GcsEmulator};
pub use postgres::{Postgres, execute, migrate, scalar};
pub use runtime_api::{FakeRuntimeApi, Posted};
