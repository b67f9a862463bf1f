//! What is added and removed again leaves the same bytes, whatever was added in between.

use super::*;
use crate::route_table::read;
use std::path::Path;

fn text(file: &str) -> String {
    Checkout::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .text(file)
        .unwrap()
}

fn routed(method: &str, path: &str, function: &str) -> Routed {
    Routed {
        path: path.to_owned(),
        method: method.to_owned(),
        function: function.to_owned(),
    }
}

#[test]
fn a_dependency_of_local_stands_in_its_place_by_name_and_goes_without_a_trace() {
    let before = text(LOCAL);
    let one = dependencies::add(&before, "health-a", true).unwrap();
    let both = dependencies::add(&one, "zebra", false).unwrap();
    assert!(
        one.contains("health-a = { path = \"../health-a\", features = [\"openapi\"] }\nhealth-db = "),
        "{one}"
    );
    assert!(both.contains("\nzebra = { path = \"../zebra\" }\n\n"), "{both}");
    let left = dependencies::remove(&both, "health-a");
    assert_eq!(left, dependencies::add(&before, "zebra", false).unwrap());
    assert_eq!(dependencies::remove(&left, "zebra"), before);
}

#[test]
fn a_line_of_the_route_table_stands_in_its_place_by_path_and_goes_without_a_trace() {
    let before = text(ROOT);
    for path in ["/a", "/health/a/{id}", "/zebra"] {
        let one = route_table::add(&before, &routed("POST", path, "one")).unwrap();
        assert!(one.contains(&format!("\n\"{path}\" = \"one\"\n")), "{one}");
        let mut paths: Vec<String> = read(&one).unwrap().into_iter().map(|line| line.path).collect();
        assert!(paths.is_sorted() && paths.contains(&path.to_owned()), "{paths:?}");
        paths.retain(|other| other != path);
        assert_eq!(route_table::remove(&one, "one").unwrap(), before);
    }
}

#[test]
fn functions_share_a_path_by_method_until_one_is_left() {
    let before = text(ROOT);
    let two = route_table::add(&before, &routed("POST", "/sse/heartbeat", "one")).unwrap();
    let three = route_table::add(&two, &routed("PUT", "/sse/heartbeat", "two")).unwrap();
    let lines = read(&three)
        .unwrap()
        .into_iter()
        .filter(|line| line.path == "/sse/heartbeat");
    let functions: Vec<(Option<String>, String)> = lines.map(|line| (line.method, line.function)).collect();
    let expected = [("GET", "sse"), ("HEAD", "sse"), ("POST", "one"), ("PUT", "two")];
    assert_eq!(
        functions,
        expected.map(|(method, function)| (Some(method.to_owned()), function.to_owned()))
    );
    let without_one = route_table::remove(&three, "one").unwrap();
    assert_eq!(
        without_one,
        route_table::add(&before, &routed("PUT", "/sse/heartbeat", "two")).unwrap()
    );
    assert_eq!(route_table::remove(&without_one, "two").unwrap(), before);
    assert_eq!(route_table::remove(&two, "nobody").unwrap(), two);
}

#[test]
fn a_line_in_another_form_is_named_rather_than_left() {
    let manifest = "[workspace.metadata.lambda.watch.router]\n'/a' = [{ function = 'one', method = 'GET' }]\n";
    assert!(
        route_table::remove(manifest, "one")
            .unwrap_err()
            .contains("remove one from the line of /a first")
    );
}

#[test]
fn a_block_of_the_template_stands_in_its_place_and_goes_with_what_belongs_to_it() {
    let (before, block) = (
        text(TEMPLATE),
        "  # Why.\n  New:\n    Type: AWS::Serverless::Function\n",
    );
    let one = template::add(&before, "health-e", &block.replace("New", "HealthE")).unwrap();
    assert!(
        one.contains("  # Why.\n  HealthE:\n    Type: AWS::Serverless::Function\n\n  HealthStorage:\n"),
        "{one}"
    );
    let both = template::add(&one, "zebra", &block.replace("New", "Zebra")).unwrap();
    let left = template::remove(&both, "health-e");
    assert_eq!(
        left,
        template::add(&before, "zebra", &block.replace("New", "Zebra")).unwrap()
    );
    assert_eq!(template::remove(&left, "zebra"), before);
    let without = template::remove(&before, "sse");
    assert!(!without.contains("Sse"), "{without}");
}

#[test]
fn a_name_that_the_template_has_for_something_else_is_refused() {
    for name in [
        "logs",
        "callers",
        "health-url",
        "health-role",
        "concurrency",
        "is-public",
        "health-for-all",
    ] {
        assert!(
            template::add(&text(TEMPLATE), name, "")
                .unwrap_err()
                .contains("template.yaml has a"),
            "{name}"
        );
    }
}
