//! The log as it should be: in memory, with a copy of all records in each fork.

mod create;
mod ends;
mod json;
mod stream;

use shared::streams::{
    Append, Appended, Create, Created, Expiry, Head, Page, Position, ReadFrom, Record, Refusal, Stored,
};
use std::collections::{BTreeMap, BTreeSet};
use stream::{ForkOf, Stream};

type Done<T> = Result<T, Refusal>;

/// All streams that there ever were. The incarnation of the first one is 1.
#[derive(Debug, Default)]
pub struct Model {
    streams: Vec<Stream>,
    /// What has come up that no answer says.
    pub seen: BTreeSet<&'static str>,
}

impl Model {
    /// The stream that has a path, though it may have ended.
    fn live_at(&self, path: &str) -> Option<usize> {
        self.streams
            .iter()
            .rposition(|stream| stream.live && stream.path == path)
    }

    /// The stream at a path.
    fn find(&self, path: &str) -> Done<usize> {
        let index = self.live_at(path).ok_or(Refusal::NotFound)?;
        match (self.streams[index].has_ended(), self.has_forks(index)) {
            (false, _) => Ok(index),
            (true, true) => Err(Refusal::Deleted),
            (true, false) => Err(Refusal::NotFound),
        }
    }

    /// Creates a stream, unless the same one is there.
    pub fn create(&mut self, create: &Create) -> Done<(Created, Head)> {
        match self.find(&create.path) {
            Ok(index) if self.matches(index, create) => return Ok((Created::Existing, self.head_of(index))),
            Ok(_) => return Err(Refusal::Differs),
            Err(Refusal::Deleted) => return Err(Refusal::Deleted),
            Err(_) => {
                if let Some(ended) = self.live_at(&create.path) {
                    self.release(ended);
                }
            }
        }
        let mut stream = match &create.fork {
            Some(_) => self.fork(create)?,
            None => Stream {
                path: create.path.clone(),
                root: self.incarnation(self.streams.len()),
                content_type: create
                    .content_type
                    .clone()
                    .unwrap_or("application/octet-stream".to_owned()),
                expiry: create.expiry.unwrap_or(Expiry::Never),
                inherits_expiry: false,
                expires_at: None,
                renewed: None,
                closed: false,
                deleted: false,
                live: true,
                records: Vec::new(),
                first_kept: 0,
                producers: BTreeMap::new(),
                seq: None,
                fork: None,
            },
        };
        stream.closed = create.closed;
        stream.start();
        if let Some(data) = &create.data {
            stream.push(self.incarnation(self.streams.len()), stream.record_of(data));
        }
        self.streams.push(stream);
        Ok((Created::New, self.head_of(self.streams.len() - 1)))
    }

    /// Appends to a stream.
    pub fn append(&mut self, append: &Append) -> Done<Appended> {
        let index = self.find(&append.path)?;
        self.renew(index, "a stream that lives because an append has renewed it");
        let incarnation = self.incarnation(index);
        let stream = &mut self.streams[index];
        let producer = append.producer.as_ref();
        let known = producer.and_then(|producer| stream.producers.get(&producer.id).copied());
        let repeats = producer
            .zip(known)
            .is_some_and(|(by, (epoch, seq))| by.epoch == epoch && by.seq <= seq);
        let mut stored = Stored::New;
        let is_closed_again = stream.closed && append.data.is_none() && producer.is_none();
        if repeats {
            stored = Stored::Repeated;
        } else if !is_closed_again {
            stream.check(append, known)?;
            if let Some(data) = &append.data {
                stream.push(incarnation, stream.record_of(data));
            }
            if let Some(by) = producer {
                stream.producers.insert(by.id.clone(), (by.epoch, by.seq));
            }
            stream.seq = append.seq.clone().or(stream.seq.take());
            stream.closed |= append.close;
        } else {
            stream.seq = append.seq.clone().or(stream.seq.take());
        }
        Ok(Appended {
            stored,
            incarnation,
            tail: stream.tail(),
            closed: stream.closed,
            producer: producer.and_then(|by| stream.producers.get(&by.id).copied()),
        })
    }

    /// The facts of a stream.
    pub fn head(&self, path: &str) -> Done<Head> {
        Ok(self.head_of(self.find(path)?))
    }

    /// The records after a position.
    pub fn page(&mut self, path: &str, from: ReadFrom, limit: usize) -> Done<Page> {
        let index = self.find(path)?;
        let head = self.head_of(index);
        let end = match from {
            ReadFrom::Start => self.streams[index].first_kept,
            ReadFrom::Tail => head.tail.end,
            ReadFrom::At(at) => self.place(index, at)?,
        };
        self.renew(index, "a stream that lives because a read has renewed it");
        let begin = Position {
            incarnation: self.streams[index].holder(end),
            end,
        };
        let after = self.streams[index]
            .records
            .iter()
            .filter(|record| record.position.end > end);
        let limit = end.saturating_add(i64::try_from(limit).unwrap_or(i64::MAX));
        let fit = after
            .enumerate()
            .take_while(|(nth, record)| *nth == 0 || record.position.end <= limit);
        let records: Vec<Record> = fit.map(|(_, record)| record.clone()).collect();
        let next = records.last().map_or(head.tail, |record| record.position);
        Ok(Page {
            head,
            begin,
            records,
            next,
        })
    }

    fn incarnation(&self, index: usize) -> i64 {
        i64::try_from(index).expect("there are few") + 1
    }

    fn head_of(&self, index: usize) -> Head {
        let (stream, incarnation) = (&self.streams[index], self.incarnation(index));
        Head {
            incarnation,
            tail: stream.tail(),
            content_type: stream.content_type.clone(),
            closed: stream.closed,
            expiry: stream.expiry,
        }
    }

    /// The end of a position that a reader of this stream may have.
    fn place(&self, index: usize, at: Position) -> Done<i64> {
        let (stream, incarnation) = (&self.streams[index], self.incarnation(index));
        let inherited = stream
            .records
            .iter()
            .filter(|record| record.position.incarnation == at.incarnation);
        let upto = match inherited.last() {
            _ if at.incarnation == incarnation => stream.end(),
            Some(record) => record.position.end,
            None if at.incarnation == stream.root => 0,
            None if at.incarnation > incarnation => return Err(Refusal::Beyond),
            None => return Err(Refusal::Gone),
        };
        let is_end = at.end == 0 || stream.records.iter().any(|record| record.position.end == at.end);
        if at.end <= upto && at.end < stream.first_kept {
            return Err(Refusal::Gone);
        }
        if at.end <= upto && is_end {
            Ok(at.end)
        } else {
            Err(Refusal::Beyond)
        }
    }
}
