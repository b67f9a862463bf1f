//! A parameter that changes, or a secret that is rotated, changes what a stack serves: by SAM's own translator.

use crate::checkout::{template_parameters, text};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const DATABASE: &[&str] = &["HealthDb", "Migrate"];
const EVERY: &[&str] = &["Health", "HealthDb", "HealthStorage", "Migrate", "Sse"];

/// Each parameter with another value, and what must change where it does.
const CHANGES: [(&str, &str, &[&str]); 10] = [
    ("Architecture", "x86_64", EVERY),
    ("AuthType", "NONE", &["the stack"]),
    ("Concurrency", "reserved", EVERY),
    ("CorsOrigins", "https://app.example", EVERY),
    ("DatabaseUrlSecret", "another", DATABASE),
    ("DatabaseUrlVersion", "rotated", DATABASE),
    ("EvidenceBucket", "another", &["HealthStorage", "the stack"]),
    ("LogRetentionDays", "7", &["the stack"]),
    ("SecurityGroupIds", "sg-2", DATABASE),
    ("SubnetIds", "subnet-2", DATABASE),
];

/// What a stack serves, for each function.
fn served(template: &str, change: Option<(&str, &str)>) -> Value {
    let mut parameters = vec![
        "EvidenceBucket=evidence".to_owned(),
        "DatabaseUrlVersion=first".to_owned(),
        "SubnetIds=subnet-1".to_owned(),
        "SecurityGroupIds=sg-1".to_owned(),
    ];
    parameters.extend(change.map(|(name, value)| format!("{name}={value}")));
    let mut script = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture/served.py"))
        .args(parameters)
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(template.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "the translator refuses the template");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a change of one parameter changes.
fn changed(template: &str, change: (&str, &str)) -> BTreeSet<String> {
    let (before, after) = (served(template, None), served(template, Some(change)));
    let differs = |name: &&String| before[*name] != after[*name];
    before.as_object().unwrap().keys().filter(differs).cloned().collect()
}

#[test]
#[ignore = "needs aws-sam-translator; .ci/run installs it"]
fn every_parameter_that_changes_changes_what_serves() {
    let template = text("template.yaml");
    for (name, value, expected) in CHANGES {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(changed(&template, (name, value)), expected, "{name}");
    }
}

#[test]
#[ignore = "needs aws-sam-translator; .ci/run installs it"]
fn an_alias_would_go_on_serving_what_was_published_last() {
    let alias = text("template.yaml").replace(
        "    MemorySize: 128\n",
        "    MemorySize: 128\n    AutoPublishAlias: live\n",
    );
    assert_eq!(changed(&alias, ("CorsOrigins", "https://app.example")), BTreeSet::new());
    assert_eq!(changed(&alias, ("DatabaseUrlVersion", "rotated")), BTreeSet::new());
}

#[test]
fn no_parameter_is_missing_here() {
    let parameters = template_parameters();
    let names = parameters
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let names: BTreeSet<&str> = names.filter(|name| !name.starts_with(' ')).collect();
    assert_eq!(names, CHANGES.iter().map(|(name, ..)| *name).collect());
}
