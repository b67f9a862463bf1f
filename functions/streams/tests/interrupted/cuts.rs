//! An event stream is cut inside its frames, and between data and the event that says how far they go.

use crate::{
    Caller,
    cutter::Cutter,
    reader::{Ids, Reader},
    streams,
    writer::Writer,
};
use std::time::Duration;
use tokio::time::sleep;

const CUTS: usize = 30;

/// What a reader has read whose connection is cut, and how many messages there were.
async fn read_over_cuts(ids: Ids) -> (Vec<i64>, i64) {
    let server = streams().await.serve();
    Caller::new().create(&server.url, "a").await;
    let cutter = Cutter::start(server.port(), CUTS).await;
    let reader = Reader::with(ids, &[&cutter.url], "a");
    let mut writer = Writer::new(&[&server], "a", "p");
    let mut count = 0;
    while cutter.cuts() < CUTS {
        assert!(count < 2000, "{} cuts", cutter.cuts());
        writer.append(count).await;
        count += 1;
        sleep(Duration::from_millis(10)).await;
    }
    writer.close().await;
    (reader.end().await.messages(), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_cut_off_anywhere_has_each_message_once() {
    let (read, count) = read_over_cuts(Ids::OfAllEvents).await;
    assert_eq!(read, Vec::from_iter(0..count));
}

#[tokio::test(flavor = "multi_thread")]
async fn control_where_only_control_events_had_an_id_it_has_some_twice() {
    let (read, count) = read_over_cuts(Ids::OfControlEvents).await;
    assert!(i64::try_from(read.len()).unwrap() > count, "{} of {count}", read.len());
}
