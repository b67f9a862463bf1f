//! The log as it should be: in memory, with a copy of all records in each fork.

mod create;
mod stream;

use shared::streams::{
    Append, Appended, Create, Created, Expiry, Head, Page, Position, ReadFrom, Record, Refusal, Stored,
};
use std::collections::BTreeMap;
use stream::{ForkOf, Stream};

type Done<T> = Result<T, Refusal>;

/// All streams that there ever were. The incarnation of the first one is 1.
#[derive(Debug, Default)]
pub struct Model {
    streams: Vec<Stream>,
}

impl Model {
    fn has_forks(&self, index: usize) -> bool {
        let forks = self.streams.iter().enumerate();
        let mut forks = forks.filter(|(_, stream)| stream.fork.as_ref().is_some_and(|fork| fork.source == index));
        forks.any(|(index, stream)| !stream.gone || self.has_forks(index))
    }

    /// The stream at a path.
    fn find(&self, path: &str) -> Done<usize> {
        let index = self.streams.iter().rposition(|stream| stream.path == path);
        let index = index.ok_or(Refusal::NotFound)?;
        match (self.streams[index].gone, self.has_forks(index)) {
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
            Err(_) => {}
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
                closed: false,
                gone: false,
                records: Vec::new(),
                producers: BTreeMap::new(),
                seq: None,
                fork: None,
            },
        };
        stream.closed = create.closed;
        let prefix = create.fork.as_ref().and_then(|fork| fork.prefix.as_ref());
        let incarnation = self.incarnation(self.streams.len());
        for data in prefix.into_iter().chain(&create.data) {
            stream.push(incarnation, data.clone());
        }
        self.streams.push(stream);
        Ok((Created::New, self.head_of(self.streams.len() - 1)))
    }

    /// Appends to a stream.
    pub fn append(&mut self, append: &Append) -> Done<Appended> {
        let index = self.find(&append.path)?;
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
                stream.push(incarnation, data.clone());
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
    pub fn page(&self, path: &str, from: ReadFrom, limit: usize) -> Done<Page> {
        let index = self.find(path)?;
        let head = self.head_of(index);
        let end = match from {
            ReadFrom::Start => 0,
            ReadFrom::Tail => head.tail.end,
            ReadFrom::At(at) => self.place(index, at)?,
        };
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

    /// Deletes a stream.
    pub fn delete(&mut self, path: &str) -> Done<()> {
        let index = self.find(path)?;
        self.streams[index].gone = true;
        Ok(())
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
        if at.end <= upto && is_end {
            Ok(at.end)
        } else {
            Err(Refusal::Beyond)
        }
    }
}
