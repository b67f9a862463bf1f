//! What breaks between clients and instances, and what must hold. Beside what holds by design stands the control: the same
//! without that design, which must not hold.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod asleep;
mod clock;
mod closed;
mod cuts;
#[path = "../outsiders/cutter.rs"]
mod cutter;
mod database;
mod doorbell;
mod drained;
mod frozen;
mod heard;
mod hopping;
mod killed;
mod lost_replies;
mod poolers;
mod reader;
mod recreated;
mod retained;
mod slow;
mod slow_reader;
mod stalled;
mod writer;

use hyper::Method;
use serde_json::json;
use testing::{Binary, Client, Exchange, Postgres, tokens};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The headers of an append by a producer.
fn producer(seq: &str) -> [(&str, &str); 4] {
    [
        JSON,
        ("producer-id", "p"),
        ("producer-epoch", "0"),
        ("producer-seq", seq),
    ]
}

/// The function with a database of its own: instances of it share their streams.
async fn streams() -> Binary {
    streams_in(Postgres::shared().migrated_database().await)
}

fn streams_in(database: String) -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_streams"))
        .with("DATABASE_URL", database)
        .with("TOKEN_ISSUERS", tokens::issuers())
}

fn authorization() -> String {
    let token = tokens::token(json!({"scope": "streams:read streams:write"}));
    format!("Bearer {token}")
}

/// A client that may read and write every stream.
struct Caller {
    client: Client,
    authorization: String,
}

impl Caller {
    fn new() -> Self {
        let (client, authorization) = (Client::http1(), authorization());
        Self { client, authorization }
    }

    async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
        let answer = self.try_ask(method, url, headers, body).await;
        answer.expect("the server answers")
    }

    async fn try_ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Exchange, String> {
        let headers = [headers, &[("authorization", &*self.authorization)]].concat();
        let body = body.to_owned().into();
        self.client.try_exchange(method, url, &headers, body).await
    }

    async fn create(&self, server: &str, path: &str) -> String {
        let url = format!("{server}/v1/stream/{path}");
        let created = self.ask(Method::PUT, &url, &[JSON], "").await;
        assert_eq!(created.status, 201, "{created:?}");
        url
    }

    /// All messages of a stream.
    async fn messages(&self, url: &str) -> Vec<i64> {
        let (mut messages, mut offset) = (Vec::new(), "-1".to_owned());
        loop {
            let page = self.ask(Method::GET, &format!("{url}?offset={offset}"), &[], "").await;
            assert_eq!(page.status, 200, "{page:?}");
            messages.extend(serde_json::from_slice::<Vec<i64>>(&page.body).unwrap());
            if page.headers.contains_key("stream-up-to-date") {
                return messages;
            }
            offset = page.headers["stream-next-offset"].to_str().unwrap().to_owned();
        }
    }
}
