//! An answer as it is stored, and as it is given again.

use crate::problem::Problem;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use http_body_util::BodyExt;
use hyper::body::Body as _;

/// The largest body of an answer that is stored, in bytes.
const MAX_BODY: u64 = 256 << 10;

/// On an answer that was given before; the name is that of Stripe.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer with all the headers of its handler.
#[derive(Debug, sqlx::FromRow)]
pub struct Answer {
    pub status: i16,
    pub header_names: Vec<String>,
    pub header_values: Vec<Vec<u8>>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer to its end, and returns it with what is stored of it.
    ///
    /// # Errors
    /// It cannot be stored: it is a stream, or larger than 256 KiB.
    pub async fn read(response: Response) -> Result<(Self, Response), Problem> {
        let size = response.body().size_hint().exact();
        if size.is_none_or(|size| size > MAX_BODY) {
            let cause = "an answer under an Idempotency-Key has at most 256 KiB and is not a stream";
            return Err(Problem::internal(cause));
        }
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(Problem::internal)?.to_bytes();
        let (header_names, header_values) = parts.headers.iter().map(written).unzip();
        let stored = Self {
            status: parts.status.as_u16().cast_signed(),
            header_names,
            header_values,
            body: body.to_vec(),
        };
        Ok((stored, Response::from_parts(parts, body.into())))
    }

    /// The same answer, marked as given before.
    pub fn replayed(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        let status = StatusCode::from_u16(self.status.cast_unsigned());
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.header_names.iter().zip(&self.header_values) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

fn written((name, value): (&HeaderName, &HeaderValue)) -> (String, Vec<u8>) {
    (name.to_string(), value.as_bytes().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::{AppendHeaders, IntoResponse};
    use futures_util::stream;
    use std::io;

    #[tokio::test]
    async fn an_answer_that_cannot_be_stored_is_the_functions_fault() {
        let large = vec![b'x'; (256 << 10) + 1].into_response();
        let stream = Body::from_stream(stream::iter([Ok::<_, io::Error>("a")])).into_response();
        for answer in [large, stream] {
            assert_eq!(Answer::read(answer).await.unwrap_err().status(), 500);
        }
        assert!(Answer::read(vec![b'x'; 256 << 10].into_response()).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_comes_back_as_it_was_with_a_mark() {
        let cookies = AppendHeaders([
            ("set-cookie", &b"a=1"[..]),
            ("set-cookie", &b"b=\xff"[..]),
            ("location", &b"/1"[..]),
        ]);
        let first = (StatusCode::CREATED, cookies, &b"\xff\x00"[..]).into_response();
        let (stored, _) = Answer::read(first).await.unwrap();
        let answer = stored.replayed();
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.headers()["location"], "/1");
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.headers()["idempotent-replayed"], "true");
        let cookies: Vec<_> = answer
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(cookies, [&b"a=1"[..], &b"b=\xff"[..]]);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&*body, b"\xff\x00");
    }
}
