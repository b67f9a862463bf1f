//! A bucket in memory.

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{World, storage},
};

async fn world() -> World {
    World {
        storage: storage(&[("STORAGE_URL", "memory:")]),
        leftovers: Box::new(Vec::new),
        _server: Box::new(()),
    }
}

conforms!(world());
decides_races!(world());
takes_every_key!(world());
