//! A long poll: the next page as soon as there is one, or word that there is none yet (section 5.7).

use super::{page, page_headers};
use crate::{Log, cursor, path::StreamPath, problem};
use axum::{
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use shared::{
    deadline::{Deadline, MARGIN},
    problem::Problem,
    streams::{Follow, Page, ReadFrom},
};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

pub async fn answer(
    log: &Log,
    path: &StreamPath,
    from: ReadFrom,
    seen: Option<&str>,
    request: &HeaderMap,
    deadline: &Deadline,
) -> Result<Response, Problem> {
    let (page, mut permit) = page::read(log, path, from, log.settings.page, 0, deadline).await?;
    let mut page = Arc::new(page);
    if page.records.is_empty()
        && !page.head.closed
        && let Some(next) = wait(log, path, &page, seen.is_some(), deadline).await?
    {
        // Where others have the memory, the page is a smaller one.
        (page, permit) = match log.memory.try_acquire(next.size()) {
            Some(permit) => (next, permit),
            None => {
                let (page, permit) =
                    page::read(log, path, ReadFrom::At(page.next), log.settings.page, 0, deadline).await?;
                (Arc::new(page), permit)
            }
        };
    }
    let cursor = cursor::next(seen, SystemTime::now());
    if !page.records.is_empty() {
        return Ok(super::answer(page, from, Some(cursor), request, permit));
    }
    let mut headers = page_headers(&page, (!page.head.closed).then_some(cursor));
    headers.remove(CONTENT_TYPE);
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// The page after this one, if it comes in time.
async fn wait(
    log: &Log,
    path: &StreamPath,
    page: &Page,
    is_back: bool,
    deadline: &Deadline,
) -> Result<Option<Arc<Page>>, Problem> {
    let end = Instant::now() + log.settings.long_poll;
    let deadline = deadline.clone().before(MARGIN).earlier(end);
    let (streams, at) = (&log.streams, page.cursor());
    let followed = if is_back && streams.is_asleep(&at) {
        Ok(Follow::Asleep)
    } else {
        streams.follow(&deadline, path.as_str(), &at, log.settings.page).await
    };
    match followed.map_err(problem::of)? {
        Follow::Page(page) => Ok(Some(page)),
        Follow::Silent => Ok(None),
        Follow::Asleep => {
            // Answered now, the client would come back now, and wake the database that is left to sleep.
            deadline.ended().await;
            Ok(None)
        }
    }
}
