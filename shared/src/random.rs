//! Random numbers for names, ids and jitter, never for secrets. The standard library seeds them from the operating system,
//! so two processes that start at the same instant draw different ids; `fastrand` would seed from the clock.

use std::hash::{BuildHasher, RandomState};

/// A random number of 64 bits.
pub fn u64() -> u64 {
    RandomState::new().hash_one(())
}

/// A random number of 128 bits: wide enough that no two calls return the same, in this process or in another.
pub fn u128() -> u128 {
    u128::from(u64()) << 64 | u128::from(u64())
}

/// A random fraction between 0 and 1.
pub fn fraction() -> f64 {
    u64() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_differ_and_fractions_are_spread_between_0_and_1() {
        let numbers: HashSet<u128> = (0..1000).map(|_| u128()).collect();
        assert_eq!(numbers.len(), 1000);
        let fractions: Vec<f64> = (0..1000).map(|_| fraction()).collect();
        assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
        let mean = fractions.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
