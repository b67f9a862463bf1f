//! The real binary as a command line, a Cloud Run job and a Lambda function, against a real Postgres.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::time::Duration;
use testing::{Binary, FakeRuntimeApi, Postgres, execute, exit_code, scalar, signal};
use tokio::time::{Instant, sleep};

const ROWS: &str = "SELECT count(*) FROM idempotency_keys";

struct Swept {
    url: String,
}

impl Swept {
    /// A database with so many answers that have expired and so many that have not.
    async fn new(expired: u32, fresh: u32) -> Self {
        let url = Postgres::shared().migrated_database().await;
        let insert = |count, name, age| {
            format!(
                "INSERT INTO idempotency_keys (caller, key, fingerprint, created_at, status, header_names, header_values, body)
                 SELECT '', '{name}-' || n, '', now() - interval '{age}', 200, '{{}}', '{{}}', '' FROM generate_series(1, {count}) n"
            )
        };
        execute(&url, &insert(expired, "old", "24 hours 1 minute")).await;
        execute(&url, &insert(fresh, "fresh", "23 hours 59 minutes")).await;
        Self { url }
    }

    fn binary(&self) -> Binary {
        Binary::new(env!("CARGO_BIN_EXE_sweep"))
            .with("DATABASE_URL", &*self.url)
            .with("CLOUD_RUN_JOB", "sweep")
    }

    async fn rows(&self) -> i64 {
        scalar(&self.url, ROWS).await
    }
}

/// The exit code and the report of a run, whose time is not compared.
fn run(binary: &Binary, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = binary.run(arguments);
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {output:?}"));
    assert!(report["duration_ms"].take().is_u64(), "{report}");
    (output.status.code(), report)
}

fn report(status: &str, deleted: u32) -> Value {
    json!({"status": status, "deleted": {"idempotency_keys": deleted, "stream_rows": 0}, "duration_ms": null})
}

#[tokio::test]
async fn what_has_expired_is_deleted_in_batches_and_the_rest_stays() {
    let database = Swept::new(2500, 7).await;
    // A statement that deletes more than a batch fails.
    let bound = "CREATE FUNCTION bound() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(*) FROM deleted) > 1000 THEN RAISE EXCEPTION 'too many'; END IF; RETURN NULL; END $$;
        CREATE TRIGGER bound AFTER DELETE ON idempotency_keys REFERENCING OLD TABLE AS deleted
            FOR EACH STATEMENT EXECUTE FUNCTION bound(); ANALYZE idempotency_keys";
    execute(&database.url, bound).await;
    assert_eq!(run(&database.binary(), &[]), (Some(0), report("swept", 2500)));
    assert_eq!(database.rows().await, 7);
    assert_eq!(run(&database.binary(), &[]), (Some(0), report("swept", 0)));
    let shorter = database.binary().with("IDEMPOTENCY_MAX_AGE", "23h");
    assert_eq!(run(&shorter, &[]), (Some(0), report("swept", 7)));
}

/// Twice at once, and with a fork that needs its source.
#[tokio::test]
async fn streams_that_have_ended_go_with_all_their_rows_and_old_records_before_their_streams() {
    let database = Swept::new(0, 0).await;
    let streams = "SELECT streams.create(path, 'text/plain') FROM unnest(ARRAY['ended', 'source', 'logs/a', 'logs/b', 'other']) path;
        SELECT streams.append(path, repeat('x', 100)) FROM unnest(ARRAY['ended', 'source', 'logs/a', 'logs/b', 'other']) path,
            generate_series(1, 2500);
        SELECT streams.put('fork', NULL, NULL, NULL, false, NULL, NULL, 'source');
        SELECT streams.close('logs/b');
        SELECT streams.delete('ended'), streams.delete('source')";
    execute(&database.url, streams).await;
    let retaining = database.binary().with("STREAM_RETENTION", "logs/=10KiB, none/=1s");
    let mut rows = 0;
    for run in [retaining.start_run(&[]), retaining.start_run(&[])] {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        rows += report["deleted"]["stream_rows"].as_u64().unwrap();
    }
    // What one had locked, the other has left out.
    let (code, last) = run(&retaining, &[]);
    assert_eq!(code, Some(0));
    rows += last["deleted"]["stream_rows"].as_u64().unwrap();
    // The last 10 KiB begin within the 103rd record from the end.
    assert_eq!(rows, 2500 + 1 + 2 * (2500 - 103));
    let left = "SELECT count(*) FROM streams.records r JOIN streams.streams s ON s.id = r.stream WHERE s.path ";
    for (paths, records) in [("= 'source'", 2500), ("= 'other'", 2500), ("^@ 'logs/'", 206)] {
        assert_eq!(
            scalar(&database.url, &format!("{left}{paths}")).await,
            records,
            "{paths}"
        );
    }
    assert_eq!(
        scalar(&database.url, "SELECT count(*) FROM streams.streams WHERE closed").await,
        1
    );
}

/// One run, whatever the depth: a source is needed no longer when its last fork goes.
#[tokio::test]
async fn sources_that_have_ended_go_with_the_last_of_their_forks() {
    let database = Swept::new(0, 0).await;
    let streams = "SELECT streams.create('a', 'text/plain'), streams.create('b', 'text/plain');
        SELECT streams.append(path, 'x') FROM unnest(ARRAY['a', 'b']) path;
        SELECT streams.put(fork, NULL, NULL, NULL, false, NULL, NULL, source) FROM (VALUES
            ('a/1', 'a'), ('a/2', 'a/1'), ('a/3', 'a/2'), ('a/4', 'a'), ('b/1', 'b'), ('b/2', 'b/1'), ('b/3', 'b/1')
        ) forks (fork, source);
        UPDATE streams.streams SET expires_at = now() WHERE path <> 'b/2'";
    execute(&database.url, streams).await;
    let (code, report) = run(&database.binary(), &[]);
    assert_eq!(
        (code, &report["deleted"]["stream_rows"]),
        (Some(0), &json!(2 * 5 + 1 + 2))
    );
    let left = "SELECT count(*) FROM streams.streams WHERE path IN ('b', 'b/1', 'b/2')";
    assert_eq!(scalar(&database.url, left).await, 3);
    assert_eq!(scalar(&database.url, "SELECT count(*) FROM streams.streams").await, 3);
}

