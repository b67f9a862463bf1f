//! The answers of the bundle are those of the API document, for those who show a token and for those who do not.

use crate::newcomer::{Checkout, started};
use local::functions::{FUNCTIONS, service};
use serde_json::Value;
use shared::{
    config::Env,
    runtime::{Declared, Policy},
};
use std::collections::BTreeSet;
use testing::contract;

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn its_answers_are_those_of_the_api_document_without_a_token_and_with_one() {
    let checkout = Checkout::new("contract");
    let local = checkout.local().with_all(&[
        ("SSE_MAX_AGE", "50ms"),
        ("SSE_HEARTBEAT_INTERVAL", "10ms"),
        ("STREAM_LONG_POLL", "50ms"),
    ]);
    for header in [None, Some(credential(&checkout))] {
        let server = started(&local);
        holds(&server.url, header.as_deref());
        assert_asked(&server.log(), header.is_some());
    }
}

fn holds(url: &str, header: Option<&str>) {
    // Functions may share a path, and schemathesis refuses one that is named twice.
    let paths: BTreeSet<String> = FUNCTIONS.iter().flat_map(|function| function.paths()).collect();
    let paths = paths.iter().map(String::as_str);
    let (durable, others): (Vec<&str>, Vec<&str>) = paths.partition(|path| path.starts_with("/v1/stream"));
    let options: Vec<&str> = header.iter().flat_map(|header| ["--header", header]).collect();
    contract::holds_with(url, &others, &options);
    if !durable.is_empty() {
        // A document cannot say that a header requires another one, or excludes it.
        let options = [&options[..], &["--exclude-checks", "positive_data_acceptance"]].concat();
        contract::holds_with(url, &durable, &options);
    }
}

/// A token with every scope of the bundle, as a header: schemathesis knows it by a name with a capital letter alone.
fn credential(checkout: &Checkout) -> String {
    let scopes: BTreeSet<&str> = for_callers()
        .iter()
        .flat_map(|(_, scopes)| scopes.iter().copied())
        .collect();
    let scope = scopes.into_iter().collect::<Vec<_>>().join(" ");
    let output = checkout.local().run(&["token", "--scope", &scope]);
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{scope}");
    format!("Authorization: Bearer {}", token.trim())
}

/// Each route for callers, with its scopes.
fn for_callers() -> Vec<(Declared, &'static [&'static str])> {
    let service = service(&Env::new(|_| None));
    let routes = service.routes().cloned();
    let with_scopes = routes.filter_map(|route| match route.policy {
        Some(Policy::Callers { scopes, .. }) => Some((route, scopes)),
        _ => None,
    });
    with_scopes.collect()
}

/// Each handler for callers was reached by those with a token, and by nobody else.
fn assert_asked(log: &str, has_token: bool) {
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<Value> = lines.filter(|line: &Value| line["target"] == "access").collect();
    for (route, _) in for_callers() {
        let asked = lines
            .iter()
            .filter(|line| line["route"] == route.path && line["method"] == route.method.as_str());
        let statuses: BTreeSet<u64> = asked.filter_map(|line| line["status"].as_u64()).collect();
        let (method, path) = (&route.method, route.path);
        assert!(!statuses.is_empty(), "{method} {path} was not asked for");
        let reached = statuses.iter().any(|status| !matches!(status, 401 | 403));
        assert_eq!(reached, has_token, "{method} {path}: {statuses:?}");
    }
}
