//! Faults of every function, tested on the smallest: hostile clients, malformed events, signals, limits of the process.

#![allow(clippy::unwrap_used)]

mod fuzz_lambda;
mod hostile_clients;
mod process;
mod signals;
