//! Appends that wait in one process go together, and each keeps a fate of its own.

use durable::{Log, append, within};
use futures_util::future::join_all;
use shared::streams::{Append, Error};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use testing::{Postgres, execute, scalar};
use tokio::{task::JoinSet, time::sleep};

async fn log(streams: u32) -> Log {
    let log = Log::at(&Postgres::shared().migrated_database().await, &[]);
    let creations = format!("SELECT streams.create('s/' || n, 'text/plain') FROM generate_series(1, {streams}) n");
    execute(&log.url, &creations).await;
    log
}

#[tokio::test]
async fn many_appends_to_one_stream_are_few_transactions() {
    let log = log(1).await;
    let transactions = "SELECT count(DISTINCT xmin::text) FROM streams.records";
    let (within, streams) = (&within(30), &log.streams);
    let appends = (0..500).map(|number| streams.append(within, append("s/1", format!("{number} "))));
    assert!(join_all(appends).await.iter().all(Result::is_ok));
    let count = scalar(&log.url, transactions).await;
    assert!(count <= 10, "{count}");
    let expected: String = (0..500).map(|number| format!("{number} ")).collect();
    assert_eq!(log.read_all("s/1", 1000).await, expected.as_bytes());
}

/// Streams that transactions have locked for long do not hold up the others, however many appends wait for them.
#[tokio::test]
async fn a_locked_stream_holds_up_its_appends_alone() {
    let log = log(10).await;
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    for locked in ["s/1", "s/2", "s/3"] {
        sqlx::query("SELECT streams.append($1, 'first ')")
            .bind(locked)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    let mut waiting = JoinSet::new();
    for number in 0..60 {
        let log = log.clone();
        let path = format!("s/{}", number % 3 + 1);
        waiting.spawn(async move { log.streams.append(&within(30), append(&path, "x")).await });
    }
    // These wait with the others, to go in one statement with them.
    let at_once = (4..=10).map(|stream| {
        let log = log.clone();
        async move {
            log.streams
                .append(&within(5), append(&format!("s/{stream}"), "y"))
                .await
        }
    });
    assert!(join_all(at_once).await.iter().all(Result::is_ok));
    sleep(Duration::from_millis(200)).await;
    for stream in 4..=10 {
        let within = within(5);
        let appended = log.streams.append(&within, append(&format!("s/{stream}"), "y"));
        appended.await.unwrap();
    }
    assert!(waiting.try_join_next().is_none());
    transaction.commit().await.unwrap();
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    assert_eq!(log.read_all("s/1", 1000).await, [&b"first "[..], &[b'x'; 20]].concat());
}

#[tokio::test]
async fn one_that_the_server_cannot_take_fails_alone() {
    let log = log(2).await;
    let (within, streams) = (&within(30), &log.streams);
    let appends = (0..30).map(|number| {
        let invalid = number % 10 == 7;
        streams.append(
            within,
            Append {
                seq: invalid.then(|| "\0".to_owned()),
                ..append(&format!("s/{}", number % 2 + 1), "x")
            },
        )
    });
    for (number, done) in join_all(appends).await.into_iter().enumerate() {
        assert_eq!(
            matches!(done, Err(Error::Database(_))),
            number % 10 == 7,
            "{number}: {done:?}"
        );
    }
    assert_eq!(scalar(&log.url, "SELECT count(*) FROM streams.records").await, 27);
}

/// Whoever has lost the answer does not know what is stored, so nothing is sent again but by the callers.
#[tokio::test]
async fn those_whose_session_is_lost_fail_together_and_are_not_repeated() {
    let log = log(2).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON streams.records DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    execute(&log.url, slow).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%append_all%'";
    let ending = async {
        while scalar(&log.url, end).await == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (within, streams) = (&within(30), &log.streams);
    let appends = (0..30).map(|number| streams.append(within, append(&format!("s/{}", number % 2 + 1), "x")));
    let (done, ()) = tokio::join!(join_all(appends), ending);
    assert!(
        done.iter().all(|done| matches!(done, Err(Error::Database(_)))),
        "{done:?}"
    );
    assert_eq!(scalar(&log.url, "SELECT count(*) FROM streams.records").await, 0);
}

#[tokio::test]
async fn a_dropped_append_happens_or_not_and_a_deadline_ends_the_wait() {
    let log = log(1).await;
    for number in 0..50 {
        let appending = log.streams.clone();
        let task = tokio::spawn(async move { appending.append(&within(10), append("s/1", "word ")).await });
        sleep(Duration::from_micros(number * 40)).await;
        task.abort();
    }
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("SELECT streams.append('s/1', 'last ')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let start = Instant::now();
    let late = log.streams.append(&within(1), append("s/1", "late ")).await;
    assert!(
        matches!(late, Err(Error::Database(_))) && start.elapsed() < Duration::from_secs(3),
        "{late:?}"
    );
    transaction.commit().await.unwrap();
    log.streams.append(&within(10), append("s/1", "end")).await.unwrap();
    let text = String::from_utf8(log.read_all("s/1", 1000).await).unwrap();
    let words = text.split(' ').filter(|word| *word == "word").count();
    assert!(words <= 50 && text.ends_with("last end"), "{text}");
    assert_eq!(text.len(), words * 5 + "last end".len());
}
