//! A bucket to test, and what stands behind it.

use bytes::Bytes;
use futures_util::TryStreamExt;
use shared::{
    config::{self, Env},
    storage::{Error, Key, Storage},
};
use std::{any::Any, collections::HashMap, ops::Range, path::Path};

/// More than one part.
pub const LARGE: usize = 20 << 20;

pub struct World {
    pub storage: Storage,
    /// What uploads have left behind.
    pub leftovers: Box<dyn Fn() -> Vec<String>>,
    pub _server: Box<dyn Any>,
}

pub fn storage(settings: &[(&str, &str)]) -> Storage {
    let settings: HashMap<String, String> = settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let env = Env::new(move |key| settings.get(key).cloned());
    let storage = Storage::connect_lazy(config::Storage::from_env(&env));
    assert_eq!(env.invalid(), []);
    storage
}

pub fn key(text: &str) -> Key {
    text.parse().unwrap()
}

/// Content that no two parts of which are the same.
pub fn content(size: usize) -> Bytes {
    let mut state = 1_u32;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()
    });
    words.take(size.div_ceil(4)).flatten().take(size).collect()
}

pub async fn read(storage: &Storage, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Error> {
    let (_, content) = storage.get(&key(name), range).await?;
    let chunks: Vec<Bytes> = content.try_collect().await?;
    Ok(chunks.concat().into())
}

/// Every file below a folder, by its path in it.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else {
            found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
        }
    }
    found
}
