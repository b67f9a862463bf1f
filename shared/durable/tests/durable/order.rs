//! What was read is what is stored: the order of positions is the order of commits. The wrong designs stand beside it.

use durable::{Log, append, create, within, wrong};
use shared::streams::{Append, Error, Follow, ReadFrom, Refusal};
use std::time::Duration;
use testing::{Postgres, execute, scalar};
use tokio::{task::JoinSet, time::sleep};

const WRITERS: u64 = 6;
const APPENDS: u64 = 40;

/// A pause within a transaction, and whether it is rolled back, as if by chance.
fn chance(writer: u64, number: u64) -> (Duration, bool) {
    let mixed = (writer * 7919 + number * 104_729) % 1000;
    (Duration::from_millis(mixed % 12), mixed.is_multiple_of(5))
}

/// Writers of several processes with pauses and rollbacks, and a reader that follows. Returns what was read and what is stored.
async fn read_and_stored(url: String) -> (Vec<u8>, Vec<u8>) {
    let logs: Vec<Log> = (0..3).map(|_| Log::at(&url, &[])).collect();
    logs[0].streams.create(&within(10), create("a")).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(logs[usize::try_from(writer % 3).unwrap()].clone(), writer));
    }
    let reading = tokio::spawn(follow_to_the_end(logs[0].clone()));
    writers.join_all().await;
    execute(&url, "SELECT streams.close('a')").await;
    let records = scalar(&url, "SELECT count(*) FROM streams.records").await;
    let all = i64::try_from(WRITERS * APPENDS).unwrap();
    assert!((101..all).contains(&records), "{records}");
    (reading.await.unwrap(), logs[1].read_all("a", 100).await)
}

