//! `GET /sse/heartbeat`: an event stream that beats until it ends cleanly.

mod check;

use axum::{Extension, Router, extract::State, response::Response, routing::get};
use shared::{
    config::{Env, Stream},
    lifetime::Lifetime,
    runtime::{Responses, Service},
    sse::{self, Event},
};
use std::time::SystemTime;

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let settings = Stream::from_env(env);
    Service {
        router: router(settings),
        responses: Responses::Streamed {
            heartbeat: settings.heartbeat,
        },
        check: Box::pin(check::run(settings, env.text("CHECK_URL"))),
    }
}

/// The route of this function.
pub fn router(settings: Stream) -> Router {
    Router::new().route(PATH, get(heartbeat)).with_state(settings)
}

const PATH: &str = "/sse/heartbeat";

/// `retry:`, then an `event: heartbeat` with `data: ping` now and at every interval.
async fn heartbeat(State(settings): State<Stream>, lifetime: Option<Extension<Lifetime>>) -> Response {
    let lifetime = lifetime.map(|Extension(lifetime)| lifetime).unwrap_or_default();
    sse::heartbeats(settings, lifetime, beat)
}

/// The id is the time of the beat in ms since the epoch: it grows across streams, and shows a reader how late it is.
fn beat() -> String {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let id = since_epoch.map_or(0, |time| time.as_millis()).to_string();
    let event = Event {
        id: Some(&id),
        event: Some("heartbeat"),
        data: "ping",
    };
    event.encode()
}
