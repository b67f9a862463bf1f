//! What the rules compare a deployment with: the capacity of what it uses, and the code of its functions.

use super::{agreement::DATABASE, declared::Declared};
use crate::deployment::Deployed;
use shared::{config::Env, sse};
use std::time::Duration;

/// The variable of the age at which streams end.
pub const MAX_AGE: &str = "SSE_MAX_AGE";

/// What the rules need to know and the files do not say.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// `max_connections` of Postgres.
    pub connections: u64,
    /// The concurrency of a Lambda account, which all functions without a reservation share.
    pub concurrency: u64,
    /// `SSE_MAX_AGE` of functions that do not set it.
    pub max_age: Duration,
    /// The functions of this bundle, as their code declares them.
    pub declared: &'a [Declared],
    /// The places that everybody may call with some value of the parameters.
    pub openable: &'a [String],
}

impl<'a> Limits<'a> {
    pub fn from_env(env: &Env, declared: &'a [Declared], openable: &'a [String]) -> Self {
        Self {
            connections: env.parse("POSTGRES_MAX_CONNECTIONS", 100, "a number of connections", |text| {
                text.parse().ok()
            }),
            // The quota of a new account.
            concurrency: env.parse("LAMBDA_CONCURRENCY", 10, "a number of concurrent executions", |text| {
                text.parse().ok()
            }),
            max_age: sse::Settings::from_env(env).max_age,
            declared,
            openable,
        }
    }

    /// What the code of a deployed function declares; `None` if it is not a function of this bundle.
    pub fn declared(self, function: &Deployed) -> Option<&'a Declared> {
        self.declared.iter().find(|declared| declared.is_deployed_as(function))
    }

    /// Whether a function may connect to the database: its code reads `DATABASE_URL`, or the file sets it.
    pub fn uses_database(self, function: &Deployed) -> bool {
        let declared = self.declared(function);
        function.sets_any(DATABASE) || declared.is_some_and(|declared| declared.reads_any(DATABASE))
    }

    /// Whether a function tells how the database is. One that is not known here may.
    pub fn reports_the_database(self, function: &Deployed) -> bool {
        let declared = self.declared(function);
        self.uses_database(function) && declared.is_none_or(|declared| declared.reports)
    }

    /// Whether a function streams events up to their max age: by its code, or by its URL and settings if the code is not
    /// known here.
    pub fn streams_events(self, function: &Deployed) -> bool {
        let streams = match self.declared(function) {
            Some(declared) => declared.streams && declared.reads_any(&[MAX_AGE]),
            None => function.streams == Some(true) || function.setting(MAX_AGE).is_some(),
        };
        streams && !function.is_job
    }
}
