use super::{
    super::{Cursor, Position, next_page::Held, stream::tests::page},
    *,
};

#[tokio::test(start_paused = true)]
async fn the_page_that_readers_share_is_forgotten_soon_and_the_stream_later() {
    let mut watched = Watched::default();
    let (reader, _) = watched.add(1, 0);
    let at = Position { incarnation: 1, end: 0 };
    let cursor = Cursor { incarnation: 1, at };
    let read = || async { Ok(page(10, 10)) };
    let next_page = &reader.stream.next_page;
    let shared = next_page.get(&cursor, 100, &Held::default(), read).await;
    let shared = shared.map(|page| Arc::downgrade(&page)).unwrap();
    assert_eq!(watched.with_readers().len(), 1);
    assert!(shared.upgrade().is_some(), "another reader may come for it");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(watched.with_readers().len(), 1);
    assert!(shared.upgrade().is_none(), "its memory is free");
    drop(reader);
    assert!(watched.with_readers().is_empty() && !watched.is_empty());
    tokio::time::advance(LINGER).await;
    assert!(watched.with_readers().is_empty() && watched.is_empty());
}
