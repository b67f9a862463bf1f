//! A database that sleeps when nobody asks is left to sleep, and a writer wakes it, and all readers.

use crate::{Caller, JSON, reader::Reader, streams_in};
use futures_util::future::join_all;
use hyper::Method;
use std::time::{Duration, Instant};
use testing::{Postgres, Process, database_of, scalar};
use tokio::time::{sleep, timeout};

/// Statements and sessions that a database has seen: when the last statement began, and how many sessions began.
async fn asked(database: &str) -> (i64, i64) {
    let name = database_of(database);
    let last = format!(
        "SELECT COALESCE(max((extract(epoch FROM query_start) * 1000000)::bigint), 0) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    let sessions = format!("SELECT sessions FROM pg_stat_database WHERE datname = '{name}'");
    let elsewhere = Postgres::shared().url();
    (scalar(&elsewhere, &last).await, scalar(&elsewhere, &sessions).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_long_silence_readers_are_sent_away_for_longer_and_the_database_is_asked_nothing() {
    let database = Postgres::shared().migrated_database().await;
    let binary = streams_in(database.clone())
        .with("STREAM_SLEEP_AFTER", "3s")
        .with("STREAM_SLEEP_RETRY", "45s");
    let servers = [binary.serve(), binary.serve()];
    let caller = Caller::new();
    let url = caller.create(&servers[0].url, "a").await;
    caller.ask(Method::POST, &url, &[JSON], "1").await;
    let live = servers
        .each_ref()
        .map(|server| format!("{}/v1/stream/a?offset=-1&live=sse", server.url));
    let sent_away = join_all(live.iter().map(|url| caller.ask(Method::GET, url, &[], ""))).await;
    for sent_away in sent_away {
        let text = String::from_utf8(sent_away.body.to_vec()).unwrap();
        let times: Vec<&str> = text.lines().filter(|line| line.starts_with("retry:")).collect();
        assert_eq!(times, ["retry: 2000", "retry: 45000"], "{text}");
    }
    let many = format!("{}/v1/streams?live=sse&read=a@-1", servers[0].url);
    let many = caller.ask(Method::GET, &many, &[], "").await;
    assert!(String::from_utf8_lossy(&many.body).contains("retry: 45000"), "{many:?}");
    // A long poll waits its time, and asks nothing meanwhile.
    let end = caller.ask(Method::HEAD, &url, &[], "").await;
    let end = end.headers["stream-next-offset"].to_str().unwrap().to_owned();
    let long_poll = format!("{url}?offset={end}&live=long-poll");
    let long_poll = tokio::spawn(async move { Caller::new().ask(Method::GET, &long_poll, &[], "").await });
    sleep(Duration::from_secs(6)).await;
    let before = asked(&database).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(asked(&database).await, before, "it was asked in its sleep");
    let readers = servers.each_ref().map(|server| Reader::start(&[server], "a"));
    for reader in &readers {
        reader.until(|seen| seen.read.len() == 1).await;
    }
    caller.ask(Method::POST, &url, &[JSON], "2").await;
    for reader in &readers {
        assert_eq!(reader.until(|seen| seen.read.len() == 2).await.messages(), [1, 2]);
    }
    assert!([200, 204].contains(&long_poll.await.unwrap().status.as_u16()));
}

/// How long nothing must happen, and how soon a reader is sent away who need not wait for that.
const SLEEP_AFTER: Duration = Duration::from_secs(12);
const AT_ONCE: Duration = Duration::from_secs(6);

const ONE: &str = "/v1/stream/a?live=sse&offset=-1";
const MANY: &str = "/v1/streams?live=sse&read=a@-1";

/// Two instances whose readers have been sent away from the end of a stream.
struct Asleep {
    database: String,
    servers: [Process; 2],
    caller: Caller,
    url: String,
    /// The offsets of its two records.
    middle: String,
    end: String,
}

impl Asleep {
    async fn start() -> Self {
        let database = Postgres::shared().migrated_database().await;
        let binary = streams_in(database.clone()).with("STREAM_SLEEP_AFTER", "12s");
        let (servers, caller) = ([binary.serve(), binary.serve()], Caller::new());
        let url = caller.create(&servers[0].url, "a").await;
        let append = async |message: &str| {
            let appended = caller.ask(Method::POST, &url, &[JSON], message).await;
            appended.headers["stream-next-offset"].to_str().unwrap().to_owned()
        };
        let (middle, end) = (append("1").await, append("2").await);
        let asleep = Self {
            database,
            servers,
            caller,
            url,
            middle,
            end,
        };
        let start = Instant::now();
        assert!(asleep.reads(ONE, None).await.contains("retry: 30000"));
        assert!(start.elapsed() > SLEEP_AFTER);
        asleep
    }

    /// What a reader of the first instance gets until it is sent away.
    async fn reads(&self, target: &str, last: Option<&str>) -> String {
        let url = format!("{}{target}", self.servers[0].url);
        let headers: Vec<(&str, &str)> = last.iter().map(|last| ("last-event-id", *last)).collect();
        let answer = self.caller.ask(Method::GET, &url, &headers, "").await;
        assert_eq!(answer.status, 200, "{}", answer.transcript());
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// How many polls there were in the last seconds, at least: of each session, the last statement is known.
    async fn polls(&self) -> i64 {
        let name = database_of(&self.database);
        let polls = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE '%FROM unnest($1::bigint[]%'
                AND query_start > now() - interval '2 s'"
        );
        scalar(&Postgres::shared().url(), &polls).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_come_back_without_an_append_since_are_sent_away_at_once_and_wake_no_poll() {
    let asleep = Asleep::start().await;
    sleep(Duration::from_secs(3)).await;
    for (target, last) in [ONE, MANY]
        .iter()
        .flat_map(|target| [(target, &asleep.end), (target, &asleep.middle)])
    {
        let start = Instant::now();
        let text = asleep.reads(target, Some(last)).await;
        assert!(text.contains("retry: 30000") && start.elapsed() < AT_ONCE, "{text}");
        assert_eq!(text.contains("[2]"), *last == asleep.middle, "{text}");
        let id = text.lines().rfind(|line| line.starts_with("id: "));
        assert_eq!(id, Some(&*format!("id: {}", asleep.end)), "{text}");
    }
    let long_poll = format!("{}?offset={}&live=long-poll&cursor=1", asleep.url, asleep.end);
    let long_poll = tokio::spawn(async move { Caller::new().ask(Method::GET, &long_poll, &[], "").await });
    sleep(Duration::from_secs(2)).await;
    assert_eq!(asleep.polls().await, 0);
    assert_eq!(long_poll.await.unwrap().status, 204);
    // Its process knows of an append: the database is awake, and a reader of any stream may stay.
    let other = asleep.caller.create(&asleep.servers[0].url, "b").await;
    asleep.caller.ask(Method::POST, &other, &[JSON], "1").await;
    let stays = timeout(AT_ONCE / 2, asleep.reads(ONE, Some(&asleep.end))).await;
    assert!(stays.is_err(), "{stays:?}");
    // An append of the other instance, of which this one hears nothing.
    let url = asleep.url.replace(&asleep.servers[0].url, &asleep.servers[1].url);
    asleep.caller.ask(Method::POST, &url, &[JSON], "3").await;
    let reader = Reader::start(&[&asleep.servers[0]], "a");
    reader.until(|seen| seen.read.len() == 3).await;
    asleep.caller.ask(Method::POST, &url, &[JSON], "4").await;
    let seen = reader.until(|seen| seen.read.len() == 4).await;
    assert_eq!(
        (seen.messages(), seen.connections),
        (vec![1, 2, 3, 4], 1),
        "it may stay"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_several_that_comes_back_gets_a_large_record_before_it_is_sent_away() {
    let asleep = Asleep::start().await;
    let other = asleep.caller.create(&asleep.servers[1].url, "b").await;
    let begin = asleep.caller.ask(Method::HEAD, &other, &[], "").await;
    let begin = begin.headers["stream-next-offset"].to_str().unwrap();
    let large = format!("\"{}\"", "x".repeat(20_000));
    let closing = [JSON, ("stream-closed", "true")];
    asleep.caller.ask(Method::POST, &other, &closing, &large).await;
    let last = format!("{},{begin}", asleep.end);
    let text = asleep.reads(&format!("{MANY}&read=b@-1"), Some(&last)).await;
    assert!(text.contains(&large), "it was sent away without it: {text}");
}

/// The control: a reader that does not say that it is back is one for whom the stream is polled for as long as for the first.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_reader_that_does_not_say_that_it_is_back_wakes_the_poll() {
    let asleep = Asleep::start().await;
    sleep(Duration::from_secs(3)).await;
    let start = Instant::now();
    let target = ONE.replace("-1", &asleep.end);
    let (text, polls) = tokio::join!(asleep.reads(&target, None), async {
        sleep(Duration::from_secs(2)).await;
        asleep.polls().await
    });
    assert!(text.contains("retry: 30000") && start.elapsed() > AT_ONCE, "{text}");
    assert!(polls > 0, "it was not asked");
}
