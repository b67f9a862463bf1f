//! Durable streams on a real Postgres.

#![allow(clippy::unwrap_used)]

mod appends;
mod faults;
mod gather;
mod limits;
mod live;
mod model;
mod order;
mod pages;
mod poolers;
mod retention;
mod rights;
mod sql;
mod transactions;
mod unheard;
