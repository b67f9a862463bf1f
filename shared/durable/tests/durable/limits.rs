//! How many streams and producers there may be, and how large a record is.

use durable::{Log, append, create, within};
use futures_util::future::join_all;
use shared::streams::{Append, Create, Created, Error, Form, Producer, Refusal};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use testing::{Postgres, execute, scalar};
use tokio::time::sleep;

const LIMITS: [(&str, &str); 2] = [("STREAM_MAX_STREAMS", "10"), ("STREAM_MAX_PRODUCERS", "10")];

async fn three_processes() -> [Log; 3] {
    let url = Postgres::shared().migrated_database().await;
    [(); 3].map(|()| Log::at(&url, &LIMITS))
}

/// How many of these were done. The others were refused for this reason.
fn done<T>(results: impl IntoIterator<Item = Result<T, Error>>, reason: Refusal) -> usize {
    let is_done = |result| match result {
        Ok(_) => true,
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal, reason);
            false
        }
        Err(Error::Database(error)) => panic!("{error}"),
    };
    results.into_iter().map(is_done).filter(|is_done| *is_done).count()
}

#[tokio::test]
async fn three_processes_create_as_many_streams_as_there_may_be() {
    let logs = three_processes().await;
    let within = &within(30);
    let create = |number: usize| logs[number % 3].streams.create(within, create(&format!("s/{number}")));
    let created = join_all((0..40).map(create)).await;
    assert_eq!(done(created, Refusal::TooManyStreams), 10);
    assert_eq!(scalar(&logs[0].url, "SELECT count(*) FROM streams.streams").await, 10);
    let again = join_all((0..40).map(create)).await;
    assert_eq!(done(again, Refusal::TooManyStreams), 10);
}

/// Before it is swept, too.
#[tokio::test]
async fn what_has_ended_is_not_counted_unless_forks_need_it() {
    let [log, ..] = three_processes().await;
    let within = &within(30);
    let create = |path: &str| log.streams.create(within, create(path));
    for number in 0..9 {
        create(&format!("s/{number}")).await.unwrap();
    }
    let fork = durable::fork("fork", "s/0", None);
    log.streams.create(within, fork).await.unwrap();
    assert_eq!(done([create("more").await], Refusal::TooManyStreams), 0);
    log.streams.delete(within, "s/0").await.unwrap();
    assert_eq!(done([create("more").await], Refusal::TooManyStreams), 0);
    execute(
        &log.url,
        "UPDATE streams.streams SET expires_at = now() WHERE path IN ('s/1', 's/2')",
    )
    .await;
    for (path, expected) in [("one", 1), ("two", 1), ("three", 0)] {
        assert_eq!(done([create(path).await], Refusal::TooManyStreams), expected, "{path}");
    }
}

/// It may take as long as it likes. Whoever wants the same path waits for it, and holds up nobody else.
#[tokio::test]
async fn a_transaction_that_has_created_a_stream_holds_up_its_path_alone() {
    let [log, other, _] = three_processes().await;
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let created = sqlx::raw_sql("SELECT streams.create('x', 'text/plain')");
    created.execute(&mut *transaction).await.unwrap();
    let same = tokio::spawn(async move { log.streams.create(&within(30), create("x")).await });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while scalar(&other.url, waiting).await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    for path in ["y", "z"] {
        other.streams.create(&within(5), create(path)).await.unwrap();
    }
    assert!(!same.is_finished());
    transaction.commit().await.unwrap();
    assert_eq!(same.await.unwrap().unwrap().0, Created::Existing);
}

/// What is larger than an answer of the database could be stored and never read.
#[tokio::test]
async fn a_record_is_as_large_as_readers_can_take() {
    const LARGEST: usize = 16 << 20;
    let log = Log::at(&Postgres::shared().migrated_database().await, &[]);
    let within = &within(30);
    let too_large = |form| Append {
        form,
        ..append("a", vec![b'x'; LARGEST + 1])
    };
    let with_data = Create {
        data: too_large(Form::Body).data,
        ..create("a")
    };
    assert_eq!(
        done([log.streams.create(within, with_data).await], Refusal::TooLarge),
        0
    );
    log.streams.create(within, create("a")).await.unwrap();
    for form in [Form::Body, Form::Record] {
        let appended = [
            log.streams.append(within, too_large(form)).await,
            log.database
                .transaction(within, async |transaction| {
                    log.streams.append_in(transaction, too_large(form), true).await
                })
                .await,
        ];
        assert_eq!(done(appended, Refusal::TooLarge), 0);
    }
    log.streams
        .append(within, append("a", vec![b'x'; LARGEST]))
        .await
        .unwrap();
    log.streams.append(within, append("a", "y")).await.unwrap();
    assert_eq!(log.read_all("a", 1).await.len(), LARGEST + 1);
}

#[tokio::test]
async fn three_processes_let_as_many_producers_append_as_a_stream_may_have() {
    let logs = three_processes().await;
    let within = &within(30);
    let new = Create { ..create("a") };
    logs[0].streams.create(within, new).await.unwrap();
    let append = |number: usize| {
        let producer = Some(Producer {
            id: number.to_string(),
            epoch: 0,
            seq: 0,
        });
        let append = Append {
            producer,
            ..append("a", "x")
        };
        logs[number % 3].streams.append(within, append)
    };
    let appended = join_all((0..40).map(append)).await;
    assert_eq!(done(appended, Refusal::TooManyProducers), 10);
    assert_eq!(logs[0].read_all("a", 100).await.len(), 10);
}
