//! Event streams.

use super::{Bundle, callers, run_with, serve, signature, text};
use axum::{
    body::Body,
    http::{StatusCode, header},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::runtime::Route;
use std::time::Duration;

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn a_stream_begins_at_once_and_goes_on_unless_the_document_says_that_it_ends() {
    let document = |smoke: Value| {
        let content = json!({"200": {"content": {"text/event-stream": {}}}});
        json!({"paths": {"/events": {"get": {"x-smoke": smoke, "responses": content}}}})
    };
    for (gaps, smoke, said) in [
        (&[0, 700][..], Value::Null, "ms later"),
        (&[0, 0], json!("finite"), "ms later"),
        (&[0, 0], Value::Null, "the stream came in one piece, something buffers"),
        (&[], Value::Null, "did not begin within 5 s"),
        (&[6000], json!("finite"), "did not begin within 5 s"),
    ] {
        let (is_healthy, printed) = streamed(&document(smoke), events(gaps), &[]).await;
        assert_eq!(is_healthy, said.contains("later"), "{gaps:?}: {printed}");
        assert!(printed.contains(said), "{gaps:?}: {printed}");
    }
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn a_stream_for_callers_may_refuse_who_signs_and_a_public_one_nobody() {
    let document = |security: Value| {
        let responses = json!({"200": {"content": {"text/event-stream": {}}}});
        json!({"paths": {"/events": {"get": {"security": security, "responses": responses}}}})
    };
    let (callers_alone, public) = (document(json!([{"token": []}])), document(json!([])));
    let refusing = |status: StatusCode| Route::get("/events", async move || status);
    let signature = signature();
    let signed = [("CURL_CONFIG", signature.path().to_str().unwrap())];
    for (document, route, is_fine, said) in [
        (
            &callers_alone,
            events(&[0, 700]).callers(&callers()),
            true,
            "GET /events: 401",
        ),
        (
            &callers_alone,
            refusing(StatusCode::FORBIDDEN),
            true,
            "GET /events: 403",
        ),
        (&callers_alone, events(&[0, 700]), true, "ms later"),
        (
            &callers_alone,
            refusing(StatusCode::SERVICE_UNAVAILABLE),
            false,
            "503 application/problem+json instead of 200 text/event-stream",
        ),
        (
            &public,
            refusing(StatusCode::UNAUTHORIZED),
            false,
            "401 application/problem+json instead of 200 text/event-stream: {",
        ),
    ] {
        let (is_healthy, printed) = streamed(document, route, &signed).await;
        assert!(is_healthy == is_fine && printed.contains(said), "{said}: {printed}");
    }
}

/// A stream of an event after each of these gaps, in milliseconds.
fn events(gaps: &'static [u64]) -> Route {
    const EVENT: &str = "data: x\n\n";
    Route::get("/events", async move || {
        let events = stream::iter(gaps).then(async |gap| {
            tokio::time::sleep(Duration::from_millis(*gap)).await;
            Ok::<_, std::io::Error>(EVENT)
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
    })
}

/// What the smoke test says of a function with this stream alone.
async fn streamed(document: &Value, route: Route, settings: &[(&str, &str)]) -> (bool, String) {
    let table = json!([{"path": "/events", "method": null, "function": "events"}]);
    let bundle = Bundle::new(&table, document);
    let urls = vec![format!("events={}", serve(vec![route]).await)];
    let output = run_with(bundle.file(".github/deploy/smoke"), urls, settings).await;
    (output.status.success(), text(&output))
}
