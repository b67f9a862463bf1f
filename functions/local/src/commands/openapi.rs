//! `local openapi`: prints the API document, which is committed as `functions/local/openapi.json`.

use crate::openapi;
use std::process::ExitCode;

/// Prints the document.
pub fn run() -> ExitCode {
    print!("{}", openapi::document());
    ExitCode::SUCCESS
}
