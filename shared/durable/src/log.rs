//! Streams in a migrated database.

use shared::{
    config::Env,
    database::Database,
    deadline::Deadline,
    streams::{Append, Create, Cursor, Error, Follow, Fork, Form, Page, ReadFrom, Streams},
};
use std::time::Duration;
use tokio::{task::JoinHandle, time::Instant};

/// Streams, as one process has them.
#[derive(Clone)]
pub struct Log {
    /// The URL of the database.
    pub url: String,
    /// The database.
    pub database: Database,
    /// The streams.
    pub streams: Streams,
}

impl Log {
    /// The streams of a database, with further settings.
    pub fn at(url: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<(String, String)> = [("DATABASE_URL", url)]
            .iter()
            .chain(settings)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let env = Env::new(move |wanted| {
            let found = settings.iter().rfind(|(key, _)| key == wanted);
            found.map(|(_, value)| value.clone())
        });
        let database = Database::from_env(&env);
        let streams = Streams::from_env(&env, database.clone());
        assert_eq!(env.take_invalid(), []);
        Self {
            url: url.to_owned(),
            database,
            streams,
        }
    }

    /// All records of a stream, read page by page of so many bytes.
    pub async fn read_all(&self, path: &str, limit: usize) -> Vec<u8> {
        let mut from = ReadFrom::Start;
        let mut bytes = Vec::new();
        loop {
            let page = self.page(path, from, limit).await;
            for record in &page.records {
                bytes.extend_from_slice(&record.data);
            }
            if page.is_up_to_date() {
                return bytes;
            }
            from = ReadFrom::At(page.next);
        }
    }

    /// Creates a stream of text, and returns where a reader of it begins.
    pub async fn empty(&self, path: &str) -> Cursor {
        self.streams.create(&within(10), create(path)).await.expect("it is new");
        self.page(path, ReadFrom::Start, 100).await.cursor()
    }

    /// A reader that waits for so many seconds.
    pub fn following(&self, path: &str, cursor: Cursor, seconds: u64) -> JoinHandle<Result<Follow, Error>> {
        let (streams, path) = (self.streams.clone(), path.to_owned());
        tokio::spawn(async move { streams.follow(&within(seconds), &path, &cursor, 100).await })
    }

    /// A page that must be there.
    pub async fn page(&self, path: &str, from: ReadFrom, limit: usize) -> Page {
        let page = self.streams.page(&within(10), path, from, limit).await;
        page.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// A deadline in so many seconds.
pub fn within(seconds: u64) -> Deadline {
    Deadline::default().earlier(Instant::now() + Duration::from_secs(seconds))
}

/// A stream of text that does not exist yet.
pub fn create(path: &str) -> Create {
    Create {
        path: path.to_owned(),
        content_type: Some("text/plain".to_owned()),
        form: Form::Record,
        ..Create::default()
    }
}

/// A fork of another stream.
pub fn fork(path: &str, source: &str, at: Option<ReadFrom>) -> Create {
    Create {
        fork: Some(Fork {
            source: source.to_owned(),
            at,
            sub_offset: 0,
            prefix: None,
        }),
        content_type: None,
        ..create(path)
    }
}

/// An append of text.
pub fn append(path: &str, data: impl AsRef<[u8]>) -> Append {
    Append {
        path: path.to_owned(),
        content_type: Some("text/plain".to_owned()),
        data: Some(data.as_ref().to_vec().into()),
        ..Append::default()
    }
}
