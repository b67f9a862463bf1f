//! What stands between clients and instances: a balancer, and the front of Lambda. Both add a token, because the suite sends none.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures_util::stream;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testing::{Client, EventShape, FakeRuntimeApi, Posted, loopback, tokens};

/// A balancer that gives each request to the next of these servers.
pub async fn balance(servers: Vec<String>) -> String {
    let balancer = Arc::new(Balancer {
        client: Client::http1(),
        servers,
        next: AtomicUsize::new(0),
        token: token(),
    });
    serve(Router::new().fallback(forward).with_state(balancer)).await
}

async fn serve(router: Router) -> String {
    let (listener, url) = loopback().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

struct Balancer {
    client: Client,
    servers: Vec<String>,
    next: AtomicUsize,
    token: String,
}

/// The largest body that a front takes.
const LARGEST_BODY: usize = 6 << 20;

/// Sends the body once it is there, as most fronts do.
async fn forward(State(balancer): State<Arc<Balancer>>, request: Request) -> Response {
    let turn = balancer.next.fetch_add(1, Ordering::Relaxed) % balancer.servers.len();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let url = format!("{}{}", balancer.servers[turn], parts.uri);
    let headers = with_token(&parts.headers, &balancer.token);
    let answer = balancer
        .client
        .open_with_body(parts.method, &url, &headers, body.into());
    answer.await.map(Body::new)
}

/// What a client sends that may read and write every stream.
pub fn token() -> String {
    let token = tokens::token(json!({"scope": "streams:read streams:write"}));
    format!("Bearer {token}")
}

/// The headers that a front passes on, and the token.
fn with_token<'a>(headers: &'a HeaderMap, token: &'a str) -> Vec<(&'a str, &'a str)> {
    const HOP: [&str; 4] = ["connection", "content-length", "keep-alive", "transfer-encoding"];
    let pairs = headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str()));
    pairs
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .chain([("authorization", token)])
        .collect()
}

/// A Function URL that streams.
pub async fn lambda(api: FakeRuntimeApi) -> String {
    serve(Router::new().fallback(invoke).with_state(Arc::new(api))).await
}

async fn invoke(State(api): State<Arc<FakeRuntimeApi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let target = parts.uri.to_string();
    let token = token();
    let headers = with_token(&parts.headers, &token);
    let event = EventShape::FunctionUrl.event_with_body(parts.method.as_str(), &target, &headers, &body);
    let mut posted = api.invoke(&event, Duration::from_secs(60)).await;
    let (prelude, first) = prelude(&mut posted).await;
    let rest = stream::unfold(posted, async |mut posted| {
        let (_, chunk) = posted.chunk().await?;
        Some((Ok::<_, std::io::Error>(chunk), posted))
    });
    let body = stream::StreamExt::chain(stream::iter([Ok(first)]), rest);
    answer(&prelude, Body::from_stream(body))
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The head of an answer, and what came with it of the body.
async fn prelude(posted: &mut Posted) -> (Value, Bytes) {
    let mut read = Vec::new();
    loop {
        if let Some(at) = read.windows(8).position(|window| window == [0; 8]) {
            let head = serde_json::from_slice(&read[..at]).unwrap();
            return (head, Bytes::copy_from_slice(&read[at + 8..]));
        }
        let (_, chunk) = posted.chunk().await.expect("an answer begins with its prelude");
        read.extend_from_slice(&chunk);
    }
}

fn answer(prelude: &Value, body: Body) -> Response {
    let code = prelude["statusCode"].as_u64().unwrap();
    let mut response = status(StatusCode::from_u16(code.try_into().unwrap()).unwrap());
    for (name, value) in prelude["headers"].as_object().unwrap() {
        let value = value.as_str().unwrap().parse().unwrap();
        response
            .headers_mut()
            .append(axum::http::HeaderName::try_from(name.as_str()).unwrap(), value);
    }
    if code != 204 && code != 304 {
        *response.body_mut() = body;
    }
    response
}
