//! `local` as a process: its start, its commands, its Postgres, and what it stands in for when the scripts deploy.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../fixture/checkout.rs"]
mod checkout;
mod cloud;
mod commands;
mod contract;
mod deploy;
mod disk;
mod newcomer;
mod private_postgres;
mod reset;
mod signals;
mod smoke;
mod start;
mod tokens;
