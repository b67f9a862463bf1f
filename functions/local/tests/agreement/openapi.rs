//! The API document, the routers and README say the same.

use crate::checkout::{routes, text};
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::Value;
use shared::config::Env;
use std::collections::BTreeSet;
use tower::ServiceExt;

fn document() -> Value {
    serde_json::from_str(&local::openapi::document()).unwrap()
}

#[test]
fn the_committed_document_is_the_one_that_the_types_give() {
    assert!(
        text("functions/local/openapi.json") == local::openapi::document(),
        "it is old: cargo run -- openapi > functions/local/openapi.json"
    );
}

#[test]
fn it_has_every_path_of_the_route_table_and_no_other() {
    let documented: Vec<String> = document()["paths"].as_object().unwrap().keys().cloned().collect();
    let routed: Vec<String> = routes().into_keys().collect();
    assert_eq!(documented, routed);
}

#[tokio::test]
async fn every_operation_is_answered_with_a_documented_status_and_media_type_and_no_other_method_is() {
    let router = local::functions::service(&Env::new(|_| None)).router();
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request = Request::builder()
                .method(&method)
                .uri(path)
                .body(Body::empty())
                .unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            let operation = &operations[method.as_str().to_lowercase()];
            if operation.is_null() {
                assert_eq!(answer.status(), 405, "{method} {path} is not documented");
                continue;
            }
            let response = &operation["responses"][answer.status().as_str()];
            let media_type = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
            let documented = &response["content"][media_type];
            assert!(
                documented.is_object(),
                "{method} {path}: {} {media_type}",
                answer.status()
            );
        }
    }
}

/// The words of a schema's enumeration, through its references and alternatives.
fn words(schema: &Value) -> BTreeSet<String> {
    let of_reference = schema["$ref"].as_str().and_then(|reference| {
        let document = document();
        document.pointer(reference.strip_prefix('#')?).map(words)
    });
    let of_alternatives = schema["oneOf"].as_array().into_iter().flatten().flat_map(words);
    let own = schema["enum"].as_array().into_iter().flatten();
    let own = own.map(|word| word.as_str().unwrap().to_owned());
    own.chain(of_alternatives)
        .chain(of_reference.unwrap_or_default())
        .collect()
}

#[test]
fn the_closed_sets_of_reasons_are_those_of_the_readme() {
    let (document, readme) = (document(), text("README.md"));
    for (path, operations) in document["paths"].as_object().unwrap() {
        let report = &operations["get"]["responses"]["503"]["content"]["application/json"]["schema"]["$ref"];
        let Some(report) = report.as_str() else {
            continue;
        };
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{path}` |")))
            .unwrap_or_else(|| panic!("README has no row of reasons for {path}"));
        let told: BTreeSet<String> = row.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        let told: BTreeSet<String> = told.into_iter().filter(|word| word != "HEALTH_TIMEOUT").collect();
        let schema = document
            .pointer(&format!("{}/properties/reason", &report[1..]))
            .unwrap();
        assert_eq!(words(schema), told, "{path}");
    }
}
