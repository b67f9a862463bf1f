//! A server, and what tests ask it for.

use axum::http::HeaderMap;
use hyper::Method;
use serde_json::json;
use testing::{Binary, Client, Exchange, Postgres, Process, tokens};

pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const TEXT: (&str, &str) = ("content-type", "text/plain");

/// A server with a database of its own, whose long polls are short.
pub struct Server {
    pub process: Process,
    pub client: Client,
    pub token: String,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let binary = Binary::new(env!("CARGO_BIN_EXE_streams"));
        let binary = binary.with("DATABASE_URL", Postgres::shared().migrated_database().await);
        let binary = binary.with("TOKEN_ISSUERS", tokens::issuers());
        let process = binary.with("STREAM_LONG_POLL", "500ms").with_all(settings).serve();
        let client = Client::http1();
        let token = token("streams:read streams:write");
        Self { process, client, token }
    }

    pub async fn ask(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
        let url = format!("{}/v1/{target}", self.process.url);
        let headers = [headers, &[("authorization", &*self.token)]].concat();
        self.client
            .exchange(method, &url, &headers, body.to_owned().into())
            .await
    }

    pub async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Exchange {
        self.ask(Method::GET, target, headers, "").await
    }

    /// Creates a stream, and returns the offset of its end.
    pub async fn create(&self, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let created = self.ask(Method::PUT, &format!("stream/{path}"), headers, body).await;
        assert_eq!(created.status, 201, "{}", created.transcript());
        next_offset(&created.headers)
    }

    pub async fn append(&self, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let appended = self.ask(Method::POST, &format!("stream/{path}"), headers, body).await;
        assert!(
            [200, 204].contains(&appended.status.as_u16()),
            "{}",
            appended.transcript()
        );
        next_offset(&appended.headers)
    }
}

/// The header of a caller with these scopes.
pub fn token(scopes: &str) -> String {
    format!("Bearer {}", tokens::token(json!({"scope": scopes})))
}

pub fn next_offset(headers: &HeaderMap) -> String {
    headers["stream-next-offset"].to_str().unwrap().to_owned()
}

pub fn slug(answer: &Exchange) -> String {
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status.as_u16());
    problem["type"]
        .as_str()
        .unwrap()
        .trim_start_matches("/problems/")
        .to_owned()
}
