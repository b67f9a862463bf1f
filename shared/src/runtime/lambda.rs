//! The life in Lambda: polls the Runtime API, decodes HTTP events, answers in one piece or as a stream.

mod answer;
mod event;
mod invoke;
mod response;
mod runtime_api;

pub use answer::in_one_piece;
pub use invoke::{Settings, report_init_error, run, serve};
