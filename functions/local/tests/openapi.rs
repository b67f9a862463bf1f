//! The API document, the routers and README say the same.

#![allow(clippy::unwrap_used)]

#[path = "fixture/checkout.rs"]
mod checkout;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, header},
};
use checkout::{WITHOUT_ROUTE, functions, routes, text};
use serde_json::Value;
use shared::{
    config::{self, Env},
    database::Database,
    storage::Storage,
};
use std::collections::BTreeSet;
use tower::ServiceExt;

fn document() -> Value {
    serde_json::from_str(&local::openapi::document()).unwrap()
}

/// The routes as `local` merges them, with nothing configured.
fn router() -> Router {
    let env = Env::new(|_| None);
    let database = Database::connect_lazy(config::Database::from_env(&env));
    let storage = Storage::from_env(&env);
    let (health, stream) = (config::Health::from_env(&env), config::Stream::from_env(&env));
    local::routes(database, storage, health, stream)
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
    assert_eq!(functions().len(), routed.len() + WITHOUT_ROUTE.len());
}

#[tokio::test]
async fn every_operation_is_answered_with_a_documented_status_and_media_type_and_no_other_method_is() {
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request = Request::builder()
                .method(&method)
                .uri(path)
                .body(Body::empty())
                .unwrap();
            let answer = router().oneshot(request).await.unwrap();
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
    let readme = text("README.md");
    for (path, report) in [("/health/db", "DatabaseReport"), ("/health/storage", "StorageReport")] {
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{path}` |")))
            .unwrap();
        let told: BTreeSet<String> = row.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        let told: BTreeSet<String> = told.into_iter().filter(|word| word != "HEALTH_TIMEOUT").collect();
        let schema = &document()["components"]["schemas"][report]["properties"]["reason"];
        assert_eq!(words(schema), told, "{path}");
    }
}
