//! A page, with its part of the memory of pages.

use super::{
    memory::{Full, Part},
    size,
};
use crate::{Log, path::StreamPath, problem};
use shared::{
    deadline::Deadline,
    problem::{OVERLOADED, Problem},
    streams::{self, From, Page},
};
use std::time::Duration;

/// When a client may try again for which there was no memory.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why there is no page.
pub enum Error {
    Full,
    Log(streams::Error),
}

/// A page of `wanted` bytes, or of less where many readers take their time. An append is never divided.
pub async fn read(
    log: &Log,
    path: &StreamPath,
    from: From,
    wanted: usize,
    deadline: &Deadline,
) -> Result<(Page, Part), Error> {
    let limit = log.memory.limit(wanted);
    let mut part = match log.memory.part_now(log.largest_page(limit)) {
        Some(part) => part,
        None => log.memory.part(limit, deadline).await?,
    };
    let page = log.streams.page(deadline, path.as_str(), from, limit).await?;
    if part.fit(size(&page)) {
        return Ok((page, part));
    }
    // It begins with a large append, which must not wait in memory for its part of the memory.
    let size = size(&page);
    drop((page, part));
    let mut part = log.memory.part(size, deadline).await?;
    let page = log.streams.page(deadline, path.as_str(), from, 1).await?;
    part.fit(super::size(&page));
    Ok((page, part))
}

impl std::convert::From<Full> for Error {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl std::convert::From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        Self::Log(error)
    }
}

impl std::convert::From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Full => Self::new(&OVERLOADED).retry_after(RETRY_AFTER),
            Error::Log(error) => problem::of(error),
        }
    }
}
