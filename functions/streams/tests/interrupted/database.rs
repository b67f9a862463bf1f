//! The database stands still, dies, or takes no writes.

use crate::{Caller, JSON, reader::Reader, streams_in, writer::Writer};
use hyper::Method;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use testing::{Postgres, Process, database_of, execute, scalar, signal};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const STANDSTILL: Duration = Duration::from_secs(20);
/// How long a request may take: a statement has 30 s.
const PATIENCE: Duration = Duration::from_secs(31);

#[tokio::test(flavor = "multi_thread")]
async fn while_it_stands_still_nothing_hangs_and_afterwards_all_goes_on_by_itself() {
    let postgres = Postgres::start(&[]);
    let binary = streams_in(postgres.migrated_database().await);
    let (one, other) = (binary.serve(), binary.serve());
    let caller = Caller::new();
    let url = caller.create(&one.url, "a").await;
    let readers = [Reader::start(&[&one], "a"), Reader::start(&[&other], "a")];
    let mut writer = Writer::new(&[&one, &other], "a", "p");
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        for number in 0..200 {
            writer.append(number).await;
            sleep(Duration::from_millis(10)).await;
        }
        writer
    });
    readers[1].until(|seen| seen.read.len() > 50).await;
    postgres.signal_all("STOP");
    sleep(Duration::from_secs(1)).await;
    let stuck_at = readers[0].seen().read.len();
    // Who comes meanwhile gets an answer.
    let start = Instant::now();
    let target = format!("{url}?offset=-1");
    let (read, ()) = tokio::join!(caller.ask(Method::GET, &target, &[], ""), async {
        sleep(STANDSTILL).await;
        assert_eq!(readers[0].seen().read.len(), stuck_at, "it stood still");
        postgres.signal_all("CONT");
    });
    assert!(
        [200, 503].contains(&read.status.as_u16()) && start.elapsed() < PATIENCE,
        "{read:?}"
    );
    let writer = timeout(Duration::from_secs(20), writing.join_next()).await;
    let writer = writer.expect("it goes on by itself").unwrap().unwrap();
    assert!(
        writer.slowest > STANDSTILL / 5 && writer.slowest < PATIENCE,
        "{:?}",
        writer.slowest
    );
    writer.close().await;
    for reader in readers {
        let seen = reader.end().await;
        assert_eq!(seen.messages(), Vec::from_iter(0..200), "once, and in order");
        assert_eq!(seen.connections, 1, "the event stream stays open");
    }
}

/// Of a database that was killed in the middle of appends, and started again.
struct Killed {
    _postgres: Postgres,
    _servers: [Process; 2],
    url: String,
    /// Each writer, the messages that it knows to be stored, and the one that it does not know of.
    writers: Vec<(Writer, Vec<i64>, i64)>,
    /// What a reader had seen.
    read: Vec<i64>,
    stored: Vec<i64>,
}

impl Killed {
    async fn with(synchronous_commit: &str) -> Self {
        let setting = format!("synchronous_commit={synchronous_commit}");
        let mut postgres = Postgres::start(&[&setting]);
        let binary = streams_in(postgres.migrated_database().await);
        let servers = [binary.serve(), binary.serve()];
        let caller = Caller::new();
        let url = caller.create(&servers[0].url, "a").await;
        execute(&postgres.url(), "CHECKPOINT").await;
        // Only commits that wait for the log write it, as on a disk that is slow.
        let log_writer = "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'walwriter'";
        let log_writer = scalar(&postgres.url(), log_writer).await.try_into().unwrap();
        signal(log_writer, "STOP");
        let reader = Reader::start(&[&servers[1]], "a");
        let mut writing = JoinSet::new();
        for number in 0..8 {
            writing.spawn(until_refused(
                Writer::new(&[&servers[0]], "a", &number.to_string()),
                number * 100_000,
            ));
        }
        reader.until(|seen| seen.read.len() > 300).await;
        postgres.signal("KILL");
        signal(log_writer, "KILL");
        let writers = writing.join_all().await;
        sleep(Duration::from_millis(200)).await;
        let read = reader.seen().messages();
        postgres.restart();
        let stored = caller.messages(&url).await;
        Self {
            _postgres: postgres,
            _servers: servers,
            url,
            writers,
            read,
            stored,
        }
    }

