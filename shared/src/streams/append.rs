//! Appends, and the close.

use super::{Error, Position, Refusal, Streams, batch::Batch};
use crate::{database::Transaction, deadline::Deadline};
use bytes::Bytes;

/// What is to be appended to a stream.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// The path of the stream.
    pub path: String,
    /// The content type of the data. `None` is not compared with that of the stream.
    pub content_type: Option<String>,
    /// One record. Without data, the stream is closed.
    pub data: Option<Bytes>,
    /// What the data are.
    pub form: Form,
    /// Whether the stream is closed with this append.
    pub close: bool,
    /// Who appends, so that a repetition is not stored twice.
    pub producer: Option<Producer>,
    /// `Stream-Seq`: greater, byte by byte, than that of the last append that had one.
    pub seq: Option<String>,
}

/// What data are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Form {
    /// What a client sends. In a stream of JSON, the database checks that it is JSON, and makes an array as many values.
    #[default]
    Body,
    /// A record as it is stored, which is not checked: in a stream of JSON, values with commas between them.
    Record,
}

/// A producer whose repeated appends are stored once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Producer {
    /// Its name.
    pub id: String,
    /// Grows when the producer starts again.
    pub epoch: i64,
    /// Grows by one with each append of an epoch, from 0.
    pub seq: i64,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Whether it was stored now, or before.
    pub stored: Stored,
    /// The number of the stream.
    pub incarnation: i64,
    /// Where the stream ends now.
    pub tail: Position,
    /// Whether the stream is closed now.
    pub closed: bool,
    /// The epoch of the producer and the highest sequence number in it.
    pub producer: Option<(i64, i64)>,
}

/// When an append was stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stored {
    /// Now.
    New,
    /// Before: this is a repetition.
    Repeated,
}

impl Streams {
    /// Appends to a stream, together with what else waits for it in this process. If the future is dropped, the append is
    /// stored or not, but never in part.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound), [`Deleted`](super::Refusal::Deleted), [`Closed`](super::Refusal::Closed),
    /// [`ContentType`](super::Refusal::ContentType), [`StreamSeq`](super::Refusal::StreamSeq),
    /// [`Empty`](super::Refusal::Empty), [`TooLarge`](super::Refusal::TooLarge); with a producer
    /// [`StaleEpoch`](super::Refusal::StaleEpoch), [`EpochStart`](super::Refusal::EpochStart), [`Gap`](super::Refusal::Gap)
    /// and [`TooManyProducers`](super::Refusal::TooManyProducers).
    pub async fn append(&self, deadline: &Deadline, append: Append) -> Result<Appended, Error> {
        self.0.gather.append(deadline, append).await
    }

    /// Appends to a stream in a transaction, which decides whether it has happened. The stream is locked until the transaction
    /// ends. `ring` wakes readers when it commits; the server serialises the commits of all transactions that do.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn append_in(
        &self,
        transaction: &mut Transaction,
        append: Append,
        ring: bool,
    ) -> Result<Appended, Error> {
        let batch = Batch::new([&append]);
        let mut outcomes = batch.append(&mut *transaction, self.0.limits.producers, true).await?;
        let appended = outcomes.pop().flatten().unwrap_or(Err(Refusal::NotFound.into()))?;
        if ring {
            sqlx::query!("SELECT streams.ring($1)", appended.incarnation)
                .execute(transaction)
                .await?;
        }
        Ok(appended)
    }
}
