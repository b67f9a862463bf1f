//! What breaks streams: ages, drains, peers that vanish, peers that do not read, clocks that jump.

#![allow(clippy::unwrap_used)]

mod clock;
mod streams;
