//! `health-db` under probes.

use testing::{Binary, Probed};

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
