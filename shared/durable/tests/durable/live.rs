//! Readers that wait.

use durable::{Log, append, within};
use shared::streams::{Append, Error, Follow, Refusal};
use sqlx::{Connection, PgConnection, PgTransaction};
use std::time::{Duration, Instant};
use testing::{Postgres, execute, scalar};

async fn two_processes() -> (Log, Log) {
    let url = Postgres::shared().migrated_database().await;
    (Log::at(&url, &[]), Log::at(&url, &[]))
}

#[tokio::test]
async fn a_reader_is_woken_by_appends_of_its_process_of_another_one_and_of_sql() {
    let (here, there) = two_processes().await;
    let mut cursor = here.empty("a").await;
    for sender in ["here", "there", "sql"] {
        let reader = here.following("a", cursor, 10);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let start = Instant::now();
        match sender {
            "here" => drop(here.streams.append(&within(10), append("a", sender)).await.unwrap()),
            "there" => drop(there.streams.append(&within(10), append("a", sender)).await.unwrap()),
            _ => execute(&here.url, "SELECT streams.append('a', 'sql')").await,
        }
        let Follow::Page(page) = reader.await.unwrap().unwrap() else {
            panic!("{sender}");
        };
        println!("{sender}: {:?}", start.elapsed());
        assert_eq!(page.records[0].data, sender.as_bytes());
        cursor = page.cursor();
    }
}

#[tokio::test]
async fn a_close_with_data_is_one_page_and_a_deletion_ends_the_wait() {
    let (here, there) = two_processes().await;
    let (a, b) = (here.empty("a").await, here.empty("b").await);
    let readers: Vec<_> = (0..50).map(|_| here.following("a", a, 10)).collect();
    let deleted = here.following("b", b, 10);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let last = Append {
        close: true,
        ..append("a", "last")
    };
    there.streams.append(&within(10), last).await.unwrap();
    there.streams.delete(&within(10), "b").await.unwrap();
    for reader in readers {
        let Ok(Follow::Page(page)) = reader.await.unwrap() else {
            panic!("no page")
        };
        assert_eq!((&page.records[0].data[..], page.head.closed), (&b"last"[..], true));
    }
    assert!(matches!(deleted.await.unwrap(), Err(Error::Refused(Refusal::NotFound))));
}

/// Also where another process closes it, and where there are no data that would wake anybody.
#[tokio::test]
async fn a_close_without_data_ends_the_wait() {
    let (here, there) = two_processes().await;
    let cursor = here.empty("a").await;
    let reader = here.following("a", cursor, 20);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let close = Append {
        data: None,
        close: true,
        ..append("a", "")
    };
    there.streams.append(&within(10), close).await.unwrap();
    let Ok(Follow::Page(page)) = reader.await.unwrap() else {
        panic!("no page")
    };
    assert!(page.head.closed && page.records.is_empty());
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_silence_sends_readers_away() {
    let url = Postgres::shared().migrated_database().await;
    let log = Log::at(&url, &[("STREAM_SLEEP_AFTER", "2s")]);
    let cursor = log.empty("a").await;
    let silent = log.streams.follow(&within(1), "a", &cursor, 100).await.unwrap();
    assert!(matches!(silent, Follow::Silent));
    let asleep = log.streams.follow(&within(10), "a", &cursor, 100).await.unwrap();
    assert!(matches!(asleep, Follow::Asleep));
}

/// A standby that has become the server may lack the last commits: what a process knows of them is not true any more.
#[tokio::test]
async fn a_close_that_was_lost_leaves_its_readers_waiting() {
    let (log, _) = two_processes().await;
    let cursor = log.empty("a").await;
    let follow = async |seconds| log.streams.follow(&within(seconds), "a", &cursor, 100).await.unwrap();
    assert!(matches!(follow(1).await, Follow::Silent));
    let close = Append {
        data: None,
        close: true,
        ..append("a", "")
    };
    log.streams.append(&within(10), close).await.unwrap();
    execute(&log.url, "UPDATE streams.streams SET closed = false").await;
    let transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let before = scalar(&log.url, transactions).await;
    assert!(matches!(follow(3).await, Follow::Silent));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let count = scalar(&log.url, transactions).await - before;
    assert!(count < 100, "{count}");
}

/// There is more to read, and whoever reads it waits for this transaction.
async fn hold_up_the_next_page<'c>(log: &Log, connection: &'c mut PgConnection) -> PgTransaction<'c> {
    let mut transaction = connection.begin().await.unwrap();
    let lock = sqlx::query("LOCK TABLE streams.records IN ACCESS EXCLUSIVE MODE");
    lock.execute(&mut *transaction).await.unwrap();
    execute(&log.url, "UPDATE streams.streams SET tail = 1").await;
    transaction
}

/// The database has not failed because somebody else's time was up.
#[tokio::test]
async fn a_deadline_that_comes_while_the_page_is_read_is_silence() {
    let (log, _) = two_processes().await;
    let cursor = log.empty("a").await;
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let _transaction = hold_up_the_next_page(&log, &mut connection).await;
    let silent = log.streams.follow(&within(2), "a", &cursor, 100).await;
    assert!(matches!(silent, Ok(Follow::Silent)), "{silent:?}");
}

/// Nobody polls the future of a client that takes nothing, such as one who reads several streams.
#[tokio::test]
async fn a_reader_that_is_not_polled_holds_up_nobody() {
    let (log, _) = two_processes().await;
    let cursor = log.empty("a").await;
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = hold_up_the_next_page(&log, &mut connection).await;
    let deadline = within(20);
    let follow = || Box::pin(log.streams.follow(&deadline, "a", &cursor, 100));
    let (mut reading, mut waiting) = (follow(), follow());
    for stalled in [&mut reading, &mut waiting] {
        let polled = tokio::time::timeout(Duration::from_secs(1), stalled).await;
        assert!(polled.is_err(), "the page is being read");
    }
    let sql = "INSERT INTO streams.records (stream, position, data) SELECT id, 1, 'x' FROM streams.streams";
    sqlx::query(sql).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let page = log.streams.follow(&within(3), "a", &cursor, 100).await;
    assert!(matches!(page, Ok(Follow::Page(_))), "{page:?}");
    for stalled in [reading, waiting] {
        assert!(matches!(stalled.await, Ok(Follow::Page(_))));
    }
}

/// The database is asked for nothing while it is left to sleep, and readers that come back are served.
#[tokio::test]
async fn polling_stops_in_silence_and_begins_again_with_a_reader() {
    let url = Postgres::shared().migrated_database().await;
    let here = Log::at(&url, &[("STREAM_SLEEP_AFTER", "1s")]);
    let cursor = here.empty("a").await;
    let asleep = here.streams.follow(&within(10), "a", &cursor, 100).await.unwrap();
    assert!(matches!(asleep, Follow::Asleep));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let polls = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE '%FROM unnest%' AND query_start > now() - interval '2 s' AND pid <> pg_backend_pid()";
    assert_eq!(scalar(&url, polls).await, 0);
    let reader = here.following("a", cursor, 10);
    let polled = async { while scalar(&url, polls).await == 0 {} };
    tokio::time::timeout(Duration::from_secs(5), polled)
        .await
        .expect("polls");
    execute(&url, "SELECT streams.append('a', 'x')").await;
    assert!(matches!(reader.await.unwrap().unwrap(), Follow::Page(_)));
}
