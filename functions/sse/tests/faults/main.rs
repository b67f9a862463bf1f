//! Faults of event streams: ages, drains, clients that vanish, clients that do not read, clocks that jump.

#![allow(clippy::unwrap_used)]

mod clock;
mod streams;
