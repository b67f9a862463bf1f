//! The scripts that deploy, against clouds that fail at every step: production is what it was, or all of it is new.

#![allow(clippy::unwrap_used)]

#[path = "fixture/checkout.rs"]
mod checkout;
#[path = "fixture/newcomer.rs"]
mod newcomer;

use axum::{Router, http::header, routing::get};
use checkout::checkout;
use newcomer::{Checkout, started};
use shared::testing::loopback;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

const DEAD: &str = "http://127.0.0.1:1";

/// A cloud in which everything runs as "old".
struct Cloud {
    state: TempDir,
    url: String,
    candidate: String,
}

impl Cloud {
    fn new(url: &str, candidate: &str, names: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(state.path().join(name), "old\n").unwrap();
        }
        let (url, candidate) = (url.to_owned(), candidate.to_owned());
        Self { state, url, candidate }
    }

    fn deploy(&self, script: &str, fail_at: usize) -> Output {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy");
        let path = format!("{}:{}", tests.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(checkout().join(".github/deploy").join(script));
        command
            .env("PATH", path)
            .env("STATE", self.state.path())
            .env("FAIL_AT", fail_at.to_string());
        command.env("URL", &self.url).env("CANDIDATE_URL", &self.candidate);
        for (key, value) in [
            ("PROJECT", "project"),
            ("REGION", "europe-west1"),
            ("IMAGES", "images"),
            ("TAG", "tag"),
            ("CLOUDSQL", "project:region:instance"),
            ("BUCKET", "bucket"),
            ("CORS_ORIGINS", ""),
            ("STACK", "pilotlight"),
            ("AWS_REGION", "eu-central-1"),
        ] {
            command.env(key, value);
        }
        command.output().unwrap()
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.state.path().join("calls"))
            .unwrap()
            .lines()
            .count()
    }

    /// What serves, in one word where all of it is the same.
    fn production(&self, names: &[&str]) -> BTreeSet<String> {
        let read = |name: &&str| {
            fs::read_to_string(self.state.path().join(name))
                .unwrap()
                .trim()
                .to_owned()
        };
        names.iter().map(read).collect()
    }
}

/// Deploys once whole, then with each call failing, then with a candidate that is not healthy.
fn production_is_old_or_new(script: &str, names: &[&str]) {
    let checkout = Checkout::new(script);
    // A pulse that the smoke test need not wait for.
    let live = started(&checkout.local().with("SSE_HEARTBEAT_INTERVAL", "600ms"));
    let cloud = Cloud::new(&live.url, &live.url, names);
    let whole = cloud.deploy(script, 0);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(cloud.production(names), BTreeSet::from(["new".to_owned()]));
    let calls = cloud.calls();
    assert!(calls > 10, "{calls}");
    std::thread::scope(|threads| {
        for first in 1..=4 {
            let url = &live.url;
            threads.spawn(move || {
                for fail_at in (first..=calls).step_by(4) {
                    let cloud = Cloud::new(url, url, names);
                    let failed = cloud.deploy(script, fail_at);
                    let told = String::from_utf8_lossy(&failed.stderr);
                    assert!(
                        !failed.status.success(),
                        "call {fail_at} failed, and nobody noticed: {told}"
                    );
                    assert_eq!(
                        cloud.production(names),
                        BTreeSet::from(["old".to_owned()]),
                        "at call {fail_at}: {told}"
                    );
                }
            });
        }
    });
    let cloud = Cloud::new(&live.url, DEAD, names);
    assert!(!cloud.deploy(script, 0).status.success());
    assert_eq!(
        cloud.production(names),
        BTreeSet::from(["old".to_owned()]),
        "no smoke test of the candidate"
    );
    let cloud = Cloud::new(DEAD, &live.url, names);
    assert!(!cloud.deploy(script, 0).status.success());
    assert_eq!(
        cloud.production(names),
        BTreeSet::from(["old".to_owned()]),
        "no smoke test after the shift"
    );
}

#[test]
#[ignore = "needs curl, envsubst and jq; .ci/run installs them"]
fn a_deployment_to_cloud_run_that_fails_anywhere_leaves_every_service_as_it_was() {
    let services = [
        "pilotlight-health",
        "pilotlight-health-db",
        "pilotlight-health-storage",
        "pilotlight-sse",
    ];
    production_is_old_or_new("cloud-run", &services);
}

#[test]
#[ignore = "needs curl, envsubst and jq; .ci/run installs them"]
fn a_deployment_to_lambda_that_fails_anywhere_leaves_the_stack_as_it_was() {
    production_is_old_or_new("lambda", &["pilotlight"]);
}

#[tokio::test]
#[ignore = "needs curl, envsubst and jq; .ci/run installs them"]
async fn a_smoke_test_names_a_proxy_that_buffers_and_a_report_that_is_not_healthy() {
    const BEAT: &str = "event: heartbeat\ndata: ping\n\n";
    let stream = || get(async || ([(header::CONTENT_TYPE, "text/event-stream")], BEAT.repeat(2)));
    for (status, told) in [("healthy", "something buffers"), ("unhealthy", "/health/db")] {
        let report = format!(r#"{{"status":"{status}"}}"#);
        let app = Router::new()
            .merge(health::router())
            .route("/health/db", get(async move || report))
            .route("/health/storage", get(async || r#"{"status":"healthy"}"#))
            .route("/sse/heartbeat", stream());
        let (listener, url) = loopback().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        let urls = ["health", "health-db", "health-storage", "sse"].map(|function| format!("{function}={url}"));
        let smoke = checkout().join(".github/deploy/smoke");
        let run = tokio::task::spawn_blocking(move || Command::new(smoke).args(urls).output().unwrap());
        let run = run.await.unwrap();
        let message = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && message.contains(told), "{message}");
    }
}
