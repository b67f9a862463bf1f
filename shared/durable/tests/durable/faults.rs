//! Sessions and servers that die. The wrong designs stand beside what must hold.

use durable::{Log, append, create, within};
use shared::streams::{Append, From, Producer, Stored};
use sqlx::{Connection, PgConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use testing::{Postgres, execute, scalar};
use tokio::time::sleep;

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

/// Ends sessions until it is dropped.
pub struct Killer(Arc<AtomicBool>);

impl Killer {
    pub fn start(url: &str, which: &'static str, every: Duration) -> Self {
        let (stop, url) = (Arc::new(AtomicBool::new(false)), url.to_owned());
        tokio::spawn({
            let stop = Arc::clone(&stop);
            async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                let kill = format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
                );
                while !stop.load(Ordering::Relaxed) {
                    let _ = sqlx::raw_sql(sqlx::AssertSqlSafe(kill.clone()))
                        .execute(&mut connection)
                        .await;
                    sleep(every).await;
                }
            }
        });
        Self(stop)
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_repeats_after_lost_sessions_is_stored_once() {
    let url = Postgres::shared().migrated_database().await;
    let log = Log::at(&url, &[]);
    log.streams.create(&within(10), create("a")).await.unwrap();
    // A commit takes a while, so that sessions die before, in and after it.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON streams.records DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    execute(&url, slow).await;
    let killer = Killer::start(&url, "true", Duration::from_millis(60));
    let (mut lost, mut repeated) = (0, 0);
    for seq in 0..60 {
        loop {
            match log
                .streams
                .append(&within(10), by(seq, append("a", format!("{seq} "))))
                .await
            {
                Ok(appended) => {
                    repeated += usize::from(appended.stored == Stored::Repeated);
                    break;
                }
                Err(_) => lost += 1,
            }
        }
    }
    drop(killer);
    let expected: String = (0..60).map(|seq| format!("{seq} ")).collect();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(String::from_utf8(log.read_all("a", 50).await).unwrap(), expected);
    assert!(lost > 0, "{lost} lost, {repeated} repeated");
}

/// The control of the test above: the producer's state is in a second transaction, and the process dies between the two.
#[tokio::test]
async fn producer_state_in_a_second_transaction_stores_repetitions_twice() {
    let url = Postgres::shared().migrated_database().await;
    execute(
        &url,
        "SELECT streams.create('a', 'text/plain'); CREATE TABLE state (seq bigint); INSERT INTO state VALUES (-1)",
    )
    .await;
    for seq in 0..30 {
        let mut dies = seq % 3 == 0;
        while scalar(&url, "SELECT seq FROM state").await < seq {
            execute(&url, &format!("SELECT streams.append('a', '{seq} ')")).await;
            if !std::mem::take(&mut dies) {
                execute(&url, &format!("UPDATE state SET seq = {seq}")).await;
            }
        }
    }
    assert_eq!(scalar(&url, "SELECT count(*) FROM streams.records").await, 40);
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
        let stored = log.streams.page(&within(10), "a", From::Start, 1 << 20).await;
        let stored = stored.map_or(0, |page| page.records.len());
        assert_eq!(stored == 200, commits == "on", "{commits}: {stored}");
    }
}
