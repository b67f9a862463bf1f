//! The evidence client over every backend: one suite for all of them, and what is special to each.

#![allow(clippy::unwrap_used)]

#[path = "evidence/bounds.rs"]
mod bounds;
#[path = "evidence/conformance.rs"]
mod conformance;
#[path = "evidence/gcs.rs"]
mod gcs;
#[path = "evidence/local.rs"]
mod local;
#[path = "evidence/moto.rs"]
mod moto;
#[path = "evidence/s3.rs"]
mod s3;
#[path = "evidence/world.rs"]
mod world;
