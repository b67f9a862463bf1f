//! What clients, platforms, logs and collectors see of a function that breaks.

#![allow(clippy::unwrap_used)]

mod answers;
mod cargo_lambda;
mod contract;
mod lambda;
mod log;
mod refusals;
mod signals;
mod spans;
mod uploads;