async fn follow_to_the_end(reader: Log) -> Vec<u8> {
    let mut page = reader.page("a", ReadFrom::Start, 1 << 20).await;
    let mut read = Vec::new();
    loop {
        read.extend(page.records.iter().flat_map(|record| record.data.to_vec()));
        if page.head.closed && page.is_up_to_date() {
            return read;
        }
        match reader.streams.follow(&within(20), "a", &page.cursor(), 1 << 20).await {
            Ok(Follow::Page(next)) => page = (*next).clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_misses_nothing_while_transactions_commit_in_any_order() {
    let (read, stored) = read_and_stored(Postgres::shared().migrated_database().await).await;
    assert_eq!(read, stored);
}

/// The controls: positions from a sequence, and from the clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_or_a_clock_in_place_of_the_counter_loses_records() {
    let records = |bytes: Vec<u8>| bytes.split(|byte| *byte == b' ').filter(|it| !it.is_empty()).count();
    for design in [wrong::positions_of_a_sequence(), wrong::positions_of_a_clock()] {
        let url = Postgres::shared().migrated_database().await;
        execute(&url, &design).await;
        let (read, stored) = read_and_stored(url).await;
        let (read, stored) = (records(read), records(stored));
        assert!(read < stored, "{read} of {stored}: {design}");
    }
}

async fn write(log: Log, writer: u64) {
    for number in 0..APPENDS {
        let (pause, fails) = chance(writer, number);
        let streams = log.streams.clone();
        let within = within(20);
        let done = log.database.transaction(&within, async move |transaction| {
            streams
                .append_in(transaction, append("a", format!("{writer}.{number} ")), true)
                .await?;
            sleep(pause).await;
            if fails {
                Err(Error::Refused(Refusal::Differs))
            } else {
                Ok(())
            }
        });
        assert_eq!(done.await.is_err(), fails);
    }
}

/// A reader that asks again and again, at the end too: where a page and the end that it names are of two moments, it skips what was
/// committed between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_and_the_end_of_its_stream_are_of_one_moment() {
    let url = Postgres::shared().migrated_database().await;
    let log = Log::at(&url, &[]);
    log.streams.create(&within(10), create("a")).await.unwrap();
    let writing = tokio::spawn({
        let log = log.clone();
        async move {
            for number in 0..1500 {
                log.streams
                    .append(&within(10), append("a", format!("{number} ")))
                    .await
                    .unwrap();
            }
            log.streams
                .append(
                    &within(10),
                    Append {
                        close: true,
                        ..append("a", "end")
                    },
                )
                .await
                .unwrap();
        }
    });
    let (mut from, mut read, mut empty) = (ReadFrom::Start, Vec::new(), 0);
    loop {
        let page = log.page("a", from, 1 << 20).await;
        empty += usize::from(page.records.is_empty());
        read.extend(page.records.iter().flat_map(|record| record.data.to_vec()));
        if page.head.closed && page.is_up_to_date() {
            break;
        }
        from = ReadFrom::At(page.next);
    }
    writing.await.unwrap();
    assert!(empty > 5, "only {empty} pages were read at the end");
    let expected: String = (0..1500).map(|number| format!("{number} ")).collect();
    assert_eq!(String::from_utf8(read).unwrap(), expected + "end");
}

/// Readers that see the end have seen all data. The control closes before it appends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_data_and_the_close_are_seen_together() {
    let url = Postgres::shared().migrated_database().await;
    let log = Log::at(&url, &[]);
    for (path, close) in [
        ("right", &["SELECT streams.append('right', 'last', close => true)"][..]),
        (
            "wrong",
            &[
                "UPDATE streams.streams SET closed = true WHERE path = 'wrong'",
                "SELECT pg_sleep(4)",
                "INSERT INTO streams.records (stream, position, data) SELECT id, 4, 'last' FROM streams.streams WHERE path = 'wrong';
                 UPDATE streams.streams SET tail = 4 WHERE path = 'wrong'",
            ][..],
        ),
    ] {
        let cursor = log.empty(path).await;
        let mut readers = JoinSet::new();
        for _ in 0..50 {
            let log = log.clone();
            readers.spawn(async move { log.streams.follow(&within(20), path, &cursor, 100).await });
        }
        for sql in close {
            execute(&url, sql).await;
        }
        let have_data = readers.join_all().await.into_iter().filter(|followed| match followed {
            Ok(Follow::Page(page)) => page.head.closed && page.records.len() == 1,
            other => panic!("{other:?}"),
        });
        assert_eq!(have_data.count(), if path == "right" { 50 } else { 0 }, "{path}");
    }
}

/// Without the incarnation in its position, a reader would go on in another stream's data.
#[tokio::test]
async fn a_reader_of_a_stream_that_was_created_again_is_told_so() {
    let url = Postgres::shared().migrated_database().await;
    let log = Log::at(&url, &[]);
    log.streams.create(&within(10), create("a")).await.unwrap();
    log.streams.append(&within(10), append("a", "old ")).await.unwrap();
    let paused = log.page("a", ReadFrom::Start, 100).await;
    let streams = [
        "SELECT streams.delete('a')",
        "UPDATE streams.streams SET expires_at = now() WHERE path = 'a'",
    ];
    for end in streams {
        execute(&url, end).await;
        log.streams.create(&within(10), create("a")).await.unwrap();
        for _ in 0..2 {
            log.streams.append(&within(10), append("a", "new ")).await.unwrap();
        }
        let read = log.streams.page(&within(10), "a", ReadFrom::At(paused.next), 100).await;
        assert!(matches!(read, Err(Error::Refused(Refusal::Gone))), "{read:?}");
        let followed = log.streams.follow(&within(10), "a", &paused.cursor(), 100).await;
        assert!(matches!(followed, Err(Error::Refused(Refusal::Gone))), "{followed:?}");
        let mut control = paused.next;
        control.incarnation = log.page("a", ReadFrom::Start, 100).await.next.incarnation;
        assert_eq!(log.page("a", ReadFrom::At(control), 100).await.records.len(), 1);
    }
}
