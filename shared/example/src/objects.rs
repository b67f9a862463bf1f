//! The objects of this function. Their keys begin with its name.

use shared::storage::{
    Error,
    Key,
    Kind,
    Put, // if body
    Storage,
};

const KEY: &str = "example/text";

// if body
/// Stores a text in the place of the one before.
///
/// # Errors
/// Of the bucket.
pub async fn store(storage: &Storage, text: String) -> Result<(), Error> {
    let put = Put {
        overwrite: true,
        content_type: Some("text/plain".to_owned()),
        ..Put::default()
    };
    storage.put(&key(), text.into(), &put).await.map(drop)
}

/// The size of the text, in bytes; `None` where nothing is stored.
///
/// # Errors
/// Of the bucket.
pub async fn size(storage: &Storage) -> Result<Option<u64>, Error> {
    match storage.head(&key()).await {
        Ok(object) => Ok(Some(object.size)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn key() -> Key {
    KEY.parse().expect("a valid key")
}
