//! A page, with its permit of the memory.

use super::memory::{FREE, Full, Permit};
use crate::{Log, path::StreamPath, problem};
use shared::{
    deadline::Deadline,
    problem::{OVERLOADED, Problem},
    streams::{self, Page, ReadFrom},
};
use std::time::Duration;

/// When a client may try again for which there was no memory.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why there is no page.
pub enum Error {
    Full(Full),
    Log(streams::Error),
}

/// A page of `wanted` bytes, or of less where many readers take their time. An append is never divided. Of one that is known to
/// have `least` bytes, nothing is read before there is memory for it.
pub async fn read(
    log: &Log,
    path: &StreamPath,
    from: ReadFrom,
    wanted: usize,
    least: usize,
    deadline: &Deadline,
) -> Result<(Page, Permit), Error> {
    let mut limit = log.memory.limit(wanted);
    let mut permit = match least {
        0 => log.memory.first_that_fits([log.largest_page(limit), limit]),
        _ => log.memory.acquire(least, deadline).await?,
    };
    loop {
        let page = log.streams.page(deadline, path.as_str(), from, limit).await?;
        let (size, is_one) = (page.size(), page.records.len() == 1);
        if permit.fit(size) {
            return Ok((page, permit));
        }
        // A large append must not wait in memory for its permit. A page of others may always be small.
        drop((page, permit));
        (permit, limit) = if is_one {
            (log.memory.acquire(size, deadline).await?, size)
        } else {
            (log.memory.first_that_fits([]), FREE)
        };
    }
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        Self::Log(error)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Full(_) => Self::new(&OVERLOADED).retry_after(RETRY_AFTER),
            Error::Log(error) => problem::of(error),
        }
    }
}
