//! What clients, platforms, logs and collectors see of a function that breaks.

#![allow(clippy::unwrap_used)]

mod access_log;
mod answers;
mod contract;
mod downloads;
mod lambda;
mod log;
mod metrics;
mod refusals;
mod signals;
mod span_fields;
mod spans;
mod streams;
mod uploads;
