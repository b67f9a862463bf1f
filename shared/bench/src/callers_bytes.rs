//! What callers add to the bytes of a function that has the HTTPS client already.

use crate::{Measured, build_with, measured};

const FETCHING: Measured = measured("fetching", "/");

pub fn measure() {
    let (alone, with) = (built(&[]), built(&["--features", "callers"]));
    println!("\n| a function with the HTTPS client | bytes, stripped |\n|---|---|");
    println!(
        "| without callers | {alone} |\n| for callers | {with}, {:+} |",
        with.cast_signed() - alone.cast_signed()
    );
}

fn built(options: &[&str]) -> u64 {
    assert!(build_with(FETCHING.binary, options), "the function can be built");
    FETCHING.bytes()
}
