//! Answers of bytes: whole or a range of them (RFC 9110, section 14), shown or saved under a name (RFC 6266).
//!
//! ```
//! use shared::{download::{Download, DownloadRequest}, problem::Problem};
//!
//! async fn logo(request: DownloadRequest) -> Result<Download, Problem> {
//!     let logo = Download::bytes(&request, Some("\"v1\""), &b"\x89PNG"[..])?;
//!     Ok(logo.content_type("image/png").attachment("Logo Ä.png"))
//! }
//! ```
//!
//! - Content is asked for piece by piece, as the client takes it, so a download holds one piece in memory.
//! - `If-Match`, `If-None-Match`, `Range` and `If-Range` count, in this order, where there is an entity tag (RFC 9110, section
//!   13.2.2).
//! - One that fails, or is not as long as its `Content-Length`, breaks: the client never takes it for whole. The log has
//!   the cause.
//! - Its time is not limited, except on Lambda, where it fails a second before the platform's deadline. A client that takes
//!   nothing for 15 s is cut off. When this process drains, a download may go on until the drain ends, after 8 s.

mod content;
mod disposition;
mod request;

use crate::problem::Problem;
use axum::{
    BoxError,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::convert::Infallible;

pub(crate) use disposition::attachment;
pub use request::{DownloadRequest, Selected, is_known};

/// An answer of bytes. Its type is `application/octet-stream` unless it is set.
#[derive(Debug)]
pub struct Download {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

impl Download {
    /// Bytes in memory, or the range of them that the request asks for. `etag` is an entity tag, with its quotes.
    ///
    /// # Errors
    /// [`PRECONDITION_FAILED`](crate::problem::PRECONDITION_FAILED) or
    /// [`RANGE_NOT_SATISFIABLE`](crate::problem::RANGE_NOT_SATISFIABLE).
    pub fn bytes(request: &DownloadRequest, etag: Option<&str>, content: impl Into<Bytes>) -> Result<Self, Problem> {
        let content = content.into();
        let size = content.len() as u64;
        let selected = request.select(size, etag)?;
        let range = selected.range(size);
        let range = range.start as usize..range.end as usize;
        Ok(Self::selected(selected, size, etag, content.slice(range)))
    }

    /// A stream of bytes, never a range of it, whatever the request's conditions: it has no entity tag. It has a
    /// `Content-Length` where `length` is known.
    pub fn stream<T: Into<Bytes>, E: Into<BoxError> + 'static>(
        request: &DownloadRequest,
        length: Option<u64>,
        content: impl Stream<Item = Result<T, E>> + Send + 'static,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        Self::new(StatusCode::OK, headers, request.content(content))
    }

    /// What `request` has selected of content of `size` bytes: `content` has that range only. It may be a body of
    /// [`DownloadRequest::content`].
    pub fn selected(selected: Selected, size: u64, etag: Option<&str>, content: impl Into<Body>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(tag) = etag.and_then(request::entity_tag) {
            headers.insert(header::ETAG, tag);
        }
        if selected == Selected::NotModified {
            // Of unknown length: axum would promise the length of an empty body for that of the content.
            let nothing = Body::from_stream(stream::empty::<Result<Bytes, Infallible>>());
            return Self::new(StatusCode::NOT_MODIFIED, headers, nothing);
        }
        let range = selected.range(size);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
        let Selected::Part(_) = selected else {
            return Self::new(StatusCode::OK, headers, content.into());
        };
        let part = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        let part = HeaderValue::try_from(part).expect("numbers are a header value");
        headers.insert(header::CONTENT_RANGE, part);
        Self::new(StatusCode::PARTIAL_CONTENT, headers, content.into())
    }

    fn new(status: StatusCode, headers: HeaderMap, body: Body) -> Self {
        Self { status, headers, body }
    }

    /// Of this media type. A text that is not a header value is left out.
    #[must_use]
    pub fn content_type(self, media_type: &str) -> Self {
        self.with(header::CONTENT_TYPE, media_type)
    }

    /// To be saved under this name, which may be any text.
    #[must_use]
    pub fn attachment(self, file_name: &str) -> Self {
        self.with(header::CONTENT_DISPOSITION, &attachment(file_name))
    }

    /// To be shown, and saved under this name if the user wants that.
    #[must_use]
    pub fn inline(self, file_name: &str) -> Self {
        self.with(header::CONTENT_DISPOSITION, &disposition::inline(file_name))
    }

    /// A 304 describes no content (RFC 9110, section 15.4.5).
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value)
            && self.status != StatusCode::NOT_MODIFIED
        {
            self.headers.insert(name, value);
        }
        self
    }
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let is_typed = self.headers.contains_key(header::CONTENT_TYPE);
        let Self { status, headers, body } = if is_typed {
            self
        } else {
            self.content_type("application/octet-stream")
        };
        (status, headers, body).into_response()
    }
}
