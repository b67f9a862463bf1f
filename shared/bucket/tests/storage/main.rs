//! The storage client over every backend: one suite for all of them, and tests of each.

#![allow(clippy::unwrap_used)]

mod bounds;
mod conformance;
mod folder;
mod gcs;
mod lifecycle;
mod memory;
mod moto;
mod s3;
mod world;
