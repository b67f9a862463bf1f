//! A pooled connection to Postgres that the server ends, that the network forgets, or that freezes with its process.

use crate::{
    impatient::{database, session},
    probed::{end_sessions, probed},
};
use serde_json::json;
use std::time::{Duration, Instant};
use testing::{Postgres, Proxy, database_of, execute};

#[tokio::test]
async fn a_connection_that_died_while_idle_does_not_fail_the_next_probe() {
    let url = Postgres::shared().migrated_database().await;
    let server = probed(&url);
    server.recovers().await;
    end_sessions(&url).await;
    server.forgets().await;
    assert_eq!(server.probe().await.status, 200);
}

#[tokio::test]
async fn connections_that_the_server_ends_for_idleness_are_never_noticed() {
    let url = Postgres::shared().migrated_database().await;
    let idle = format!(
        "ALTER DATABASE {} SET idle_session_timeout = '500ms'",
        database_of(&url)
    );
    execute(&url, &idle).await;
    let server = probed(&url);
    let database = database(&url);
    for _ in 0..5 {
        assert_eq!(server.probe().await.json()["status"], "healthy", "{}", server.log());
        let start = Instant::now();
        let one: i32 = sqlx::query_scalar("SELECT 1")
            .fetch_one(&mut *session(&database).await)
            .await
            .unwrap();
        assert!(
            one == 1 && start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_process_that_was_frozen_for_longer_than_its_connection_lived_answers_at_once() {
    let url = Postgres::shared().migrated_database().await;
    let server = probed(&url);
    server.recovers().await;
    for _ in 0..3 {
        server.signal("STOP");
        end_sessions(&url).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.signal("CONT");
        let start = Instant::now();
        assert_eq!(server.probe().await.json()["status"], "healthy", "{}", server.log());
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}

/// Imitates a long freeze behind a network that forgets connections: nothing shows that the connection is dead.
#[tokio::test]
async fn a_connection_that_the_path_forgot_while_the_process_was_frozen_costs_less_than_a_second() {
    let postgres = Postgres::start(&[]);
    let proxy = Proxy::start(postgres.port()).await;
    let url = postgres.migrated_database().await;
    let server = probed(&proxy.url(&url).await);
    server.recovers().await;
    proxy.forget_during_a_freeze(&server).await;
    let start = Instant::now();
    assert_eq!(server.probe().await.json()["status"], "healthy", "{}", server.log());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_path_that_delays_is_slow_or_a_timeout_and_one_that_drops_is_unreachable() {
    let postgres = Postgres::start(&[]);
    let proxy = Proxy::start(postgres.port()).await;
    let url = postgres.migrated_database().await;
    let server = probed(&proxy.url(&url).await);
    server.recovers().await;
    proxy.delay(Duration::from_millis(300));
    server.forgets().await;
    let report = server.probe().await.json();
    assert_eq!(
        (&report["status"], &report["reason"]),
        (&json!("degraded"), &json!("slow")),
        "{report}"
    );
    proxy.delay(Duration::from_secs(3));
    server.forgets().await;
    server.fails("timeout").await;
    proxy.delay(Duration::ZERO);
    // Waits until the delayed bytes have arrived: no second session begins while the first may still exist.
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.recovers().await;
    proxy.drop_after(40);
    server.forgets().await;
    server.fails("unreachable").await;
    proxy.drop_after(usize::MAX);
    server.recovers().await;
}

/// A full queue of connections, whose server answers no SYN, as a network does that loses everything.
#[tokio::test]
async fn a_path_that_takes_no_connection_is_used_as_soon_as_it_does() {
    let postgres = Postgres::start(&[]);
    let (address, url) = {
        let url = postgres.migrated_database().await;
        let proxy = Proxy::start(postgres.port()).await;
        (proxy.port, proxy.url(&url).await)
    };
    let queue = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    queue.bind(&any.into()).unwrap();
    queue.listen(0).unwrap();
    let place = queue.local_addr().unwrap().as_socket().unwrap();
    let first = std::net::TcpStream::connect(place).unwrap();
    let second = std::net::TcpStream::connect_timeout(&place, Duration::from_millis(300));
    assert!(second.is_err(), "the queue is not full");
    let server = probed(&url.replace(&format!(":{address}/"), &format!(":{}/", place.port())));
    for _ in 0..4 {
        server.fails("timeout").await;
        server.forgets().await;
    }
    drop(first);
    queue.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(queue.into()).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut path = tokio::net::TcpStream::connect(("127.0.0.1", address)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut path).await;
            });
        }
    });
    server.recovers().await;
}
