//! A clock that jumps between probes.

use std::time::Duration;
use testing::{Binary, Client, FakeClock, Postgres};

/// Moves the wall clock an hour ahead, then back, then a day ahead.
#[tokio::test]
#[ignore = "needs libfaketime, which .ci/run installs"]
async fn a_clock_that_jumps_does_not_stop_probes() {
    let clock = FakeClock::new();
    let function = Binary::new(env!("CARGO_BIN_EXE_health-db"))
        .with("DATABASE_URL", Postgres::shared().migrated_database().await)
        .with("HEALTH_CACHE", "10ms");
    let server = clock.over(function).serve();
    let mut timestamps = Vec::new();
    for jump in ["+0", "+3600", "-3600", "+86400"] {
        clock.jump(jump);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answer = Client::http1().get(&format!("{}/health/db", server.url)).await;
        assert_eq!(answer.status, 200, "{jump}: {}", answer.transcript());
        timestamps.push(answer.json()["timestamp"].as_str().unwrap().to_owned());
    }
    assert!(
        timestamps[2] < timestamps[0] && timestamps[0] < timestamps[1],
        "the clock did not jump: {timestamps:?}"
    );
}