    /// How many messages are not stored that a writer knows to be, and that a reader has seen.
    fn lost(&self) -> (usize, usize) {
        let stored: HashSet<i64> = self.stored.iter().copied().collect();
        let lost = |messages: &[i64]| messages.iter().filter(|message| !stored.contains(message)).count();
        (
            self.writers.iter().map(|(_, acknowledged, _)| lost(acknowledged)).sum(),
            lost(&self.read),
        )
    }
}

/// Appends messages from this one on, until an append fails.
async fn until_refused(mut writer: Writer, mut message: i64) -> (Writer, Vec<i64>, i64) {
    let mut acknowledged = Vec::new();
    while writer.attempt(message).await == 200 {
        acknowledged.push(message);
        message += 1;
    }
    (writer, acknowledged, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_or_read_outlives_its_death_and_the_rest_can_be_repeated() {
    let mut killed = Killed::with("on").await;
    assert_eq!(killed.lost(), (0, 0));
    assert_eq!(killed.stored[..killed.read.len()], killed.read);
    let caller = Caller::new();
    for (writer, acknowledged, in_doubt) in &mut killed.writers {
        writer.append(*in_doubt).await;
        acknowledged.push(*in_doubt);
    }
    let stored = caller.messages(&killed.url).await;
    for (_, acknowledged, _) in &killed.writers {
        let first = acknowledged[0];
        let of_this = stored
            .iter()
            .copied()
            .filter(|message| (first..first + 100_000).contains(message));
        assert_eq!(of_this.collect::<Vec<_>>(), *acknowledged, "once, and in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_with_synchronous_commit_off_what_was_acknowledged_and_read_is_lost() {
    let (acknowledged, read) = Killed::with("off").await.lost();
    assert!(acknowledged > 0 && read > 0, "{acknowledged} {read}");
}

/// After a failover, or where the disk is nearly full, a server takes reads alone.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_takes_no_writes_these_get_503_and_reads_go_on() {
    let database = Postgres::shared().migrated_database().await;
    let server = streams_in(database.clone()).serve();
    let caller = Caller::new();
    let url = caller.create(&server.url, "a").await;
    let ttl = format!("{}/v1/stream/ttl", server.url);
    caller
        .ask(Method::PUT, &ttl, &[JSON, ("stream-ttl", "1000")], "[1]")
        .await;
    caller.ask(Method::POST, &url, &[JSON], "1").await;
    let name = database_of(&database);
    let read_only = async |value: &str| {
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        for sql in [set, end] {
            execute(&Postgres::shared().url(), &sql).await;
        }
        // The instance learns that its sessions have ended.
        sleep(Duration::from_millis(300)).await;
    };
    // The time to live is one that a read would renew.
    execute(
        &database,
        "UPDATE streams.streams SET expires_at = now() + interval '500 s' WHERE ttl IS NOT NULL",
    )
    .await;
    read_only("on").await;
    let other = format!("{}/v1/stream/b", server.url);
    let writes = [
        (Method::POST, &url, "2"),
        (Method::PUT, &other, "2"),
        (Method::DELETE, &url, ""),
    ];
    for (method, url, body) in writes {
        let refused = caller.ask(method.clone(), url, &[JSON], body).await;
        assert_eq!(refused.status, 503, "{method} {refused:?}");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        assert_eq!(refused.json()["type"], "/problems/unavailable", "{refused:?}");
    }
    for url in [&url, &ttl] {
        let read = caller.ask(Method::GET, &format!("{url}?offset=-1"), &[], "").await;
        assert_eq!((read.status.as_u16(), &*read.body), (200, &b"[1]"[..]), "{read:?}");
    }
    read_only("off").await;
    let appended = caller.ask(Method::POST, &url, &[JSON], "2").await;
    assert_eq!(appended.status, 204, "{appended:?}");
    assert_eq!(caller.messages(&url).await, [1, 2]);
}
