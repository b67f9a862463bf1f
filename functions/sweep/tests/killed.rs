//! The job is killed in the middle of streams, and runs twice at once. What is to stay is whole at every moment.

#![allow(clippy::unwrap_used)]

use std::{process::Child, time::Duration};
use testing::{Binary, Postgres, execute, exit_code, scalar};
use tokio::time::sleep;

/// Streams that have ended, were closed, are too long, are read by a fork, and are none of that. A deletion takes a while, and
/// a stream cannot go before its records and producers.
const STREAMS: &str = "
    SELECT streams.create(path, 'text/plain'), streams.create('closed/' || path, 'text/plain')
        FROM unnest(ARRAY['ended/a', 'ended/b', 'source', 'logs/a', 'logs/b', 'other']) path;
    INSERT INTO streams.records SELECT id, n * 100, now(), convert_to(repeat('x', 100), 'UTF8')
        FROM streams.streams, generate_series(1, 3000) n;
    INSERT INTO streams.producers SELECT id, 'p' || n, 0, 0 FROM streams.streams, generate_series(1, 20) n;
    UPDATE streams.streams SET producers = 20, tail = 300000;
    SELECT streams.close(path) FROM streams.streams WHERE path ^@ 'closed/';
    SELECT streams.put('fork', NULL, NULL, NULL, false, NULL, NULL, 'source');
    SELECT streams.delete(path) FROM streams.streams WHERE path IN ('ended/a', 'closed/ended/a', 'source');
    UPDATE streams.streams SET expires_at = now() WHERE path IN ('ended/b', 'closed/ended/b');
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.15); RETURN NULL; END $$;
    CREATE TRIGGER slow AFTER DELETE ON streams.records FOR EACH STATEMENT EXECUTE FUNCTION slow();
    CREATE FUNCTION last() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM streams.records WHERE stream = OLD.id) OR EXISTS (SELECT FROM streams.producers WHERE stream = OLD.id)
            THEN RAISE 'a stream goes before its rows'; END IF; RETURN NULL; END $$;
    CREATE TRIGGER last AFTER DELETE ON streams.streams FOR EACH ROW EXECUTE FUNCTION last();";

const OTHERS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
const ROWS: &str = "SELECT count(*) FROM streams.records";
/// Rows without a stream; readable streams that lack a record, a producer or their close.
const BROKEN: &str = "
    SELECT (SELECT count(*) FROM streams.records r WHERE NOT EXISTS (SELECT FROM streams.streams s WHERE s.id = r.stream))
        + (SELECT count(*) FROM streams.producers p WHERE NOT EXISTS (SELECT FROM streams.streams s WHERE s.id = p.stream))
        + (SELECT count(*) FROM streams.streams s WHERE (s.expires_at > now() OR s.path = 'source') AND (
            s.tail - s.first_kept - s.forked_at <> (SELECT COALESCE(sum(octet_length(r.data)), 0) FROM streams.records r WHERE r.stream = s.id)
            OR s.producers <> (SELECT count(*) FROM streams.producers p WHERE p.stream = s.id)))
        + (SELECT count(*) FROM streams.streams s WHERE s.path ^@ 'closed/' AND NOT s.closed)";

fn start(url: &str) -> Child {
    let job = Binary::new(env!("CARGO_BIN_EXE_sweep"))
        .with("DATABASE_URL", url)
        .with("CLOUD_RUN_JOB", "sweep")
        .with("STREAM_RETENTION", "logs/=10KiB, closed/logs/=10KiB");
    job.start_run(&[])
}

#[tokio::test]
async fn two_jobs_that_are_killed_again_and_again_lose_nothing_that_is_to_stay() {
    let url = Postgres::shared().migrated_database().await;
    execute(&url, STREAMS).await;
    assert_eq!((scalar(&url, ROWS).await, scalar(&url, BROKEN).await), (36_000, 0));
    for round in 0..5_u64 {
        let before = scalar(&url, ROWS).await;
        let mut jobs = [start(&url), start(&url)];
        while scalar(&url, ROWS).await == before {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(round * 51)).await;
        let in_the_middle = jobs.iter_mut().filter_map(|job| job.try_wait().unwrap()).count() == 0;
        assert!(in_the_middle, "one has ended before round {round}");
        for mut job in jobs {
            job.kill().unwrap();
            exit_code(&mut job, Duration::from_secs(5));
        }
        assert_eq!(scalar(&url, BROKEN).await, 0, "after round {round}");
    }
    // The server may still be at the last statement.
    while scalar(&url, OTHERS).await > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    execute(&url, "DROP TRIGGER slow ON streams.records").await;
    for _ in 0..2 {
        let output = start(&url).wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(scalar(&url, BROKEN).await, 0);
    // The last 10 KiB begin within the 103rd record from the end.
    assert_eq!(scalar(&url, ROWS).await, 4 * 3000 + 4 * 103);
    let streams = "SELECT count(*) FROM streams.streams";
    assert_eq!(scalar(&url, streams).await, 12 - 4 + 1);
}
