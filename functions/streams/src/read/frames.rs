//! The event that was made last: readers of one stream are woken together, and get the same bytes.

use shared::{sse::Event, streams::Page};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The last event of a page, which all readers share who are there with the same cursor.
#[derive(Clone, Default)]
pub struct Frames(Arc<Mutex<Option<Last>>>);

struct Last {
    /// Keeps the address from being used again, not the page.
    page: Weak<Page>,
    cursor: u64,
    event: Option<Event>,
}

impl Frames {
    /// The event of this page with this cursor: the last one, or a new one.
    pub fn event(&self, page: &Arc<Page>, cursor: u64, new: impl FnOnce() -> Option<Event>) -> Option<Event> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && (last.page.as_ptr(), last.cursor) == (Arc::as_ptr(page), cursor)
        {
            return last.event.clone();
        }
        let event = new().map(Event::shared);
        *last = Some(Last {
            page: Arc::downgrade(page),
            cursor,
            event: event.clone(),
        });
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::streams::{Expiry, Head, Position};

    fn page() -> Arc<Page> {
        let tail = Position { incarnation: 1, end: 0 };
        let head = Head {
            incarnation: 1,
            tail,
            content_type: "text/plain".to_owned(),
            closed: false,
            expiry: Expiry::Never,
        };
        Arc::new(Page {
            head,
            begin: tail,
            records: Vec::new(),
            next: tail,
        })
    }

    #[test]
    fn an_event_is_shared_by_readers_of_one_page_with_one_cursor_only() {
        let (frames, page, other) = (Frames::default(), page(), page());
        let event = |page, cursor, text| frames.event(page, cursor, || Some(Event::default().id(text)));
        for (page, cursor, text, expected) in [
            (&page, 1, "first", "first"),
            (&page, 1, "again", "first"),
            (&page, 2, "another cursor", "another cursor"),
            (&other, 2, "another page", "another page"),
            (&page, 2, "back", "back"),
        ] {
            assert_eq!(
                event(page, cursor, text).unwrap().encode(),
                format!("id: {expected}\n\n")
            );
        }
    }

    #[test]
    fn an_event_outlives_its_page_and_not_the_next_one_at_its_address() {
        let (frames, mut first) = (Frames::default(), page());
        for number in 0..100 {
            let event = Event::default().id(number);
            let made = frames.event(&first, 1, || Some(event.clone())).unwrap();
            assert_eq!(made.encode(), event.encode());
            first = page();
        }
    }
}
