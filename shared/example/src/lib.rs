//! `POST /examples/{id}`: answers a message.

mod objects; // if storage
mod rows; // if db

use axum::extract::State; // if state
use serde::{
    Deserialize, // if input
    Serialize,
};
use shared::{
    body::{
        Json,
        json, // if body
    },
    callers::{Caller, Callers}, // if callers
    config::Env,
    database::Database, // if db
    deadline::Deadline, // if db
    parameters::Path,   // if path
    problem::{
        FieldError, // if body
        Problem,
    },
    runtime::{Route, Service},
    storage::Storage, // if storage
};

const PATH: &str = "/examples/{id}";

// if body
/// The most bytes that a body may have. A larger one is refused before it is read.
const LIMIT: u64 = 64 << 10;

/// Declares the function: its routes, what body each of them takes, and what its handlers need. Every function also answers
/// `GET /health`.
///
/// A second route needs a line in the route table of the root manifest, and its handler in `Api`.
pub fn service(env: &Env) -> Service {
    // if state
    // Nothing connects before the first request, so that a setting that is wrong breaks no other route.
    let state = Dependencies {
        database: Database::from_env(env), // if db
        storage: Storage::from_env(env),   // if storage
    };

    let callers = Callers::from_env(env); // if callers
    let route = Route::post(PATH, answer);
    let route = route.public(); // if not callers
    let route = route.callers(&callers); // if callers
    let route = route.takes(json(LIMIT)); // if body
    let route = route.with_state(state); // if state
    Service::new([route])
}

// if state
/// What the handler needs. A clone shares the connections.
#[derive(Clone)]
struct Dependencies {
    database: Database, // if db
    storage: Storage,   // if storage
}

/// Answers a message.
// The attribute describes the route in the API document: `cargo run -- openapi > functions/local/openapi.json` renews that.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = PATH, operation_id = "example", tag = "example",
    params(Parameters), // if path
    request_body = Message, // if body
    responses(
        (status = 200, description = "The answer.", body = Answer, content_type = "application/json"),
    ),
))]
async fn answer(
    caller: Caller,                     // if callers
    State(state): State<Dependencies>,  // if state
    Path(parameters): Path<Parameters>, // if path
    deadline: Deadline,                 // if db
    Json(message): Json<Message>,       // if body
) -> Result<Json<Answer>, Problem> {
    message.check()?; // if body
    let time = state.database.transaction(&deadline, rows::time).await?; // if db
    objects::store(&state.storage, message.text.clone()).await?; // if storage and body
    Ok(Json(Answer {
        from: "example",
        caller: caller.subject().to_owned(),          // if callers
        to: parameters,                               // if path
        text: message.text,                           // if body
        time,                                         // if db
        stored: objects::size(&state.storage).await?, // if storage
    }))
}

// if path
/// The parameters of the path.
#[derive(Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams, utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Path), schema(as = ExampleParameters))]
struct Parameters {
    /// As the client has named it.
    #[cfg_attr(feature = "openapi", param(example = "1"))]
    id: String,
}

// if body
/// The body of a request. One that is not JSON is answered 400, one of another form 422: the function never sees it.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ExampleMessage, example = json!({"text": "good morning, world"})))]
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

/// The body of an answer.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ExampleAnswer))]
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
