//! The clock of one instance is set back by an hour, in the middle of its streams.

use crate::{Caller, JSON, reader::Reader, streams_in, writer::Writer};
use hyper::Method;
use serde_json::json;
use std::time::{Duration, SystemTime};
use testing::{FakeClock, Postgres, tokens};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime, which .ci/run installs"]
async fn when_a_clock_is_set_back_by_an_hour_order_cursors_and_expiry_hold() {
    let database = Postgres::shared().migrated_database().await;
    let clock = FakeClock::new();
    let late = clock.over(streams_in(database.clone())).serve();
    let right = streams_in(database).serve();
    let caller = issued_earlier();
    let url = caller.create(&late.url, "a").await;
    let readers = [Reader::start(&[&late], "a"), Reader::start(&[&right], "a")];
    let mut writer = Writer::new(&[&late, &right], "a", "p");
    writer.caller = issued_earlier();
    for number in 0..100 {
        if number == 50 {
            clock.jump("-3600");
            assert!(date(&caller, &late.url).await + Duration::from_secs(3500) < SystemTime::now());
        }
        writer.append(number).await;
    }
    assert_eq!(writer.answers.keys().collect::<Vec<_>>(), [&200]);
    // Readers that hop between the two: their cursors only grow.
    let mut cursor = 0;
    for turn in 0..6 {
        let server = [&right.url, &late.url][turn % 2];
        let target = format!("{server}/v1/stream/a?offset=-1&live=long-poll&cursor={cursor}");
        let page = caller.ask(Method::GET, &target, &[], "").await;
        let next: u64 = page.headers["stream-cursor"].to_str().unwrap().parse().unwrap();
        assert!(next > cursor, "{next} after {cursor}");
        cursor = next;
        assert_eq!(
            serde_json::from_slice::<Vec<i64>>(&page.body).unwrap(),
            Vec::from_iter(0..100)
        );
    }
    expires_everywhere(&caller, [&late.url, &right.url]).await;
    writer.close().await;
    for reader in readers {
        assert_eq!(reader.end().await.messages(), Vec::from_iter(0..100));
    }
    assert_eq!(caller.messages(&url).await.len(), 100);
}

/// An instance refuses a token that was issued in its future.
fn issued_earlier() -> Caller {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let token = tokens::token(json!({"scope": "streams:read streams:write", "iat": now - 7200}));
    Caller {
        authorization: format!("Bearer {token}"),
        ..Caller::new()
    }
}

/// What the clock of an instance says.
async fn date(caller: &Caller, server: &str) -> SystemTime {
    let health = caller.ask(Method::GET, &format!("{server}/health"), &[], "").await;
    let text = health.json()["timestamp"].as_str().unwrap().to_owned();
    humantime::parse_rfc3339_weak(text.trim_end_matches('Z')).unwrap()
}

/// A stream lives by the clock of the database, whichever instance has created it.
async fn expires_everywhere(caller: &Caller, servers: [&String; 2]) {
    let at = humantime::format_rfc3339(SystemTime::now() + Duration::from_secs(3)).to_string();
    for (number, expiry) in [("stream-ttl", "2"), ("stream-expires-at", &*at)]
        .into_iter()
        .enumerate()
    {
        for (name, server) in ["late", "right"].into_iter().zip(servers) {
            let target = format!("{server}/v1/stream/{name}/{number}");
            let created = caller.ask(Method::PUT, &target, &[JSON, expiry], "").await;
            assert_eq!(created.status, 201, "{created:?}");
        }
    }
    let statuses = async || {
        let mut statuses = Vec::new();
        for server in servers {
            for path in ["late/0", "right/0", "late/1", "right/1"] {
                let head = caller
                    .ask(Method::HEAD, &format!("{server}/v1/stream/{path}"), &[], "")
                    .await;
                statuses.push(head.status.as_u16());
            }
        }
        statuses
    };
    assert_eq!(statuses().await, [200; 8]);
    sleep(Duration::from_millis(3100)).await;
    assert_eq!(statuses().await, [404; 8]);
}
