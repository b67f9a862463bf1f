//! Files of this repository that must say the same.

#![allow(clippy::unwrap_used)]

#[path = "../fixture/checkout.rs"]
mod checkout;
mod deployment;
mod functions;
mod openapi;
mod parameters;
mod problems;
mod readme;
