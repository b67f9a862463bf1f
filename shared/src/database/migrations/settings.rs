//! `MIGRATE_*`: how long a migrator waits.

use crate::config::Env;
use std::time::Duration;

/// How long a migrator waits.
#[derive(Clone, Copy, Debug)]
pub struct MigratorSettings {
    /// `MIGRATE_LOCK_TIMEOUT`: how long a statement waits for a table's lock before its file is rolled back and retried.
    pub lock_timeout: Duration,
    /// `MIGRATE_STATEMENT_TIMEOUT`: how long a statement may take.
    pub statement_timeout: Duration,
    /// `MIGRATE_WAIT`: how long to wait for another migrator.
    pub wait: Duration,
}

impl MigratorSettings {
    /// Reads `MIGRATE_LOCK_TIMEOUT` (5 s), `MIGRATE_STATEMENT_TIMEOUT` (1 h) and `MIGRATE_WAIT` (10 min).
    pub fn from_env(env: &Env) -> Self {
        Self {
            lock_timeout: env.duration("MIGRATE_LOCK_TIMEOUT", Duration::from_secs(5)),
            statement_timeout: env.duration("MIGRATE_STATEMENT_TIMEOUT", Duration::from_secs(60 * 60)),
            wait: env.duration("MIGRATE_WAIT", Duration::from_secs(10 * 60)),
        }
    }
}
