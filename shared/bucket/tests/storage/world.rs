//! A bucket to test, and the server or folder behind it.

use bytes::Bytes;
use futures_util::TryStreamExt;
use shared::{
    config::Env,
    storage::{Error, Key, Presigned, Storage},
};
use std::{any::Any, collections::HashMap, ops::Range, path::Path};
use testing::Client;

/// Two parts.
pub const LARGE: usize = 9 << 20;

pub struct World {
    pub storage: Storage,
    /// Lists what uploads have left behind.
    pub leftovers: Box<dyn Fn() -> Vec<String>>,
    pub _server: Box<dyn Any>,
}

pub fn storage(settings: &[(&str, &str)]) -> Storage {
    let settings: HashMap<String, String> = settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let env = Env::new(move |key| settings.get(key).cloned());
    let storage = Storage::from_env(&env);
    assert_eq!(env.take_invalid(), []);
    storage
}

pub fn key(text: &str) -> Key {
    text.parse().unwrap()
}

/// Content in which no two kilobytes are the same.
pub fn content(size: usize) -> Bytes {
    let mut content: Vec<u8> = (0..size.min(1024)).map(|at| (at * 31 % 251) as u8).collect();
    content = content.repeat(size.div_ceil(1024).max(1));
    content.truncate(size);
    for (number, kilobyte) in (1_u32..).zip(content.chunks_exact_mut(1024)) {
        kilobyte[..4].copy_from_slice(&number.to_be_bytes());
    }
    content.into()
}

pub async fn read(storage: &Storage, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Error> {
    let (_, content) = storage.get(&key(name), range).await?;
    let chunks: Vec<Bytes> = content.try_collect().await?;
    Ok(chunks.concat().into())
}

/// The headers that a signed request must have.
pub fn bound(signed: &Presigned) -> Vec<(&str, &str)> {
    let headers = signed.headers.iter();
    headers.map(|(name, value)| (name.as_str(), value.as_str())).collect()
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

/// A signed URL downloads this content.
pub async fn downloads(signed: &Presigned, content: Bytes) {
    let answer = Client::http1().get(&signed.url).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.clone()),
        (200, content),
        "{}",
        answer.transcript()
    );
}
