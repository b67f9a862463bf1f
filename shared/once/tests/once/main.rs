//! What can go wrong between a request, its effect and its answer, on the real binary and a real Postgres.

#![allow(clippy::unwrap_used)]

mod answers;
mod keys;
mod killed;
mod lives;
mod poolers;
mod shop;
mod together;
