//! GCS, on the emulator.

use crate::{
    conformance::conforms,
    world::{World, storage},
};
use shared::testing::gcs::GcsEmulator;
use std::sync::Arc;

async fn world() -> World {
    let emulator = Arc::new(GcsEmulator::start("evidence").await);
    let behind = Arc::clone(&emulator);
    World {
        storage: storage(&[("GCS_BUCKET", "evidence"), ("STORAGE_EMULATOR_HOST", &emulator.url)]),
        leftovers: Box::new(move || {
            let (keys, uploads) = behind.contents();
            let staged = keys.into_iter().filter(|key| key.starts_with(".pilotlight/"));
            staged.chain((0..uploads).map(|_| "an upload".to_owned())).collect()
        }),
        _server: Box::new(emulator),
    }
}

conforms!(world());
