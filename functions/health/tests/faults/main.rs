//! What breaks any function, on the least of them: clients, events that nobody would send, signals, limits of the process.

#![allow(clippy::unwrap_used)]

mod fuzz_lambda;
mod hostile_clients;
mod process;
mod signals;
