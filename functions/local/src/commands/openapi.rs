//! `local openapi`: prints the API document, which is committed as `functions/local/openapi.json`.

use super::end;
use crate::openapi;
use std::process::ExitCode;

/// Prints the document.
pub fn run() -> ExitCode {
    end(openapi::document().trim_end(), ExitCode::SUCCESS)
}
