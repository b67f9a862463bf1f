//! A clock that jumps while a stream is open.

use http_body_util::BodyExt;
use std::time::Duration;
use testing::{Binary, Client, FakeClock};
use tokio::time::timeout;

/// The id of an event is the time at which it was sent, in milliseconds.
fn time(event: &[u8]) -> u64 {
    let event = String::from_utf8_lossy(event);
    let id = event.lines().find_map(|line| line.strip_prefix("id: "));
    id.and_then(|id| id.parse().ok())
        .unwrap_or_else(|| panic!("no time in {event:?}"))
}

/// Moves the wall clock an hour ahead, then back, then a day ahead.
#[tokio::test]
#[ignore = "needs libfaketime, which .ci/run installs"]
async fn a_clock_that_jumps_does_not_stop_a_stream() {
    let clock = FakeClock::new();
    let function = Binary::new(env!("CARGO_BIN_EXE_sse")).with("SSE_HEARTBEAT_INTERVAL", "50ms");
    let server = clock.over(function).serve();
    let url = format!("{}/sse/heartbeat", server.url);
    let mut beats = Client::http1().open(hyper::Method::GET, &url, &[]).await.into_body();
    let mut times = Vec::new();
    for jump in ["+0", "+3600", "-3600", "+86400"] {
        clock.jump(jump);
        tokio::time::sleep(Duration::from_millis(30)).await;
        for _ in 0..3 {
            let beat = timeout(Duration::from_secs(1), beats.frame()).await;
            let beat = beat.unwrap_or_else(|_| panic!("no beat after {jump}"));
            times.push(time(&beat.unwrap().unwrap().into_data().unwrap()));
        }
    }
    // The last beat after each jump.
    assert!(
        times[8] < times[2] && times[2] < times[5],
        "the clock did not jump: {times:?}"
    );
}
