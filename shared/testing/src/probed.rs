//! A function under probes: each answer comes in time and holds no secret.

use super::{Binary, Client, Exchange, Process};
use serde_json::json;
use std::{
    ops::Deref,
    time::{Duration, Instant},
};

/// `HEALTH_TIMEOUT` of every function here.
pub const DEADLINE: Duration = Duration::from_secs(1);

/// Parts of the settings and services of every test that no answer may hold.
const SECRETS: [&str; 10] = [
    "127.0.0.1",
    "hostile-user",
    "hostile-secret",
    "hostile_database",
    "hostile-key",
    "hostile-project",
    "SELECT",
    "pgsocket",
    "Recognisable",
    "<Error>",
];

/// A running function, and how its report says that its dependency fails.
pub struct Probed {
    server: Process,
    path: &'static str,
    /// The member of the report and its word for a dependency that fails.
    failing: (&'static str, &'static str),
}

impl Deref for Probed {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.server
    }
}

impl Probed {
    /// Serves a function whose report has this path and, where its dependency fails, this member with this word.
    pub fn start(binary: Binary, path: &'static str, failing: (&'static str, &'static str)) -> Self {
        Self {
            server: binary.with("HEALTH_TIMEOUT", "1s").serve(),
            path,
            failing,
        }
    }

    /// The URL of its report.
    pub fn target(&self) -> String {
        format!("{}{}", self.url, self.path)
    }

    /// Probes once; the answer must come by the deadline, with room for a slow machine, and hold no secret.
    pub async fn probe(&self) -> Exchange {
        // Longer than `HEALTH_CACHE` of the buckets.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let client = Client::http1();
        let start = Instant::now();
        let answer = client.get(&self.target()).await;
        let time = start.elapsed();
        assert!(time < 2 * DEADLINE, "took {time:?}");
        for secret in SECRETS {
            assert!(
                !answer.transcript().contains(secret),
                "{secret} in {}",
                answer.transcript()
            );
        }
        answer
    }

    /// Unhealthy, for this reason.
    pub async fn fails(&self, reason: &str) {
        let answer = self.probe().await;
        let report = answer.json();
        assert_eq!(answer.status, 503, "{report}");
        let (member, word) = self.failing;
        assert_eq!(
            (&report[member], &report["reason"]),
            (&json!(word), &json!(reason)),
            "{}",
            self.log()
        );
    }

    /// Healthy now, or within 2 s, without a restart.
    pub async fn recovers(&self) {
        let start = Instant::now();
        loop {
            let answer = self.probe().await;
            // The first probe of a slow machine may be degraded.
            if answer.status == 200 && answer.json()["status"] == "healthy" {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "{} {}",
                answer.transcript(),
                self.log()
            );
        }
    }

    /// Waits until the cached result has expired.
    pub async fn forgets(&self) {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}
