//! Randomness for ids and jitter, never for secrets.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits. The standard library seeds them from the operating system, where `fastrand` seeds from the clock: two
/// processes that start in the same instant still draw different ids.
pub fn bits() -> u64 {
    RandomState::new().hash_one(())
}
