//! A small emulator of the reading side of GCS's XML API, and of its ways to fail.
//! Source: <https://cloud.google.com/storage/docs/xml-api/reference-status>.

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// How the emulator answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Behaviour {
    /// As GCS does for its one bucket, which is empty.
    Normal,
    /// 403 `AccessDenied`.
    Forbidden,
    /// 401 `AuthenticationRequired`.
    Unauthenticated,
    /// 503 `ServiceUnavailable`.
    Unavailable,
    /// Takes the request and never answers.
    Silent,
}

/// One bucket.
pub struct GcsEmulator {
    /// For `STORAGE_EMULATOR_HOST`.
    pub url: String,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl GcsEmulator {
    /// Listens on a port of its own and serves `bucket`.
    pub async fn start(bucket: &'static str) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::Normal));
        let router = Router::new()
            .fallback(answer)
            .with_state((bucket, Arc::clone(&behaviour)));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, behaviour }
    }

    /// From now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("no handler panics") = behaviour;
    }
}

async fn answer(
    State((bucket, behaviour)): State<(&'static str, Arc<Mutex<Behaviour>>)>,
    request: Request,
) -> Response {
    let behaviour = *behaviour.lock().expect("no handler panics");
    let asked = request.uri().path().split('/').nth(1).unwrap_or_default();
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Forbidden => error(StatusCode::FORBIDDEN, "AccessDenied"),
        Behaviour::Unauthenticated => error(StatusCode::UNAUTHORIZED, "AuthenticationRequired"),
        Behaviour::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Behaviour::Normal if asked == bucket => error(StatusCode::NOT_FOUND, "NoSuchKey"),
        Behaviour::Normal => error(StatusCode::NOT_FOUND, "NoSuchBucket"),
    }
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>Recognisable.</Message></Error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
