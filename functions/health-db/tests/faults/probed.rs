//! `health-db` under probes.

use testing::{Function, Probed};

pub fn probed(url: &str) -> Probed {
    probed_with(url, &[])
}

/// With further variables in its environment.
pub fn probed_with(url: &str, variables: &[(&str, &str)]) -> Probed {
    let function = Function::new(env!("CARGO_BIN_EXE_health-db"))
        .with("DATABASE_URL", url)
        .with("HEALTH_CACHE", "100ms");
    let function = variables
        .iter()
        .fold(function, |function, (key, value)| function.with(key, *value));
    Probed::start(function, "/health/db", ("database", "error"))
}
