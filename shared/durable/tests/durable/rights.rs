//! What a role may do that has not made the schema. Its functions have the rights of their caller.

use durable::{Log, append, create, fork, within};
use shared::streams::{Append, Create, Error, Expiry, Producer, ReadFrom};
use testing::{Postgres, database_of, execute, scalar};

/// A role of this test with these rights, and the log as it has it.
async fn role(name: &str, rights: &[&str], settings: &[(&str, &str)]) -> (String, Log) {
    let postgres = Postgres::shared();
    let url = postgres.migrated_database().await;
    execute(&url, &format!("CREATE ROLE {name} LOGIN PASSWORD 'x'")).await;
    for rights in rights {
        execute(&url, &format!("GRANT {rights} TO {name}")).await;
    }
    let of_role = format!(
        "postgresql://{name}:x@127.0.0.1:{}/{}",
        postgres.port(),
        database_of(&url)
    );
    let log = Log::at(&of_role, settings);
    (url, log)
}

const SCHEMA: &str = "USAGE ON SCHEMA streams";
const USE: &str = "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA streams";
const DELETE: &str = "DELETE ON ALL TABLES IN SCHEMA streams";

fn is_denied<T>(done: Result<T, Error>) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    match done {
        Err(Error::Database(error)) => {
            error.as_database_error().unwrap().code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
        }
        _ => false,
    }
}

#[tokio::test]
async fn to_use_streams_takes_select_insert_and_update_and_to_limit_them_delete() {
    let (_, log) = role("uses", &[SCHEMA, USE], &[]).await;
    let within = &within(10);
    let producer = Some(Producer {
        id: "p".to_owned(),
        epoch: 0,
        seq: 0,
    });
    log.streams.create(within, create("a")).await.unwrap();
    let first = append("a", "one");
    log.streams.append(within, Append { producer, ..first }).await.unwrap();
    let in_transaction =
        "SELECT streams.create('b'), streams.append('b', '1'), streams.close('b'), streams.append('a', 'two')";
    execute(&log.url, in_transaction).await;
    log.streams.create(within, fork("c", "a", None)).await.unwrap();
    assert_eq!(log.read_all("c", 100).await, b"onetwo");
    log.streams.delete(within, "a").await.unwrap();

    let limited = Log::at(&log.url, &[("STREAM_MAX_STREAMS", "3")]);
    assert!(is_denied(limited.streams.create(within, create("d")).await));
    let (_, limited) = role("limits", &[SCHEMA, USE, DELETE], &[("STREAM_MAX_STREAMS", "1")]).await;
    limited.streams.create(within, create("a")).await.unwrap();
    let refused = limited.streams.create(within, create("b")).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn to_sweep_takes_delete_too() {
    let make = "SELECT streams.create('a', 'text/plain'), streams.create('b'), streams.append('a', 'one'), streams.append('a', 'two');
        SELECT streams.delete('b')";
    for (name, rights, swept) in [
        ("sweeps", &[SCHEMA, USE, DELETE][..], true),
        ("sweeps_not", &[SCHEMA, USE], false),
    ] {
        let (url, log) = role(name, rights, &[]).await;
        execute(&url, make).await;
        let within = within(10);
        let delete = log.database.transaction(&within, async |transaction| {
            shared::streams::delete_ended(transaction, 100).await
        });
        assert_eq!(delete.await.ok(), swept.then_some(1));
        if swept {
            let retain = "SELECT deleted FROM streams.retain('', NULL, 3, 0, 10, 10)";
            assert_eq!(scalar(&log.url, retain).await, 1);
        }
    }
}

#[tokio::test]
async fn to_read_takes_select_and_of_what_expires_the_update_of_its_time() {
    let reads = "SELECT ON streams.streams, streams.records";
    let renews = "UPDATE (expires_at) ON streams.streams";
    for (name, rights, renews) in [
        ("reads", &[SCHEMA, reads][..], false),
        ("renews", &[SCHEMA, reads, renews], true),
    ] {
        let (url, log) = role(name, rights, &[]).await;
        let (owner, within) = (Log::at(&url, &[]), &within(10));
        let ttl = Create {
            expiry: Some(Expiry::Ttl(100)),
            ..create("ttl")
        };
        for new in [create("a"), ttl] {
            owner.streams.create(within, new).await.unwrap();
        }
        owner.streams.append(within, append("a", "one")).await.unwrap();
        assert_eq!(log.read_all("a", 100).await, b"one");
        let page = log.streams.page(within, "ttl", ReadFrom::Start, 1).await;
        assert_eq!(page.is_ok(), renews, "{page:?}");
        assert!(is_denied(log.streams.append(within, append("a", "two")).await));
    }
}
