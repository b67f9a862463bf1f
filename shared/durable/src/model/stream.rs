//! One stream of the model.

use super::{Done, json};
use bytes::Bytes;
use shared::streams::{Append, Expiry, Position, Record, Refusal};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

#[derive(Clone, Debug)]
pub struct Stream {
    pub path: String,
    /// The stream that names the position before all records: itself, or the first of its sources.
    pub root: i64,
    pub content_type: String,
    pub expiry: Expiry,
    pub inherits_expiry: bool,
    /// `None` is never.
    pub expires_at: Option<SystemTime>,
    /// When it would have expired if it had not been renewed last, and by what.
    pub renewed: Option<(SystemTime, &'static str)>,
    pub closed: bool,
    pub deleted: bool,
    /// Whether the path is taken by this stream, though it may have ended.
    pub live: bool,
    /// Inherited ones first, and those that were deleted since, too.
    pub records: Vec<Record>,
    /// Records up to here were deleted.
    pub first_kept: i64,
    pub producers: BTreeMap<String, (i64, i64)>,
    pub seq: Option<String>,
    pub fork: Option<ForkOf>,
}

#[derive(Clone, Debug)]
pub struct ForkOf {
    pub source: usize,
    pub at: i64,
    pub sub_offset: u64,
}

impl Stream {
    pub fn end(&self) -> i64 {
        self.records.last().map_or(0, |record| record.position.end)
    }

    /// The stream that holds the record which ends at a position.
    pub fn holder(&self, end: i64) -> i64 {
        let record = self.records.iter().find(|record| record.position.end == end);
        record.map_or(self.root, |record| record.position.incarnation)
    }

    pub fn tail(&self) -> Position {
        let end = self.end();
        Position {
            incarnation: self.holder(end),
            end,
        }
    }

    /// The time that it has to live begins.
    pub fn start(&mut self) {
        self.renewed = None;
        self.expires_at = match self.expiry {
            Expiry::At(at) => Some(at),
            _ => self.ttl().map(|ttl| SystemTime::now() + ttl),
        };
    }

    pub fn ttl(&self) -> Option<Duration> {
        match self.expiry {
            Expiry::Ttl(seconds) => Some(Duration::from_secs(seconds.into())),
            _ => None,
        }
    }

    /// Whether the stream was deleted or has expired.
    pub fn has_ended(&self) -> bool {
        self.deleted || self.expires_at.is_some_and(|at| at <= SystemTime::now())
    }

    /// The record that a body becomes: empty if it has no message.
    pub fn record_of(&self, body: &Bytes) -> Bytes {
        if self.is_json() {
            json::flattened(body)
        } else {
            body.clone()
        }
    }

    /// The first messages of a record of JSON, or its first bytes; `None` if it has fewer.
    pub fn first_of(&self, record: &Bytes, count: u64) -> Option<Bytes> {
        let count = usize::try_from(count).expect("it is small");
        if self.is_json() {
            json::first(record, count)
        } else {
            (count <= record.len()).then(|| record.slice(..count))
        }
    }

    fn is_json(&self) -> bool {
        self.content_type == "application/json"
    }

    pub fn push(&mut self, incarnation: i64, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let end = self.end() + i64::try_from(data.len()).expect("it is short");
        let position = Position { incarnation, end };
        self.records.push(Record { position, data });
    }

    pub fn check(&self, append: &Append, known: Option<(i64, i64)>) -> Done<()> {
        if self.closed {
            return Err(Refusal::Closed { tail: self.tail() });
        }
        let differs = append
            .content_type
            .as_ref()
            .is_some_and(|wanted| *wanted != self.content_type);
        if append.data.is_some() && differs {
            return Err(Refusal::ContentType);
        }
        match (append.producer.as_ref(), known) {
            (Some(by), Some((epoch, _))) if by.epoch < epoch => return Err(Refusal::StaleEpoch { epoch }),
            (Some(by), Some((epoch, _))) if by.epoch > epoch && by.seq > 0 => return Err(Refusal::EpochStart),
            (Some(by), Some((epoch, seq))) if by.epoch == epoch && by.seq > seq + 1 => {
                return Err(Refusal::Gap { expected: seq + 1 });
            }
            (Some(by), None) if by.seq > 0 => return Err(Refusal::Gap { expected: 0 }),
            _ => {}
        }
        match (&append.seq, &self.seq) {
            (Some(new), Some(last)) if new <= last => return Err(Refusal::StreamSeq),
            _ => {}
        }
        match &append.data {
            Some(data) if self.record_of(data).is_empty() => Err(Refusal::Empty),
            _ => Ok(()),
        }
    }
}
