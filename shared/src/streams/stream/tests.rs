//! When what has become known reaches the readers.

use super::{
    super::{Expiry, Head, Position},
    *,
};

fn position(end: i64) -> Position {
    Position { incarnation: 1, end }
}

fn cursor(end: i64) -> Cursor {
    Cursor {
        incarnation: 1,
        at: position(end),
    }
}

/// A page up to a position, of a stream that goes further, perhaps.
pub fn page(end: i64, tail: i64) -> Page {
    Page {
        head: Head {
            incarnation: 1,
            tail: position(tail),
            content_type: "text/plain".to_owned(),
            closed: false,
            expiry: Expiry::Never,
        },
        begin: position(0),
        records: Vec::new(),
        next: position(end),
    }
}

/// A stream, and a reader who waits at its start.
fn waited_for() -> (Stream, watch::Receiver<Seen>) {
    let stream = Stream::new(Seen::default());
    let reader = stream.published.subscribe();
    stream.wait_at("a", &cursor(0), 100);
    (stream, reader)
}

fn grows_to(tail: i64) -> impl FnOnce(&mut Seen) {
    move |seen| seen.tail = seen.tail.max(tail)
}

#[test]
fn a_reader_is_woken_once_and_with_its_page() {
    let (stream, mut reader) = waited_for();
    assert!(stream.record(grows_to(10)), "its page is to be read");
    assert!(!reader.has_changed().unwrap());
    stream.publish(&page(10, 10));
    assert_eq!(reader.borrow_and_update().tail, 10);
    stream.publish_all();
    assert!(!reader.has_changed().unwrap());
    assert!(
        stream.record(grows_to(20)),
        "the next page is read as well, before the reader is back"
    );
}

#[test]
fn what_becomes_known_while_a_page_is_read_is_published_after_it() {
    let (stream, reader) = waited_for();
    assert!(stream.record(grows_to(10)));
    assert!(!stream.record(grows_to(30)), "it is being read for");
    stream.publish(&page(20, 20));
    assert_eq!(reader.borrow().tail, 20);
    assert_eq!(stream.place_with_news().unwrap().0.cursor, cursor(20));
    stream.publish_all();
    assert_eq!(reader.borrow().tail, 30);
    assert!(!stream.record(grows_to(40)), "nobody waits at 20 any more");
    assert_eq!(reader.borrow().tail, 40);
}

#[test]
fn a_page_that_is_newer_than_what_was_seen_is_not_looked_for_again() {
    let (stream, _reader) = waited_for();
    assert!(stream.record(grows_to(10)));
    stream.publish(&page(40, 40));
    assert_eq!(stream.seen().tail, 40);
    assert!(stream.place_with_news().is_none());
}

#[test]
fn readers_who_wait_for_no_page_are_woken_at_once() {
    let (stream, reader) = waited_for();
    stream.wait_at("a", &cursor(50), 100);
    assert!(!stream.record(grows_to(10)), "the last one knows more than that");
    assert_eq!(reader.borrow().tail, 10);
    drop(reader);
    assert!(!stream.record(grows_to(60)), "nobody reads");
    assert_eq!(stream.published.borrow().tail, 60);
}

#[test]
fn who_gets_a_page_that_is_not_the_last_one_reads_on_and_holds_nobody_up() {
    let (stream, reader) = waited_for();
    assert!(stream.record(grows_to(1000)));
    stream.publish(&page(10, 1000));
    assert!(stream.place_with_news().is_none(), "a backlog is read for nobody");
    stream.publish_all();
    assert_eq!(reader.borrow().tail, 1000);
    let (stream, _reader) = waited_for();
    assert!(stream.record(grows_to(1000)));
    stream.wait_at("a", &cursor(1000), 100);
    stream.publish(&page(10, 1000));
    assert!(!stream.record(grows_to(1001)), "it is read for already");
    assert_eq!(stream.place_with_news().unwrap().0.cursor, cursor(1000));
}

#[test]
fn nothing_is_read_for_readers_who_have_left() {
    let (stream, reader) = waited_for();
    assert!(stream.record(grows_to(10)));
    drop(reader);
    assert!(stream.place_with_news().is_none());
}

#[test]
fn a_close_that_a_page_has_shown_is_not_taken_back() {
    let (stream, reader) = waited_for();
    assert!(stream.record(grows_to(10)));
    let mut last = page(10, 10);
    last.head.closed = true;
    stream.publish(&last);
    stream.publish_all();
    assert!(reader.borrow().closed);
}

#[test]
fn what_a_page_has_not_confirmed_is_taken_back_and_nobody_is_woken() {
    let (stream, reader) = waited_for();
    assert!(stream.record(|seen| seen.gone = true));
    let (_, seen) = stream.place_with_news().unwrap();
    stream.take_back(&page(0, 0).head, seen);
    stream.publish_all();
    assert!(!reader.has_changed().unwrap());
    assert!(stream.record(grows_to(10)));
    let (_, seen) = stream.place_with_news().unwrap();
    assert!(!stream.record(grows_to(20)));
    stream.take_back(&page(0, 0).head, seen);
    assert_eq!(stream.seen().tail, 20, "there is more by now");
}

#[test]
fn what_is_known_already_wakes_nobody() {
    let (stream, mut reader) = waited_for();
    stream.wait_at("a", &cursor(50), 100);
    assert!(!stream.record(grows_to(10)));
    assert_eq!(reader.borrow_and_update().tail, 10);
    assert!(!stream.record(grows_to(10)));
    assert!(!reader.has_changed().unwrap());
}

#[test]
fn a_reader_that_lags_behind_holds_nobody_up() {
    let stream = Stream::new(Seen {
        tail: 1 << 40,
        ..Seen::default()
    });
    let reader = stream.published.subscribe();
    stream.wait_at("a", &cursor(0), 100);
    assert!(!stream.record(grows_to((1 << 40) + 1)));
    assert_eq!(reader.borrow().tail, (1 << 40) + 1);
}

#[test]
fn a_page_that_comes_too_late_wakes_no_reader_of_a_database_that_sleeps() {
    let (stream, reader) = waited_for();
    assert!(stream.record(grows_to(10)));
    stream.sleep();
    stream.publish(&page(10, 10));
    stream.publish_all();
    assert!(reader.borrow().asleep);
}
