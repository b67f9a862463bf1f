//! `POST /examples/{id}`: answers a message with an event stream.

mod objects; // if storage
mod rows; // if db

use axum::{extract::State, response::Response};
use futures_util::{Stream, StreamExt, stream};
use serde::{
    Deserialize, // if input
    Serialize,
};
use shared::{
    body::{Json, json},         // if body
    callers::{Caller, Callers}, // if callers
    config::Env,
    database::Database, // if db
    deadline::Deadline,
    parameters::Path, // if path
    problem::{
        FieldError, // if body
        Problem,
    },
    runtime::{Route, Service},
    sse::{self, Event, LastEventId},
    storage::Storage, // if storage
};
use std::time::Duration;
use tokio::time::interval;

/// The time between two events.
const PAUSE: Duration = Duration::from_secs(1);
const PATH: &str = "/examples/{id}";

// if body
/// The most bytes that a body may have. A larger one is refused before it is read.
const LIMIT: u64 = 64 << 10;

/// Declares the function: its routes, what body each of them takes, and what its handlers need. Every function also answers
/// `GET /health`.
///
/// A second route needs a line in the route table of the root manifest, and its handler in `Api`.
pub fn service(env: &Env) -> Service {
    // Nothing connects before the first request, so that a setting that is wrong breaks no other route.
    let state = Dependencies {
        stream: sse::Settings::from_env(env),
        database: Database::from_env(env), // if db
        storage: Storage::from_env(env),   // if storage
    };
    let heartbeat = state.stream.heartbeat;
    let callers = Callers::from_env(env); // if callers
    let route = Route::post(PATH, answer);
    let route = route.public(); // if not callers
    let route = route.callers(&callers); // if callers
    let route = route.takes(json(LIMIT)); // if body
    let route = route.with_state(state);
    Service::new([route]).streamed(heartbeat)
}

/// What the handler needs. A clone shares the connections.
#[derive(Clone)]
struct Dependencies {
    stream: sse::Settings,
    database: Database, // if db
    storage: Storage,   // if storage
}

/// Answers a message with an event a second.
///
/// A client that comes back continues after the last event that it has seen.
// The attribute describes the route in the API document: `cargo run -- openapi > functions/local/openapi.json` renews that.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = PATH, operation_id = "example-stream", tag = "example-stream",
    params(Parameters), // if path
    request_body = Message, // if body
    responses(
        (status = 200, description = "An event stream, as the HTML standard defines it; the schema is that of an event.",
            body = sse::EventSchema, content_type = "text/event-stream"),
    ),
))]
async fn answer(
    caller: Caller, // if callers
    State(state): State<Dependencies>,
    Path(parameters): Path<Parameters>, // if path
    deadline: Deadline,
    last: Option<LastEventId>,
    Json(message): Json<Message>, // if body
) -> Result<Response, Problem> {
    message.check()?; // if body
    let time = state.database.transaction(&deadline, rows::time).await?; // if db
    objects::store(&state.storage, message.text.clone()).await?; // if storage and body
    let answer = Answer {
        from: "example-stream",
        caller: caller.subject().to_owned(),          // if callers
        to: parameters,                               // if path
        text: message.text,                           // if body
        time,                                         // if db
        stored: objects::size(&state.storage).await?, // if storage
    };
    let last = last.and_then(|LastEventId(id)| id.parse().ok()).unwrap_or(0);
    Ok(sse::stream(state.stream, deadline, events(&answer, last)?))
}

/// The answer now, and again every second. Whatever a stream waits for ends with the stream.
fn events(answer: &Answer, last: u64) -> Result<impl Stream<Item = Event> + use<>, Problem> {
    let event = Event::default().json(answer).map_err(Problem::internal)?;
    let ticks = stream::unfold((last, interval(PAUSE)), async |(last, mut ticks)| {
        ticks.tick().await;
        Some((last + 1, (last + 1, ticks)))
    });
    Ok(ticks.map(move |id| event.clone().id(id)))
}

// if path
/// The parameters of the path.
#[derive(Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Path))]
struct Parameters {
    /// As the client has named it.
    #[cfg_attr(feature = "openapi", param(example = "1"))]
    id: String,
}

// if body
/// The body of a request. One that is not JSON is answered 400, one of another form 422: the function never sees it.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ExampleStreamMessage, example = json!({"text": "good morning, world"})))]
struct Message {
    /// Not empty.
    #[cfg_attr(feature = "openapi", schema(min_length = 1))]
    text: String,
}

// if body
impl Message {
    /// What the form does not say. A problem with a type of its own is a constant `ProblemType`, and declared by
    /// `Route::problems`.
    fn check(&self) -> Result<(), Problem> {
        if !self.text.is_empty() {
            return Ok(());
        }
        Err(Problem::invalid_body(&[FieldError {
            detail: "the text is empty".to_owned(),
            pointer: "#/text".to_owned(),
        }]))
    }
}

/// What each event says.
#[derive(Serialize)]
struct Answer {
    /// The function that answers.
    from: &'static str,
    /// Who has asked, as the issuer of the token names them.
    caller: String, // if callers
    /// What the path names.
    to: Parameters, // if path
    /// The text that was sent.
    text: String, // if body
    /// The seconds since the epoch, by the clock of the database.
    time: i64, // if db
    /// How many bytes of text are stored.
    stored: Option<u64>, // if storage
}

/// This function's part of the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(answer))]
pub struct Api;
