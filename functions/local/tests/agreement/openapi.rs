//! The API document, the routers and the functions' pages say the same.

use crate::checkout::{checkout, table, text};
use axum::{
    body::Body,
    http::{Method, Request, header},
    response::IntoResponse,
};
use local::{functions::FUNCTIONS, route_table::declared};
use serde_json::{Value, json};
use shared::{
    config::Env,
    deadline::Deadline,
    idempotency,
    problem::{FieldError, Problem, RUNTIME},
    runtime::{App, Cors, EXPOSED_HEADERS},
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

/// The methods and paths of a part of the document.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = METHODS.iter().map(|method| method.as_str());
        let documented = methods.filter(|method| !item[method.to_lowercase()].is_null());
        operations.extend(documented.map(|method| (method.to_owned(), path.clone())));
    }
    operations
}

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

#[tokio::test]
async fn each_function_documents_every_route_that_it_declares_and_no_other() {
    let health = BTreeSet::from([("GET".to_owned(), "/health".to_owned())]);
    for function in FUNCTIONS {
        let part = serde_json::to_value(function.document()).unwrap();
        let declared = declared().into_iter().filter(|route| route.function == function.name);
        let declared: BTreeSet<_> = declared.map(|route| (route.method, in_openapi(&route.path))).collect();
        // The runtime adds it to every function. One of them documents it.
        let documented = &operations(&part) - &health;
        assert_eq!(
            &documented - &declared,
            BTreeSet::new(),
            "functions/{} documents what it does not declare",
            function.name
        );
        assert_eq!(
            &declared - &documented,
            BTreeSet::new(),
            "functions/{} does not document what it declares",
            function.name
        );
    }
    let documented: BTreeSet<String> = document()["paths"].as_object().unwrap().keys().cloned().collect();
    let routed: BTreeSet<String> = table().iter().map(|line| in_openapi(&line.path)).collect();
    assert_eq!(documented, routed, "the API document and the route table of Cargo.toml");
}

/// OpenAPI has no wildcards.
fn in_openapi(path: &str) -> String {
    path.replace("{*", "{")
}

#[tokio::test]
async fn each_operation_has_the_body_and_the_key_that_its_route_takes() {
    let document = document();
    for route in local::functions::service(&Env::new(|_| None)).routes() {
        let operation = &document["paths"][in_openapi(route.path)][route.method.as_str().to_lowercase()];
        let key = parameters(&Value::Null, operation).find(|parameter| parameter["name"] == "Idempotency-Key");
        let has_key = key.is_some_and(|key| key["in"] == "header" && key["required"] == true);
        assert_eq!(
            has_key, route.once,
            "{} {}: the header Idempotency-Key",
            route.method, route.path
        );
        let content = operation["requestBody"]["content"].as_object().into_iter().flatten();
        let documented: BTreeSet<&str> = content.map(|(media_type, _)| media_type.as_str()).collect();
        let taken = route.content.iter().flat_map(|content| content.media_types());
        let taken: BTreeSet<&str> = taken.copied().collect();
        match taken.contains("*/*") {
            // The types that clients send most, in place of all.
            true => assert!(!documented.is_empty(), "{} {} takes a body", route.method, route.path),
            false => assert_eq!(documented, taken, "{} {}", route.method, route.path),
        }
    }
}

/// The parameters of an operation, those of its path included.
fn parameters<'a>(item: &'a Value, operation: &'a Value) -> impl Iterator<Item = &'a Value> + use<'a> {
    let lists = [&item["parameters"], &operation["parameters"]].into_iter();
    lists.filter_map(Value::as_array).flatten()
}

/// The example of a parameter, where the smoke test looks for it.
fn example(parameter: &Value) -> Option<String> {
    let schema = &parameter["schema"];
    let first = parameter["examples"]
        .as_object()
        .and_then(|examples| examples.values().next());
    let places = [
        &parameter["example"],
        first.map_or(&Value::Null, |example| &example["value"]),
        &schema["example"],
        &schema["examples"][0],
        &schema["default"],
        &schema["enum"][0],
    ];
    let example = places.into_iter().find(|place| !place.is_null())?;
    Some(example.as_str().map_or_else(|| example.to_string(), str::to_owned))
}

