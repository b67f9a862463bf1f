//! Random numbers, from the keys that the standard library takes from the operating system: each number is the hash (SipHash)
//! of nothing under new keys. Good for names, ids and jitter; not for secrets.

use std::hash::{BuildHasher, RandomState};

/// Any number.
pub fn u64() -> u64 {
    RandomState::new().hash_one(())
}

/// Any number. No two calls return the same one, in this process or in another.
pub fn u128() -> u128 {
    u128::from(u64()) << 64 | u128::from(u64())
}

/// From 0 to 1.
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
