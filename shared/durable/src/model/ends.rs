//! How streams and records end in the model.

use super::{Done, Model};
use shared::streams::Expiry;
use std::time::{Duration, SystemTime};

impl Model {
    /// Deletes a stream.
    pub fn delete(&mut self, path: &str) -> Done<()> {
        let index = self.find(path)?;
        self.streams[index].deleted = true;
        if !self.has_forks(index) {
            self.release(index);
        }
        Ok(())
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        for stream in &mut self.streams {
            stream.expires_at = stream.expires_at.map(|at| at - time);
            stream.renewed = stream.renewed.map(|(at, event)| (at - time, event));
            if let Expiry::At(at) = &mut stream.expiry {
                *at -= time;
            }
            let event = match (stream.has_ended(), stream.ttl(), stream.renewed) {
                _ if stream.deleted || !stream.live => continue,
                (false, _, Some((at, event))) if at <= SystemTime::now() => event,
                (false, ..) => continue,
                (true, Some(_), _) => "a time to live that is over",
                (true, None, _) => "a time that has come",
            };
            self.seen.insert(event);
        }
    }

    /// Renews the time that a stream has to live when a tenth of it has passed.
    pub(super) fn renew(&mut self, index: usize, event: &'static str) {
        let (stream, now) = (&mut self.streams[index], SystemTime::now());
        if let (Some(ttl), Some(at)) = (stream.ttl(), stream.expires_at)
            && at < now + ttl - ttl / 10
        {
            stream.expires_at = Some(now + ttl);
            stream.renewed = Some((at, event));
        }
    }

    /// Takes the paths from all streams that have ended, unless forks keep them.
    pub fn sweep(&mut self) {
        let has_ended = |model: &Self, index| {
            let stream: &super::Stream = &model.streams[index];
            stream.live && stream.has_ended() && model.live_forks(index).is_empty()
        };
        while let Some(index) = (0..self.streams.len()).find(|index| has_ended(self, *index)) {
            self.streams[index].live = false;
        }
    }

    /// Deletes the records of a stream before its last bytes, unless forks keep them.
    pub fn retain(&mut self, path: &str, bytes: i64) {
        let Some(index) = self.live_at(path) else {
            return;
        };
        let (incarnation, has_forks) = (self.incarnation(index), !self.live_forks(index).is_empty());
        let stream = &mut self.streams[index];
        let old = stream.records.iter().map(|record| record.position).filter(|position| {
            position.incarnation == incarnation
                && position.end > stream.first_kept
                && position.end <= stream.end() - bytes
        });
        match old.last() {
            Some(_) if has_forks => self.seen.insert("old records that forks keep"),
            Some(last) => {
                stream.first_kept = last.end;
                self.seen.insert("old records that are deleted")
            }
            None => false,
        };
    }

    /// Whether streams that have not ended are read through this one.
    pub(super) fn has_forks(&self, index: usize) -> bool {
        let mut forks = self.live_forks(index).into_iter();
        forks.any(|fork| !self.streams[fork].has_ended() || self.has_forks(fork))
    }

    /// Takes the path from a stream, and from its forks.
    pub(super) fn release(&mut self, index: usize) {
        self.streams[index].live = false;
        for fork in self.live_forks(index) {
            self.release(fork);
        }
    }

    fn live_forks(&self, index: usize) -> Vec<usize> {
        let is_fork = |stream: &super::Stream| stream.fork.as_ref().is_some_and(|fork| fork.source == index);
        let streams = self.streams.iter().enumerate();
        let forks = streams.filter(|(_, stream)| stream.live && is_fork(stream));
        forks.map(|(index, _)| index).collect()
    }
}
