//! An API document with parameters, a body and problems, against the function that keeps to it, and documents to which it does
//! not keep: schemathesis must find each.

use serde_json::{Value, json};
use std::fs;
use testing::{Binary, contract};

const PATH: &str = "/greetings/{id}";

/// What schemathesis says of the function by this document.
fn examined(document: &Value) -> Result<(), String> {
    let server = Binary::new(env!("CARGO_BIN_EXE_broken")).serve();
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    fs::write(file.path(), document.to_string()).unwrap();
    contract::examine(file.path(), &server.url, &[PATH], &[])
}

fn document() -> Value {
    serde_json::from_str(include_str!("greetings.json")).unwrap()
}

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn a_document_that_the_function_does_not_keep_to_fails() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 5] = [
        (
            "a status that is not documented",
            |document| {
                let responses = document["paths"][PATH]["post"]["responses"].as_object_mut().unwrap();
                responses.remove("422").unwrap();
            },
            "Undocumented status code",
        ),
        (
            "another media type of problems",
            |document| document["components"]["responses"]["Problem"]["content"] = json!({"application/json": {}}),
            "Undocumented Content-Type",
        ),
        (
            "a member that answers lack",
            |document| document["components"]["schemas"]["Problem"]["required"] = json!(["type", "errors"]),
            "Response violates schema",
        ),
        (
            "values of a body that are not taken",
            |document| document["components"]["schemas"]["Greeting"]["properties"]["times"] = json!({"type": "string"}),
            "Schema-valid request rejected",
        ),
        (
            "values of a parameter that are taken beyond those of the document",
            |document| document["paths"][PATH]["parameters"][0]["schema"] = json!({"type": "integer", "maximum": 9}),
            "Schema-violating request accepted",
        ),
    ];
    for (change, apply, named) in changes {
        let mut document = document();
        apply(&mut document);
        let said = examined(&document).expect_err(change);
        assert!(said.contains(named), "{change}: {said}");
    }
}

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn a_function_with_parameters_and_a_body_keeps_to_its_document() {
    examined(&document()).unwrap();
}
