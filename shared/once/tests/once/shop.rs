//! A database for payments, and clients that pay.

use axum::body::Body;
use futures_util::{StreamExt, stream};
use hyper::Method;
use serde_json::Value;
use testing::{Binary, Client, Exchange, Postgres, execute, scalar};
use tokio::{io::AsyncWriteExt, net::TcpStream};

pub const ACCOUNT: &str = "/payments/7";

pub struct Shop {
    /// Connects directly.
    pub url: String,
}

impl Shop {
    pub async fn new() -> Self {
        let url = Postgres::shared().migrated_database().await;
        let payments = "CREATE TABLE payments (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            account text NOT NULL,
            amount bigint NOT NULL CONSTRAINT payments_positive CHECK (amount > 0))";
        execute(&url, payments).await;
        Self { url }
    }

    pub fn binary(&self) -> Binary {
        at(&self.url)
    }

    /// How many payments were taken.
    pub async fn payments(&self) -> i64 {
        scalar(&self.url, "SELECT count(*) FROM payments").await
    }

    /// How many answers are stored.
    pub async fn stored(&self) -> i64 {
        scalar(&self.url, "SELECT count(*) FROM idempotency_keys").await
    }

    /// Waits until so many transactions are open.
    pub async fn until_working(&self, transactions: i64) {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND state = 'idle in transaction' AND query LIKE 'INSERT INTO payments%'";
        while scalar(&self.url, open).await != transactions {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// The binary with a database at this URL.
pub fn at(url: &str) -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_once")).with("DATABASE_URL", url)
}

pub async fn pay(url: &str, key: &str, payment: &Value) -> Exchange {
    post(&format!("{url}{ACCOUNT}"), key, payment).await
}

pub async fn post(url: &str, key: &str, payment: &Value) -> Exchange {
    send(Method::POST, url, &[("idempotency-key", key)], payment.to_string()).await
}

pub async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: String) -> Exchange {
    let has_type = headers.iter().any(|(name, _)| *name == "content-type");
    let json: &[_] = if has_type {
        &[]
    } else {
        &[("content-type", "application/json")]
    };
    let headers = [json, headers].concat();
    Client::http1().exchange(method, url, &headers, Body::from(body)).await
}

/// Pays as often as the answer is that the first request is still being worked on.
pub async fn pay_until_answered(url: &str, key: &str, payment: &Value) -> Exchange {
    let answers = stream::repeat(()).then(|()| pay(url, key, payment));
    let mut answers = Box::pin(answers.filter(|answer| std::future::ready(answer.status != 409)));
    answers.next().await.unwrap()
}

/// Sends a request whose answer nobody will read.
pub async fn begin(url: &str, path: &str, key: &str, payment: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let body = payment.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

pub fn is_replayed(answer: &Exchange) -> bool {
    answer
        .headers
        .get("idempotent-replayed")
        .is_some_and(|value| value == "true")
}

/// The kind of a problem.
pub fn slug(answer: &Exchange) -> String {
    assert_eq!(
        answer.headers["content-type"],
        "application/problem+json",
        "{}",
        answer.transcript()
    );
    answer.json()["type"]
        .as_str()
        .unwrap()
        .trim_start_matches("/problems/")
        .to_owned()
}
