//! Sessions and servers that die. The wrong designs stand beside what must hold.

use durable::{Log, append, create, within, wrong};
use shared::streams::{Append, Producer, ReadFrom};
use sqlx::{Connection, PgConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use testing::{Postgres, execute};
use tokio::{task::JoinHandle, time::sleep};

pub fn by(seq: i64, append: Append) -> Append {
    Append {
        producer: Some(Producer {
            id: "p".to_owned(),
            epoch: 0,
            seq,
        }),
        ..append
    }
}

/// Ends sessions until it is dropped; each pause is `growth` times as long as the one before.
pub struct Killer {
    killing: JoinHandle<()>,
    ended: Arc<AtomicU64>,
}

impl Killer {
    pub fn start(url: &str, which: &'static str, mut pause: Duration, growth: f64) -> Self {
        let (url, ended) = (url.to_owned(), Arc::<AtomicU64>::default());
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
        );
        let killing = tokio::spawn({
            let ended = Arc::clone(&ended);
            async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                loop {
                    let kill = sqlx::raw_sql(sqlx::AssertSqlSafe(kill.clone()));
                    let killed = kill.execute(&mut connection).await.unwrap();
                    ended.fetch_add(killed.rows_affected(), Ordering::Relaxed);
                    sleep(pause).await;
                    pause = pause.mul_f64(growth);
                }
            }
        });
        Self { killing, ended }
    }

    /// How many sessions it has ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.killing.abort();
    }
}

const APPENDS: i64 = 60;

/// A producer repeats each append until it is acknowledged, while sessions are ended. Returns the text of the stream, and how many
/// attempts failed.
async fn repeated_after_lost_sessions(url: &str) -> (String, usize) {
    let log = Log::at(url, &[]);
    log.streams.create(&within(10), create("a")).await.unwrap();
    // A commit takes a while, so that sessions die before, in and after it.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON streams.records DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    execute(url, slow).await;
    // Ever more rarely, so that a slow machine comes to a commit between two kills.
    let killer = Killer::start(url, "application_name <> 'first'", Duration::from_millis(60), 1.05);
    let mut lost = 0;
    for seq in 0..APPENDS {
        let append = || by(seq, append("a", format!("{seq} ")));
        while log.streams.append(&within(10), append()).await.is_err() {
            lost += 1;
            assert!(lost < 1000, "no append can end between two kills");
        }
    }
    drop(killer);
    sleep(Duration::from_millis(50)).await;
    (String::from_utf8(log.read_all("a", 50).await).unwrap(), lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_repeats_after_lost_sessions_is_stored_once() {
    let url = Postgres::shared().migrated_database().await;
    let (text, lost) = repeated_after_lost_sessions(&url).await;
    let expected: String = (0..APPENDS).map(|seq| format!("{seq} ")).collect();
    assert_eq!(text, expected);
    assert!(lost > 0, "no session was lost");
}

/// The control of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producer_state_in_a_second_transaction_stores_repetitions_twice() {
    let url = Postgres::shared().migrated_database().await;
    execute(&url, wrong::PRODUCER_STATE_LATER).await;
    let (text, lost) = repeated_after_lost_sessions(&url).await;
    let stored = text.split_terminator(' ').count();
    assert!(
        stored > usize::try_from(APPENDS).unwrap(),
        "{stored} were stored, {lost} attempts were lost"
    );
}

/// What was acknowledged survives the server's death. The control acknowledges before the disk has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    for commits in ["on", "off"] {
        let setting = format!("synchronous_commit={commits}");
        let mut postgres = Postgres::start(&[&setting, "wal_writer_delay=10s"]);
        let url = postgres.migrated_database().await;
        let log = Log::at(&url, &[]);
        log.streams.create(&within(10), create("a")).await.unwrap();
        execute(&url, "CHECKPOINT").await;
        for number in 0..200 {
            log.streams
                .append(&within(10), append("a", format!("{number} ")))
                .await
                .unwrap();
        }
        postgres.signal("KILL");
        sleep(Duration::from_millis(200)).await;
        postgres.restart();
        let log = Log::at(&url, &[]);
        let stored = log.streams.page(&within(10), "a", ReadFrom::Start, 1 << 20).await;
        let stored = stored.map_or(0, |page| page.records.len());
        assert_eq!(stored == 200, commits == "on", "{commits}: {stored}");
    }
}
