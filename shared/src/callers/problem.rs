//! What a request without a usable token is answered: RFC 6750, section 3.

use crate::{
    problem::{Problem, ProblemType},
    problem_types,
};
use axum::http::{HeaderValue, header};

problem_types! {
    /// What a route that is not public answers besides its handler's problems. Where the keys of an issuer cannot be fetched,
    /// that is [`UNAVAILABLE`](crate::problem::UNAVAILABLE).
    PROBLEMS:
    TOKEN_MISSING = UNAUTHORIZED, "token-missing", "Token Missing",
        "This path takes requests with an access token only, as Authorization: Bearer.";
    TOKEN_MALFORMED = UNAUTHORIZED, "token-malformed", "Token Malformed",
        "The token is not an access token: a signed JWT of at most 8 KiB with the claims iss, sub and exp.";
    TOKEN_EXPIRED = UNAUTHORIZED, "token-expired", "Token Expired",
        "The token has expired. Get a new one from its issuer.";
    TOKEN_NOT_YET_VALID = UNAUTHORIZED, "token-not-yet-valid", "Token Not Yet Valid",
        "The token is from the future: a clock is wrong, here or at its issuer.";
    ISSUER_UNKNOWN = UNAUTHORIZED, "issuer-unknown", "Issuer Unknown",
        "This API takes no tokens of this issuer.";
    AUDIENCE_WRONG = UNAUTHORIZED, "audience-wrong", "Audience Wrong",
        "The token was issued for another API.";
    KEY_UNKNOWN = UNAUTHORIZED, "key-unknown", "Key Unknown",
        "The issuer of the token publishes no key that could have signed it.";
    SIGNATURE_WRONG = UNAUTHORIZED, "signature-wrong", "Signature Wrong",
        "The token is not signed by its issuer, or not with an algorithm that this API takes from it.";
    SCOPE_MISSING = FORBIDDEN, "scope-missing", "Scope Missing",
        "The token does not permit this; WWW-Authenticate names the scope that would.";
}

/// [`TOKEN_MISSING`]. The challenge has no error code, because the client has made no error yet.
pub fn token_missing() -> Problem {
    challenge(&TOKEN_MISSING, HeaderValue::from_static("Bearer"))
}

/// [`SCOPE_MISSING`]: the token needs `scope`, which may be several with spaces between them.
pub fn scope_missing(scope: &str) -> Problem {
    let challenge_text = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
    let value = HeaderValue::try_from(challenge_text);
    let value = value.unwrap_or(HeaderValue::from_static(r#"Bearer error="insufficient_scope""#));
    challenge(&SCOPE_MISSING, value)
}

/// The token was read, and is not valid.
pub(crate) fn invalid_token(kind: &ProblemType) -> Problem {
    challenge(kind, HeaderValue::from_static(r#"Bearer error="invalid_token""#))
}

fn challenge(kind: &ProblemType, value: HeaderValue) -> Problem {
    Problem::new(kind).header(header::WWW_AUTHENTICATE, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    fn challenged(problem: Problem) -> String {
        let answer = problem.into_response();
        answer.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_challenge_says_what_was_wrong() {
        assert_eq!(challenged(token_missing()), "Bearer");
        assert_eq!(
            challenged(invalid_token(&TOKEN_EXPIRED)),
            r#"Bearer error="invalid_token""#
        );
        assert_eq!(
            challenged(scope_missing("streams:read streams:write")),
            r#"Bearer error="insufficient_scope", scope="streams:read streams:write""#
        );
        assert_eq!(challenged(scope_missing("\n")), r#"Bearer error="insufficient_scope""#);
    }
}
