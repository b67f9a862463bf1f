//! Routes that take bodies, and extractors that refuse requests.

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use shared::{
    body::{Json, json, stream},
    parameters::Path,
    problem::{Problem, ProblemType},
    runtime::Route,
};
use std::time::Duration;

/// The limit of every route here.
const LIMIT: u64 = 64 << 10;

pub fn routes() -> [Route; 8] {
    [
        Route::post("/greetings/{id}", greet)
            .takes(json(LIMIT))
            .problems(&[FORBIDDEN_NAME, TOO_OFTEN]),
        Route::get("/greetings/{id}", async |Path(id): Path<u32>| id.to_string()),
        Route::put("/size", size).takes(stream(LIMIT)),
        Route::put("/video", size).takes(stream(10 << 20)),
        Route::put("/picture", size).takes(stream(LIMIT).of_types(&["image/png", "image/webp"])),
        Route::put("/text", async |text: String| text).takes(stream(LIMIT)),
        Route::post("/unread", async || StatusCode::ACCEPTED).takes(stream(LIMIT)),
        Route::put("/echo", async |body: Body| body).takes(stream(LIMIT)),
    ]
}

#[derive(Deserialize, Serialize)]
struct Greeting {
    name: String,
    #[serde(default)]
    times: u8,
}

enum GreetingError {
    Forbidden { name: String },
    TooOften,
}

const FORBIDDEN_NAME: ProblemType = ProblemType {
    slug: "forbidden-name",
    status: StatusCode::CONFLICT,
    title: "Forbidden Name",
    detail: "Nobody of this name is greeted.",
};
const TOO_OFTEN: ProblemType = ProblemType {
    slug: "too-often",
    status: StatusCode::TOO_MANY_REQUESTS,
    title: "Too Often",
    detail: "Greet less often.",
};

impl From<GreetingError> for Problem {
    fn from(error: GreetingError) -> Self {
        match error {
            GreetingError::Forbidden { name } => Self::new(&FORBIDDEN_NAME).member("name", name),
            GreetingError::TooOften => Self::new(&TOO_OFTEN).retry_after(Duration::from_secs(7)),
        }
    }
}

async fn greet(Path(_): Path<u32>, Json(greeting): Json<Greeting>) -> Result<Json<Greeting>, Problem> {
    match greeting {
        Greeting { name, .. } if name == "nobody" => Err(GreetingError::Forbidden { name })?,
        Greeting { times: 10.., .. } => Err(GreetingError::TooOften)?,
        greeting => Ok(Json(greeting)),
    }
}

async fn size(mut body: Body) -> Result<String, Problem> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(size.to_string())
}
