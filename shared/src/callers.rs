//! Who calls: access tokens of identity providers, verified here (RFC 7519, 8725, 9068).

mod algorithm;
mod caller;
mod claims;
mod fetch;
mod json;
mod key;
mod key_set;
mod keys;
mod moment;
mod problem;
mod refusal;
mod settings;
mod token;
mod url;

use crate::{config::Env, deadline::Deadline, problem::Problem};
pub use caller::{Caller, Kind};
pub(crate) use claims::SKEW;
use fetch::Fetch;
use keys::Keys;
pub(crate) use problem::invalid_token;
pub use problem::{
    AUDIENCE_WRONG, ISSUER_UNKNOWN, KEY_UNKNOWN, PROBLEMS, SCOPE_MISSING, SIGNATURE_WRONG, TOKEN_EXPIRED,
    TOKEN_MALFORMED, TOKEN_MISSING, TOKEN_NOT_YET_VALID, scope_missing, token_missing,
};
use refusal::Refusal;
use settings::Issuer;
use std::{sync::Arc, time::SystemTime};
use token::Token;

/// Verifies tokens of the issuers in `TOKEN_ISSUERS`. Clones share their keys; nothing is fetched before the first token.
#[derive(Clone)]
pub struct Callers(Arc<[(Arc<Issuer>, Keys)]>);

impl Callers {
    /// Reads `TOKEN_ISSUERS`. Unset, there is no issuer, and every token is of one that is unknown.
    pub fn from_env(env: &Env) -> Self {
        let issuers = settings::from_env(env).into_iter().map(|issuer| {
            let issuer = Arc::new(issuer);
            let keys = Keys::new(Arc::clone(&issuer.name), Arc::clone(&issuer) as Arc<dyn Fetch>);
            (issuer, keys)
        });
        Self(issuers.collect())
    }

    /// Who sent this token, which is the text behind `Bearer `.
    ///
    /// # Errors
    /// One of [`PROBLEMS`], with its challenge; or [`UNAVAILABLE`](crate::problem::UNAVAILABLE) if the issuer's keys are not
    /// known and cannot be fetched before the deadline.
    pub async fn verify(&self, token: &str, deadline: &Deadline) -> Result<Caller, Problem> {
        let parsed = Token::parse(token).and_then(|token| Ok((token.claims()?, token)));
        let (claims, token) = parsed.map_err(|refusal| refusal.into_problem(None))?;
        let issuer = self.0.iter().find(|(issuer, _)| *issuer.name == claims.iss);
        let Some((issuer, keys)) = issuer else {
            return Err(Refusal::from(ISSUER_UNKNOWN).into_problem(None));
        };
        // The signature first: until it is verified, the claims say nothing.
        let signed = signed(&token, issuer, keys, deadline).await;
        let caller = signed.and_then(|()| claims.verify(issuer, SystemTime::now()));
        caller.map_err(|refusal| refusal.into_problem(Some(&issuer.name)))
    }
}

async fn signed(token: &Token<'_>, issuer: &Issuer, keys: &Keys, deadline: &Deadline) -> Result<(), Refusal> {
    let algorithm = token.header.algorithm(&issuer.algorithms)?;
    keys.verify(token, algorithm, deadline).await
}

#[cfg(test)]
mod tests;
