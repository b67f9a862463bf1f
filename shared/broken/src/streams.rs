//! Event streams from sources of every kind. Each logs when its source is dropped.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};
use shared::{
    deadline::Deadline,
    problem::{self, Problem},
    runtime::Route,
    sse::{self, Event, LastEventId, Settings},
};
use std::{io, time::Duration};
use tokio::time::{Instant, sleep};

pub fn routes(settings: Settings) -> [Route; 8] {
    [
        Route::get("/streams/numbers", numbers),
        Route::get("/streams/silent", silent),
        Route::get("/streams/eager", eager),
        Route::get("/streams/over", over),
        Route::get("/streams/fails", fails),
        Route::get("/streams/panics", panics),
        Route::get("/streams/expires", expires),
        Route::get("/streams/self-ended", self_ended),
    ]
    .map(|route| route.with_state(settings))
}

/// How many numbers there are.
const LAST: u64 = 500;

/// 1 to 500, each after 5 ms. A client that comes back gets those that it has not seen.
async fn numbers(
    State(settings): State<Settings>,
    deadline: Deadline,
    last: Option<LastEventId>,
) -> Result<Response, Problem> {
    let last: u64 = match last {
        Some(LastEventId(id)) => id.parse().map_err(|_| Problem::new(&problem::MALFORMED))?,
        None => 0,
    };
    let numbers = stream::iter(last.saturating_add(1)..=LAST).then(async |number| {
        sleep(Duration::from_millis(5)).await;
        Event::default().id(number).event("number").json(&[number])
    });
    Ok(sse::try_stream(settings, deadline, held("numbers", numbers)))
}

async fn silent(State(settings): State<Settings>, deadline: Deadline) -> Response {
    sse::stream(settings, deadline, held("silent", stream::pending()))
}

/// Always has an event, of 16 KiB.
async fn eager(State(settings): State<Settings>, deadline: Deadline) -> Response {
    let event = Event::default().data(&"x".repeat(16 << 10));
    sse::stream(settings, deadline, held("eager", stream::repeat(event)))
}

async fn over(State(settings): State<Settings>, deadline: Deadline) -> Response {
    sse::stream(settings, deadline, held("over", stream::iter([first()])))
}

async fn fails(State(settings): State<Settings>, deadline: Deadline) -> Response {
    let events = stream::iter([Ok(first()), Err(io::Error::other("it broke")), Ok(first())]);
    sse::try_stream(settings, deadline, held("fails", events))
}

async fn panics(State(settings): State<Settings>, deadline: Deadline) -> Response {
    let events = stream::iter([0, 1]).map(|number| {
        assert_ne!(number, 1, "a source that panics");
        first()
    });
    sse::stream(settings, deadline, held("panics", events))
}

/// As for a caller whose token expires in two seconds.
async fn expires(State(settings): State<Settings>, deadline: Deadline) -> Response {
    let deadline = deadline.earlier(Instant::now() + Duration::from_secs(2));
    sse::stream(settings, deadline, held("expires", stream::pending()))
}

/// A source that looks at the time itself, as no function should: nobody asks it while its client takes nothing. One event is
/// more than both kernels hold, so that the server has more in hand than it asks the next event for.
async fn self_ended() -> Response {
    let event = Bytes::from("data: ".to_owned() + &"x".repeat(4 << 20) + "\n\n");
    let events = stream::repeat(event).take_until(sleep(Duration::from_secs(2)));
    let body = Body::from_stream(held("self-ended", events.map(io::Result::Ok)));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn first() -> Event {
    Event::default().data("first")
}

/// Logs when the source is dropped.
pub fn held<T>(name: &'static str, source: impl Stream<Item = T>) -> impl Stream<Item = T> {
    let held = Held(name);
    source.inspect(move |_| {
        let _ = &held;
    })
}

struct Held(&'static str);

impl Drop for Held {
    fn drop(&mut self) {
        tracing::info!(source = self.0, "dropped");
    }
}
