//! One stream of the model.

use super::Done;
use shared::streams::{Append, Expiry, Position, Record, Refusal};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Stream {
    pub path: String,
    /// The stream that names the position before all records: itself, or the first of its sources.
    pub root: i64,
    pub content_type: String,
    pub expiry: Expiry,
    pub inherits_expiry: bool,
    pub closed: bool,
    pub gone: bool,
    /// Inherited ones first.
    pub records: Vec<Record>,
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

    pub fn push(&mut self, incarnation: i64, data: bytes::Bytes) {
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
            (Some(new), Some(last)) if new <= last => Err(Refusal::StreamSeq),
            _ => Ok(()),
        }
    }
}
