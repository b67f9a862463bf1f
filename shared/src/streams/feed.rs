//! Pages for readers at the end of a stream: read once for all of them, and before they are woken, so that each is woken once.

use super::{Cursor, Error, Page, ReadFrom, hub::Hub, page::read, stream::Stream};
use crate::deadline::Deadline;
use std::{sync::Arc, time::Duration};
use tokio::{task::yield_now, time::Instant};

/// How long the read of a page may take that readers wait for.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads what the readers of a stream wait for, page by page, and wakes them. Where that fails, they are woken to find out why.
pub(super) async fn feed(hub: Arc<Hub>, stream: Arc<Stream>) {
    let stream = Fed(stream);
    while let Some((place, seen)) = stream.0.place_with_news() {
        let page = hub.page_at(&stream.0, &place.path, &place.cursor, place.limit).await;
        let Ok(page) = page else { return };
        if !page.has_news() {
            return stream.0.take_back(&page.head, seen);
        }
        stream.0.publish(&page);
        if page.is_end() {
            return;
        }
        // They take this page before the next one is in its place.
        yield_now().await;
    }
}

/// Wakes the readers however the feed ends.
struct Fed(Arc<Stream>);

impl Drop for Fed {
    fn drop(&mut self) {
        self.0.publish_all();
    }
}

impl Hub {
    /// The page at the cursor. All readers of this process that are there get the same one. The deadline of none of them is that
    /// of the read: a server that is cut off has not failed.
    pub async fn page_at(
        &self,
        stream: &Stream,
        path: &str,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<Arc<Page>, Error> {
        let read = || {
            let (database, path, from) = (self.database.clone(), path.to_owned(), ReadFrom::At(cursor.at));
            async move {
                let deadline = Deadline::default().earlier(Instant::now() + READ_TIMEOUT);
                read(&database.connection(&deadline), &path, from, limit).await
            }
        };
        stream.next_page.get(cursor, limit, &self.held_pages, read).await
    }
}
