//! The life on Lambda: polls the Runtime API, decodes HTTP events, and posts answers buffered or streamed.
//!
//! `lambda_http` does the same, but cannot send small writes at once: the first byte of a stream waits 40 ms for an
//! acknowledgement there (Nagle's algorithm). Sources of the protocol:
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html> and `runtimes-custom.html` there.

mod answer;
mod event;
mod invoke;
mod response;
mod runtime_api;

pub use answer::in_one_piece;
pub use invoke::{Settings, report_init_error, run, serve};
