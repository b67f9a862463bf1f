//! Why a token is not accepted, before it becomes an answer and a line of the log.

use super::problem::invalid_token;
use crate::{
    problem::{Problem, ProblemType, UNAVAILABLE},
    telemetry::{self, LoggedRefusal},
};
use std::time::Duration;

#[derive(Debug)]
pub(super) enum Refusal {
    Token(ProblemType),
    /// A time of the token does not fit the clock of this machine, by so many seconds.
    Time(ProblemType, u64),
    /// No key is at hand, and the issuer does not answer before this time has passed.
    Unavailable(Duration),
}

impl From<ProblemType> for Refusal {
    fn from(kind: ProblemType) -> Self {
        Self::Token(kind)
    }
}

impl Refusal {
    /// The answer. The access line gets the cause, with the issuer if it is one of the settings: never the token or what it
    /// claims.
    pub fn into_problem(self, issuer: Option<&str>) -> Problem {
        let (kind, clock_seconds) = match self {
            Self::Token(kind) => (kind, None),
            Self::Time(kind, seconds) => (kind, Some(seconds)),
            // Fetching the keys has logged the cause.
            Self::Unavailable(delay) => {
                return Problem::new(&UNAVAILABLE).retry_after(delay.max(Duration::from_secs(1)));
            }
        };
        telemetry::name_refusal(LoggedRefusal {
            reason: kind.slug,
            token_issuer: issuer.map(Box::from),
            clock_seconds,
        });
        invalid_token(&kind)
    }
}
