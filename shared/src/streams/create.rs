//! Creation, of forks too.

use super::{
    Error, Form, Head, ReadFrom, Streams,
    facts::{Facts, refusal},
    repeated,
};
use crate::deadline::Deadline;
use bytes::Bytes;
use futures_util::FutureExt;
use sqlx::PgExecutor;
use std::time::SystemTime;

/// When a stream expires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expiry {
    /// Never.
    Never,
    /// When it was not read or written for this many seconds.
    Ttl(u32),
    /// At this time, by the database's clock.
    At(SystemTime),
}

/// The stream that is to be at a path.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// The path.
    pub path: String,
    /// `application/octet-stream`, or that of the source of a fork, if it is `None`.
    pub content_type: Option<String>,
    /// `None` and `Never` are the expiry of the source in a fork.
    pub expiry: Option<Expiry>,
    /// Whether it is closed at once.
    pub closed: bool,
    /// The first record.
    pub data: Option<Bytes>,
    /// What the data are.
    pub form: Form,
    /// What it is a fork of.
    pub fork: Option<Fork>,
}

/// What a stream is a fork of.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The path of the source.
    pub source: String,
    /// The position up to which the fork has the records of its source: the tail if it is `None`, and any where the fork
    /// exists already.
    pub at: Option<ReadFrom>,
    /// How much of the record after that position the fork has, in the unit of the content type.
    pub sub_offset: u64,
    /// That much of the record.
    pub prefix: Option<Bytes>,
}

/// Whether a stream was created.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Created {
    /// It was.
    New,
    /// The same stream was there already.
    Existing,
}

impl Streams {
    /// Creates a stream, unless the same one is there. A path that no URL has, and a type that is not one, are the violation of
    /// the constraints `stream_path` and `stream_content_type`.
    ///
    /// # Errors
    /// [`Differs`](super::Refusal::Differs), [`Deleted`](super::Refusal::Deleted),
    /// [`TooManyStreams`](super::Refusal::TooManyStreams), [`TooLarge`](super::Refusal::TooLarge); for a fork
    /// [`SourceNotFound`](super::Refusal::SourceNotFound), [`SourceDeleted`](super::Refusal::SourceDeleted),
    /// [`Beyond`](super::Refusal::Beyond), [`Gone`](super::Refusal::Gone), [`ContentType`](super::Refusal::ContentType)
    /// and [`TooDeep`](super::Refusal::TooDeep).
    pub async fn create(&self, deadline: &Deadline, create: Create) -> Result<(Created, Head), Error> {
        let connection = self.0.database.connection(deadline);
        let facts = repeated(|| self.put(&connection, &create).boxed()).await?;
        let created = match &*facts.verdict {
            "new" => Created::New,
            "existing" => Created::Existing,
            verdict => return Err(refusal(verdict)),
        };
        Ok((created, facts.head()?))
    }

    async fn put(&self, database: impl PgExecutor<'_>, create: &Create) -> sqlx::Result<Facts> {
        let (ttl, expires_at) = Expiry::columns(create.expiry);
        let fork = create.fork.as_ref();
        let (incarnation, at) = fork.map_or((None, None), Fork::point);
        sqlx::query_as!(
            Facts,
            r#"SELECT p.verdict AS "verdict!", f.*
            FROM streams.put(
                $1, $2, $3, timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5, $6, $7, $8, $9, $10, $11, $12, $13
            ) p, streams.facts(p.stream) f"#,
            create.path,
            create.content_type,
            ttl,
            expires_at,
            create.closed,
            create.data.as_deref().filter(|data| !data.is_empty()),
            self.0.limits.streams,
            fork.map(|fork| &*fork.source),
            incarnation,
            at,
            fork.map_or(0, |fork| i64::try_from(fork.sub_offset).unwrap_or(i64::MAX)),
            fork.and_then(|fork| fork.prefix.as_deref()).filter(|data| !data.is_empty()),
            create.form == Form::Body,
        )
        .fetch_one(database)
        .await
    }
}

impl Fork {
    /// The point as `streams.put` takes it.
    fn point(&self) -> (Option<i64>, Option<i64>) {
        match self.at {
            None | Some(ReadFrom::Tail) => (None, None),
            Some(ReadFrom::Start) => (None, Some(0)),
            Some(ReadFrom::At(position)) => (Some(position.incarnation), Some(position.end)),
        }
    }
}
