//! Pages: which records they have, wherever they begin, and however small they are.

use durable::{Log, append, create, fork, within};
use shared::streams::{Create, Page, Position, ReadFrom};
use testing::{Postgres, execute};

/// Streams on a server that plans each statement once for all its parameters, as it does after some executions.
async fn log() -> Log {
    let url = Postgres::shared().migrated_database().await;
    let database = testing::database_of(&url);
    execute(
        &url,
        &format!("ALTER DATABASE \"{database}\" SET plan_cache_mode = force_generic_plan"),
    )
    .await;
    Log::at(&url, &[])
}

/// The same with a stream that has these records: an expression of SQL for each number, of so many bytes, after a first one.
async fn filled(first: usize, count: usize, size: usize, record: &str) -> Log {
    let (log, tail) = (log().await, first + count * size);
    log.streams.create(&within(10), create("a")).await.unwrap();
    let fill = format!(
        "INSERT INTO streams.records (stream, position, data)
            SELECT s.id, {first}, convert_to(repeat('.', {first}), 'UTF8') FROM streams.streams s WHERE {first} > 0 UNION ALL
            SELECT s.id, {first} + {size} * n, convert_to({record}, 'UTF8') FROM streams.streams s, generate_series(1, {count}) n;
        UPDATE streams.streams SET tail = {tail}"
    );
    execute(&log.url, &fill).await;
    log
}

const LETTER: &str = "chr(97 + (n % 26)::int)";

/// A thousand of them would otherwise take a hundred times their bytes.
#[tokio::test]
async fn a_page_of_many_small_records_has_not_all_of_them() {
    let log = filled(0, 40_000, 1, LETTER).await;
    let page = log.page("a", ReadFrom::Start, 1 << 20).await;
    assert_eq!((page.records.len(), page.next.end), (16_384, 16_384));
    assert!(!page.is_up_to_date());
    let expected: Vec<u8> = (1..=40_000_u32).map(|n| 97 + (n % 26) as u8).collect();
    assert!(log.read_all("a", 1 << 20).await == expected, "each record once");
}

/// The server sends the pieces after it, too, and they begin too late.
#[tokio::test]
async fn a_page_ends_where_a_piece_has_too_many_records() {
    let log = filled(100, 100_000, 1, LETTER).await;
    let page = log.page("a", ReadFrom::Start, 1 << 20).await;
    assert_eq!((page.records.len(), page.next.end), (16_384, 16_483));
    let mut expected = vec![b'.'; 100];
    expected.extend((1..=100_000_u32).map(|n| 97 + (n % 26) as u8));
    assert!(log.read_all("a", 1 << 20).await == expected, "each record once");
}

/// The first piece has a few less than a page may have, and the second as many as a piece may have.
#[tokio::test]
async fn a_page_ends_within_a_piece_that_has_too_many_records() {
    let log = filled(64, 40_000, 4, "lpad(n::text, 4, '0')").await;
    let page = log.page("a", ReadFrom::Start, 1 << 20).await;
    assert_eq!((page.records.len(), page.next.end), (16_384, 64 + 4 * 16_383));
    assert_eq!(log.read_all("a", 1 << 20).await.len(), 160_064);
}

/// All records of a stream: as many as fit from each of them on, in each size.
async fn assert_exact(log: &Log, path: &str) {
    let whole = log.page(path, ReadFrom::Start, usize::MAX).await;
    assert!(whole.is_up_to_date());
    let mut begins = vec![(ReadFrom::Start, whole.begin)];
    begins.extend(
        whole
            .records
            .iter()
            .map(|record| (ReadFrom::At(record.position), record.position)),
    );
    for (index, (from, begin)) in begins.into_iter().enumerate() {
        for limit in 0..=24 {
            let page = log.page(path, from, limit).await;
            let fits = |end: i64| usize::try_from(end - begin.end).unwrap() <= limit;
            let rest = &whole.records[index..];
            let count = rest.iter().take_while(|record| fits(record.position.end)).count();
            let expected = &rest[..count.max(1).min(rest.len())];
            assert_eq!(page.records, expected, "{path} from {from:?}, {limit} bytes");
            assert_eq!((page.begin, &page.head), (begin, &whole.head));
        }
        assert_refused_within(log, path, begin, &whole).await;
    }
}

/// No page begins within a record.
async fn assert_refused_within(log: &Log, path: &str, begin: Position, whole: &Page) {
    let end = begin.end + 1;
    if end < whole.next.end && whole.records.iter().all(|record| record.position.end != end) {
        for incarnation in [begin.incarnation, whole.head.incarnation] {
            let from = ReadFrom::At(Position { incarnation, end });
            let page = log.streams.page(&within(10), path, from, 100).await;
            assert!(page.is_err(), "{path} from {from:?}: {page:?}");
        }
    }
}

#[tokio::test]
async fn pages_of_forks_of_forks_are_exact_at_each_border_and_in_each_size() {
    let log = log().await;
    log.streams.create(&within(10), create("0")).await.unwrap();
    for generation in 0..5 {
        let path = generation.to_string();
        for data in ["a", "bcd", "\0\0", "efghi", "j"] {
            log.streams.append(&within(10), append(&path, data)).await.unwrap();
        }
        assert_exact(&log, &path).await;
        let whole = log.page(&path, ReadFrom::Start, usize::MAX).await;
        let at = match generation {
            // Nothing but the start, a record of the oldest source, a part of the record after one of its own, the tail.
            0 => whole.begin,
            1 => whole.records[0].position,
            2 => whole.records[3].position,
            _ => whole.next,
        };
        let sub_offset = u64::from(generation == 2);
        let mut create: Create = fork(&(generation + 1).to_string(), &path, Some(ReadFrom::At(at)));
        if let Some(fork) = create.fork.as_mut().filter(|_| sub_offset > 0) {
            fork.sub_offset = sub_offset;
            fork.prefix = Some(whole.records[4].data.slice(..1));
        }
        log.streams.create(&within(10), create).await.unwrap();
    }
    assert_exact(&log, "5").await;
    execute(&log.url, "SELECT streams.delete(n::text) FROM generate_series(0, 4) n").await;
    assert_exact(&log, "5").await;
}
