//! The API document, the routers and the functions' pages say the same.

use crate::checkout::{checkout, table, text};
use axum::{
    body::Body,
    http::{Method, Request, header},
    response::IntoResponse,
};
use local::route_table::Line;
use serde_json::Value;
use shared::{
    config::Env,
    problem::{FieldError, Problem, RUNTIME},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
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
    let documented: BTreeSet<String> = document()["paths"].as_object().unwrap().keys().cloned().collect();
    let routed: BTreeSet<String> = table().into_iter().map(|line| line.path).collect();
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

/// Every slug of the runtime, and every one that the source of a function has as a literal.
fn slugs_in_the_code() -> BTreeSet<String> {
    let mut open = vec![checkout().join("functions")];
    let mut slugs = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            open.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            let literals = source.split("slug: \"").skip(1);
            slugs.extend(literals.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    slugs.extend(RUNTIME.iter().map(|kind| kind.slug.to_owned()));
    slugs
}

#[tokio::test]
async fn every_slug_that_can_leave_stands_in_the_document_and_has_a_page() {
    let schema = &document()["components"]["schemas"]["ProblemType"];
    let documented: BTreeSet<String> = serde_json::from_value(schema["enum"].clone()).unwrap();
    let pages = local::pages::service().router();
    for slug in slugs_in_the_code() {
        assert!(
            documented.contains(&format!("/problems/{slug}")),
            "no route declares {slug}"
        );
        let about = schema["description"].as_str().unwrap();
        assert!(about.contains(&format!("(/problems/{slug})")), "{about}");
        let request = Request::get(format!("/problems/{slug}")).body(Body::empty()).unwrap();
        let answer = pages.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{slug} has no page");
    }
}

#[test]
fn every_operation_can_answer_a_problem() {
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let content = &operation["responses"]["default"]["content"]["application/problem+json"];
            let schema = &content["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_problem_has_the_members_of_its_schema() {
    let (detail, pointer) = ("it is too long".to_owned(), "#/name".to_owned());
    let problem = Problem::invalid_body(&[FieldError { detail, pointer }]).into_response();
    let body = axum::body::to_bytes(problem.into_body(), 1 << 10).await.unwrap();
    let members: BTreeMap<String, Value> = serde_json::from_slice(&body).unwrap();
    let schemas = &document()["components"]["schemas"];
    for (schema, written) in [
        ("Problem", &members),
        (
            "FieldError",
            &serde_json::from_value(members["errors"][0].clone()).unwrap(),
        ),
    ] {
        let properties: Vec<&String> = schemas[schema]["properties"].as_object().unwrap().keys().collect();
        assert_eq!(properties, written.keys().collect::<Vec<_>>(), "{schema}");
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

/// The reasons in the table that the page of a function has, if it has one.
fn documented_reasons(function: &str) -> BTreeSet<String> {
    let page = checkout().join("functions").join(function).join("README.md");
    let page = fs::read_to_string(page).unwrap_or_default();
    let section = page.split("\n## Reasons\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.skip(1) // the head of the table
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn the_closed_sets_of_reasons_are_those_of_the_functions_pages() {
    let document = document();
    for Line { path, function, .. } in table() {
        let content = &document["paths"][&path]["get"]["responses"]["200"]["content"];
        let reference = content["application/json"]["schema"]["$ref"].as_str();
        let report = reference.and_then(|reference| document.pointer(reference.strip_prefix('#')?));
        let reasons = report.map(|report| words(&report["properties"]["reason"]));
        assert_eq!(reasons.unwrap_or_default(), documented_reasons(&function), "{path}");
    }
}
