//! `health-db` under probes.

use testing::{Binary, Probed, execute};

pub fn probed(url: &str) -> Probed {
    probed_with(url, &[])
}

/// `health-db` under probes, with further variables in its environment.
pub fn probed_with(url: &str, variables: &[(&str, &str)]) -> Probed {
    let binary = Binary::new(env!("CARGO_BIN_EXE_health-db"))
        .with("DATABASE_URL", url)
        .with("HEALTH_CACHE", "100ms")
        .with_all(variables);
    Probed::start(binary, "/health/db", ("database", "error"))
}

/// Ends the sessions that `health-db` has in this database.
pub async fn end_sessions(url: &str) {
    execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'health-db' AND datname = current_database()",
    )
    .await;
}
