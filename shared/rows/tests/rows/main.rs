//! What a database does to transactions. The servers here have their own defaults.

#![allow(clippy::unwrap_used)]

mod accounts;
mod conflicts;
mod connections;
mod dropped;
mod failures;
mod log;
mod poolers;
mod prepared;
mod sessions;
mod template;
mod typed;
