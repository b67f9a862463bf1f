//! The API document: an OpenAPI 3.1 document that merges what each function declares about its routes.

mod idempotency;
mod problem;
mod security;

use crate::{
    bundle,
    functions::{self, FUNCTIONS},
};
use axum::{
    http::{HeaderValue, header},
    response::IntoResponse,
};
use shared::config::Env;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        description = "Health of the process, of its database and of its bucket, an event stream, and durable streams: \
                       event streams that survive their connection.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(problem::Problem)),
    tags(
        (name = "health", description = "For load balancers, probes and people: 200 is healthy or degraded, 503 is not. \
                                         HEAD mirrors GET."),
        (name = "stream", description = "Events that end with their connection. For browsers: `new EventSource(url)`."),
        (name = "durable", description = "Streams that survive their connection: a reader goes on from any offset.")
    )
)]
struct Bundle;

/// The document, as the committed file has it.
pub fn document() -> String {
    let mut document = Bundle::openapi();
    document.info.title = bundle::title();
    for function in FUNCTIONS {
        document.merge(function.document());
    }
    let service = functions::service(&Env::new(|_| None));
    problem::for_each_route(&mut document, service.routes(), idempotency::add_parameter);
    problem::for_each_route(&mut document, service.routes(), security::add_requirement);
    security::add_schemes(&mut document, service.routes());
    problem::add_responses(&mut document, service.routes());
    let document = document.to_pretty_json().expect("the document has string keys");
    document + "\n"
}

/// `GET /openapi.json`
pub async fn openapi_json() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, document())
}
