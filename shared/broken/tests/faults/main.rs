//! What clients, platforms, logs and collectors see of a function that breaks.

#![allow(clippy::unwrap_used)]

mod answers;
mod contract;
mod lambda;
mod log;
mod refusals;
mod signals;
mod slow_uploads;
mod spans;
mod uploads;
