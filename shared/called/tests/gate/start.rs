//! A route that does not say who may call it keeps its process from starting.

use crate::called;
use serde_json::Value;
use std::time::Duration;
use testing::FakeRuntimeApi;

const UNDECLARED: &str = "the policy of GET /forgotten must be Route::public, callers or scopes; \
                          the policy of POST /forgotten/{id} must be Route::public, callers or scopes";

#[test]
fn a_route_that_nobody_declared_ends_the_server_with_78_and_its_name() {
    let output = called().with("UNDECLARED", "1").with("PORT", "0").run(&[]);
    assert_eq!(output.status.code(), Some(78));
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let message = lines[0]["message"].as_str().unwrap();
    assert!(
        message.contains(UNDECLARED) && !message.contains("/public"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_lambda_the_platform_hears_of_it_too() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = called().with("UNDECLARED", "1").on_lambda(&api);
    let code = tokio::task::spawn_blocking(move || lambda.exit_code(Duration::from_secs(20)));
    assert_eq!(code.await.unwrap(), Some(78));
    let error = &api.init_errors()[0];
    assert_eq!(error["errorType"], "Runtime.InvalidSettings");
    assert!(error["errorMessage"].as_str().unwrap().contains(UNDECLARED), "{error}");
    assert_eq!(api.polls(), 0);
}

#[test]
fn a_job_ends_with_it_too_and_wrong_settings_are_named_with_it() {
    let undeclared = called().with("UNDECLARED", "1");
    assert_eq!(undeclared.run(&["check"]).status.code(), Some(78));
    let output = undeclared.with("TOKEN_COOKIE", "token").run(&[]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        log.contains("TOKEN_COOKIE must be") && log.contains(UNDECLARED),
        "{log}"
    );
}