#[tokio::test]
async fn two_at_once_delete_each_row_once_and_wait_for_nobody() {
    let database = Swept::new(3000, 0).await;
    // A deletion takes two seconds.
    let slow =
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER DELETE ON idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION slow()";
    execute(&database.url, slow).await;
    let start = Instant::now();
    let runs = [database.binary().start_run(&[]), database.binary().start_run(&[])];
    let mut deleted = 0;
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        deleted += report["deleted"]["idempotency_keys"].as_u64().unwrap();
    }
    assert_eq!((deleted, database.rows().await), (3000, 0));
    // One after the other, the five or six statements would take two seconds each.
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

#[tokio::test]
async fn one_that_is_killed_has_deleted_whole_batches_and_the_next_one_goes_on() {
    let database = Swept::new(5000, 3).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER DELETE ON idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION slow()";
    execute(&database.url, slow).await;
    let mut killed = database.binary().start_run(&[]);
    while database.rows().await > 4003 {
        sleep(Duration::from_millis(5)).await;
    }
    signal(killed.id(), "KILL");
    exit_code(&mut killed, Duration::from_secs(5));
    let left = database.rows().await;
    assert!((1003..=4003).contains(&left) && left % 1000 == 3, "{left}");
    assert_eq!(run(&database.binary(), &[]).0, Some(0));
    assert_eq!(database.rows().await, 3);
}

#[tokio::test]
async fn a_signal_or_the_deadline_stops_it_and_it_says_so() {
    let database = Swept::new(1, 0).await;
    let stuck = "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
        CREATE TRIGGER stuck AFTER DELETE ON idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION stuck()";
    execute(&database.url, stuck).await;
    let deleting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DELETE%'
        AND state = 'active'";
    let stopped = database.binary().start_run(&[]);
    while scalar(&database.url, deleting).await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    signal(stopped.id(), "TERM");
    let start = Instant::now();
    let output = stopped.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let written: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &written["status"]), (Some(1), &json!("stopped")));
    assert_eq!(
        scalar(&database.url, deleting).await,
        0,
        "the statement outlives its process"
    );

    let api = FakeRuntimeApi::start().await;
    let mut lambda = database.binary().on_lambda(&api);
    let mut posted = api.invoke(&json!({}), Duration::from_secs(2)).await;
    let body: Value = serde_json::from_slice(&posted.rest().await).unwrap();
    assert_eq!((posted.error, &body["errorType"]), (true, &json!("JobFailed")));
    lambda.wait_for_line("the job failed");
    while scalar(&database.url, deleting).await > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(database.rows().await, 1);
}

#[tokio::test]
async fn on_lambda_the_event_of_a_schedule_is_a_run() {
    let database = Swept::new(2, 1).await;
    let api = FakeRuntimeApi::start().await;
    let _lambda = database.binary().on_lambda(&api);
    let event = json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "123456789012", "time": "2026-10-08T16:53:06Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/sweep"], "detail": {}
    });
    let mut posted = api.invoke(&event, Duration::from_secs(30)).await;
    let body: Value = serde_json::from_slice(&posted.rest().await).unwrap();
    assert_eq!(
        (posted.error, &body["deleted"]["idempotency_keys"]),
        (false, &json!(2)),
        "{body}"
    );
    assert_eq!(database.rows().await, 1);
}

#[tokio::test]
async fn a_person_reads_text_and_what_cannot_work_is_said() {
    let database = Swept::new(3, 0).await;
    let sweep = Binary::new(env!("CARGO_BIN_EXE_sweep"));
    let output = sweep.clone().with("DATABASE_URL", &*database.url).run(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("3 idempotency keys and 0 rows of streams deleted in "),
        "{text}"
    );
    let job = sweep.with("CLOUD_RUN_JOB", "sweep");
    let (code, report) = run(&job, &[]);
    assert_eq!(
        (code, &report["status"], &report["reason"]),
        (Some(1), &json!("failed"), &json!("not_configured"))
    );
    let dead = job
        .clone()
        .with("DATABASE_URL", "postgresql://u:hostile-secret@127.0.0.1:1/d");
    assert_eq!(run(&dead, &[]).1["reason"], "unreachable");
    let (code, report) = run(&dead, &["everything"]);
    assert_eq!((code, report["usage"].is_string()), (Some(1), true));
    for age in ["0s", "999ms", "366d", "tomorrow"] {
        let output = job.clone().with("IDEMPOTENCY_MAX_AGE", age).run(&[]);
        assert_eq!(output.status.code(), Some(78), "{age}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("IDEMPOTENCY_MAX_AGE"),
            "{age}"
        );
    }
}

#[tokio::test]
async fn an_older_schema_is_a_reason() {
    let url = Postgres::shared().empty_database().await;
    let job = Binary::new(env!("CARGO_BIN_EXE_sweep"))
        .with("CLOUD_RUN_JOB", "sweep")
        .with("DATABASE_URL", url);
    let (code, report) = run(&job, &[]);
    assert_eq!((code, &report["reason"]), (Some(1), &json!("error")));
}
