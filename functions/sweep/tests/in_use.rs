//! The oldest records go from a stream that is in use.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use testing::{Binary, Postgres, execute, scalar};
use tokio::{task::JoinSet, time::sleep};

/// Streams with old records. A commit of an append takes 5 ms, as on a disk.
const STREAMS: &str = "
    SELECT streams.create('logs/' || name, 'text/plain') FROM unnest(ARRAY['a', 'b', 'c']) name;
    INSERT INTO streams.records SELECT id, n * 10, now() - interval '2 h', convert_to(repeat('x', 10), 'UTF8')
        FROM streams.streams, generate_series(1, CASE path WHEN 'logs/b' THEN 10000 ELSE 100 END) n;
    UPDATE streams.streams SET tail = (SELECT max(r.position) FROM streams.records r WHERE r.stream = id);
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON streams.records INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();";
const OLD: &str = "SELECT count(*) FROM streams.records WHERE appended_at < now() - interval '1 h'";
const YOUNG: &str = "SELECT count(*) FROM streams.records WHERE appended_at >= now() - interval '1 h'";

/// Runs the job while others append to one of the streams without a pause. How many old records it reports, and has left.
async fn sweep_in_use(url: &str) -> (Value, i64) {
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let mut connection = PgConnection::connect(url).await.unwrap();
        writers.spawn(async move {
            loop {
                let append = sqlx::query("SELECT streams.append('logs/b', 'x')");
                append.execute(&mut connection).await.unwrap();
            }
        });
    }
    while scalar(url, YOUNG).await < 100 {
        sleep(Duration::from_millis(5)).await;
    }
    let before = scalar(url, YOUNG).await;
    let job = Binary::new(env!("CARGO_BIN_EXE_sweep"))
        .with("DATABASE_URL", url)
        .with("CLOUD_RUN_JOB", "sweep")
        .with("STREAM_RETENTION", "logs/=1h");
    let output = job.start_run(&[]).wait_with_output().unwrap();
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    let left = scalar(url, OLD).await;
    assert!(scalar(url, YOUNG).await > before, "they have appended meanwhile");
    assert!(writers.try_join_next().is_none(), "none of them has failed");
    writers.shutdown().await;
    (report["deleted"]["stream_rows"].take(), left)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_deletes_all_that_is_too_old_while_others_append() {
    let url = Postgres::shared().migrated_database().await;
    execute(&url, STREAMS).await;
    assert_eq!(sweep_in_use(&url).await, (10_200.into(), 0));
}

/// Each append locks the stream until its commit, and one follows the other.
#[tokio::test(flavor = "multi_thread")]
async fn control_who_passes_by_a_stream_that_is_locked_leaves_it_as_it_is() {
    const PASSES_BY: &str = r"
        DO $wrong$
        DECLARE
            design text := pg_get_functiondef('streams.retain'::regproc);
        BEGIN
            ASSERT design ~ 'IF deleted = 0 THEN' AND design ~ 'after := s.id - 1;\s+EXIT;';
            design := replace(design, 'IF deleted = 0 THEN', 'IF false THEN');
            EXECUTE regexp_replace(design, 'after := s.id - 1;\s+EXIT;', 'CONTINUE;');
        END
        $wrong$";
    let url = Postgres::shared().migrated_database().await;
    execute(&url, STREAMS).await;
    execute(&url, PASSES_BY).await;
    let (_, left) = sweep_in_use(&url).await;
    assert!(left > 0, "{left}");
}
