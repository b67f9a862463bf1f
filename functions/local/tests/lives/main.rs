//! `local` as a process: its start, its commands, its Postgres, and what it stands in for when the scripts deploy.

#![allow(clippy::unwrap_used)]

#[path = "../fixture/checkout.rs"]
mod checkout;
mod cloud;
mod commands;
mod deploy;
mod disk;
mod newcomer;
mod private_postgres;
mod signals;
mod smoke;
mod start;