#[test]
fn every_required_parameter_has_an_example_and_every_parameter_of_a_path_is_documented() {
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, operation)| operation.is_object())
        {
            for parameter in parameters(item, operation).filter(|parameter| parameter["required"] == true) {
                let name = &parameter["name"];
                assert!(
                    example(parameter).is_some(),
                    "{method} {path}: the document has no example of {name}"
                );
            }
            let documented = parameters(item, operation).filter(|parameter| parameter["in"] == "path");
            let documented: BTreeSet<&str> = documented.filter_map(|parameter| parameter["name"].as_str()).collect();
            let names = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap());
            assert_eq!(documented, names.collect(), "{method} {path}");
        }
    }
}

/// A path with the examples of its parameters.
fn target(path: &str, item: &Value) -> String {
    let operations = item
        .as_object()
        .unwrap()
        .values()
        .filter(|operation| operation.is_object());
    let all = operations.flat_map(|operation| parameters(item, operation));
    let in_path = all.filter(|parameter| parameter["in"] == "path");
    in_path.fold(path.to_owned(), |path, parameter| {
        let value: String = example(parameter)
            .unwrap()
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &value)
    })
}

#[tokio::test]
async fn every_operation_is_answered_with_a_documented_status_and_media_type_and_no_other_method_is() {
    let app = App::new(local::functions::service(&Env::new(|_| None)), &Cors::default());
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in METHODS {
            let request = Request::builder().method(&method).uri(target(path, item));
            let request = request.body(Body::empty()).unwrap();
            let answer = app.clone().answer(request, None, Deadline::default()).await;
            let operation = &item[method.as_str().to_lowercase()];
            if operation.is_null() {
                assert_eq!(answer.status(), 405, "{method} {path} is not documented");
                continue;
            }
            let responses = &operation["responses"];
            let documented = [answer.status().as_str(), "default"].map(|status| &responses[status]["content"]);
            let media_type = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
            assert!(
                documented.iter().any(|content| content[media_type].is_object()),
                "{method} {path}: {} {media_type}",
                answer.status()
            );
        }
    }
}

#[test]
fn a_page_of_another_origin_may_read_every_documented_header() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let operations = item.as_object().unwrap().values();
        for operation in operations.filter(|operation| operation.is_object()) {
            let answers = operation["responses"].as_object().unwrap().values();
            for (name, _) in answers.filter_map(|answer| answer["headers"].as_object()).flatten() {
                let mut exposed = EXPOSED_HEADERS.iter();
                let is_exposed = exposed.any(|exposed| name.eq_ignore_ascii_case(exposed.as_str()));
                assert!(is_exposed, "{path}: {name}");
            }
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
    // These leave only where a route asks for a key.
    let service = local::functions::service(&Env::new(|_| None));
    if !service.routes().any(|route| route.once) {
        slugs.retain(|slug| idempotency::PROBLEMS.iter().all(|kind| kind.slug != slug));
    }
    slugs
}

#[tokio::test]
async fn every_slug_that_can_leave_stands_in_the_document_and_has_a_page() {
    let schema = &document()["components"]["schemas"]["ProblemType"];
    let documented: BTreeSet<String> = serde_json::from_value(schema["enum"].clone()).unwrap();
    let pages = local::pages::declared().router();
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
fn every_operation_has_a_name_that_no_other_has() {
    let mut names = BTreeSet::new();
    let document = document();
    for (method, path) in operations(&document) {
        let name = document["paths"][&path][method.to_lowercase()]["operationId"].as_str();
        let name = name.unwrap_or_else(|| panic!("{method} {path} has no name"));
        assert!(
            names.insert(name.to_owned()),
            "{method} {path} has the name of another operation"
        );
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
    let properties: Vec<&String> = schemas["Problem"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties, members.keys().collect::<Vec<_>>());
    let error: BTreeMap<String, Value> = serde_json::from_value(members["errors"][0].clone()).unwrap();
    assert_eq!(schemas["FieldError"]["required"], json!(["detail"]));
    let properties = &schemas["FieldError"]["properties"];
    assert!(
        error.contains_key("detail") && error.keys().all(|name| properties.get(name).is_some()),
        "{error:?}"
    );
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
    for function in FUNCTIONS {
        let part = serde_json::to_value(function.document()).unwrap();
        let reports = part["paths"].as_object().unwrap().values();
        let reports = reports.map(|item| &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]);
        let reasons = reports.filter_map(|schema| part.pointer(schema["$ref"].as_str()?.strip_prefix('#')?));
        let reasons = reasons.flat_map(|report| words(&report["properties"]["reason"]));
        assert_eq!(
            reasons.collect::<BTreeSet<_>>(),
            documented_reasons(function.name),
            "functions/{}",
            function.name
        );
    }
}
