//! What a function posts to the Runtime API: a response, buffered or chunk by chunk, or an error.

use crate::Exchange;
use axum::http::{HeaderMap, StatusCode};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::Value;
use std::time::Instant;
use tokio::sync::mpsc;

/// What the function posted for one invocation.
#[derive(Debug)]
pub struct Posted {
    /// The headers of the POST.
    pub headers: HeaderMap,
    /// An invocation error instead of a response.
    pub error: bool,
    pub(super) frames: mpsc::UnboundedReceiver<(Instant, Frame<Bytes>)>,
    /// The trailers, once the last chunk is read: the error of a streamed response that failed.
    pub trailers: Option<HeaderMap>,
}

impl Posted {
    /// The next chunk and when it came; `None` at the end.
    pub async fn chunk(&mut self) -> Option<(Instant, Bytes)> {
        let (at, frame) = self.frames.recv().await?;
        match frame.into_data() {
            Ok(chunk) => Some((at, chunk)),
            Err(trailers) => {
                self.trailers = trailers.into_trailers().ok();
                None
            }
        }
    }

    /// The error that ended a streamed response: its type and message.
    pub fn stream_error(&self) -> Option<Value> {
        let body = self.trailers.as_ref()?.get("lambda-runtime-function-error-body")?;
        let body = BASE64_STANDARD.decode(body).expect("an error body is Base64");
        Some(serde_json::from_slice(&body).expect("an error body is JSON"))
    }

    /// Everything that is still to come.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some((_, chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
        }
        body
    }

    /// Whether it was posted as a stream.
    pub fn is_streamed(&self) -> bool {
        let mode = self.headers.get("lambda-runtime-function-response-mode");
        mode.is_some_and(|mode| mode == "streaming")
    }

    /// The status and headers of a stream, and the first bytes of its body, which must begin with it.
    pub async fn head(&mut self) -> Exchange {
        let mut read = Vec::new();
        loop {
            if let Some(at) = read.windows(8).position(|window| window == [0; 8])
                && read.len() > at + 8
            {
                return decoded(&read[..at], read[at + 8..].to_vec());
            }
            let (_, chunk) = self.chunk().await.expect("a stream begins with its prelude");
            read.extend_from_slice(&chunk);
        }
    }

    /// The whole answer, as a client of the Function URL, the API or the load balancer sees it.
    pub async fn exchange(mut self) -> Exchange {
        let body = self.rest().await;
        assert!(!self.error, "an invocation error: {}", String::from_utf8_lossy(&body));
        if self.is_streamed() {
            let prelude = body.windows(8).position(|window| window == [0; 8]);
            let at = prelude.expect("a stream begins with its prelude");
            assert!(
                self.trailers.is_none(),
                "a stream that broke: {:?}",
                self.stream_error()
            );
            decoded(&body[..at], body[at + 8..].to_vec())
        } else {
            let answer: Value = serde_json::from_slice(&body).expect("a buffered answer is JSON");
            let text = answer["body"].as_str().unwrap_or_default();
            let content = if answer["isBase64Encoded"] == true {
                BASE64_STANDARD.decode(text).expect("a body is Base64 where it says so")
            } else {
                text.as_bytes().to_vec()
            };
            decoded(&body, content)
        }
    }
}

/// The answer in a prelude or a buffered response: both have `statusCode` and headers.
fn decoded(json: &[u8], body: Vec<u8>) -> Exchange {
    let answer: Value = serde_json::from_slice(json).expect("a prelude is JSON");
    let status = answer["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
    let many = answer["multiValueHeaders"]
        .as_object()
        .filter(|headers| !headers.is_empty());
    let headers = many.or(answer["headers"].as_object()).expect("an answer has headers");
    let pairs = headers.iter().map(|(name, value)| {
        let value = value.as_str().or(value[0].as_str()).expect("a header is text");
        (name.parse().expect("a name"), value.parse().expect("a value"))
    });
    Exchange {
        status: status
            .and_then(|code| StatusCode::from_u16(code).ok())
            .expect("an answer has a status"),
        headers: pairs.collect(),
        body: body.into(),
    }
}
