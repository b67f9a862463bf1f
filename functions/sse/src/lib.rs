//! `GET /sse/heartbeat`: an event stream of heartbeats, which ends between two events.

mod check;

use axum::{extract::State, response::Response};
use shared::{
    config::Env,
    deadline::Deadline,
    runtime::{Route, Service},
    sse::{self, Event, Settings},
};
use std::time::SystemTime;

const PATH: &str = "/sse/heartbeat";

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let settings = Settings::from_env(env);
    let service = || Service::new([Route::get(PATH, heartbeat).public().with_state(settings)]);
    let check = check::run(service().router(), settings.heartbeat, env.text("CHECK_URL"));
    service().streamed(settings.heartbeat).check(check)
}

/// A stream that beats.
///
/// An `event: heartbeat` with `data: ping` now, with `retry:`, and at every interval; the id of each is its time in ms since
/// the epoch. The stream ends between two events, and the client comes back by itself.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = PATH, operation_id = "heartbeat", tag = "stream",
    responses(
        (status = 200, description = "An event stream, as the HTML standard defines it; the schema is that of an event.",
            body = sse::EventSchema, content_type = "text/event-stream"),
    ),
))]
async fn heartbeat(State(settings): State<Settings>, deadline: Deadline) -> Response {
    sse::heartbeats(settings, deadline, beat)
}

/// This function's part of the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(heartbeat))]
pub struct Api;

/// One heartbeat. Its id is the time in ms since the epoch: ids grow across streams, and show a reader how late a beat is.
fn beat() -> Event {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let id = since_epoch.map_or(0, |time| time.as_millis());
    Event::default().id(id).event("heartbeat").data("ping")
}
