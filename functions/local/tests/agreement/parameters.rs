//! A changed parameter and a rotated secret change what a stack serves, according to SAM's translator.

use crate::checkout::{deployment, text};
use local::deployment::{Deployed, Platform};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Each parameter with another value, and what must change where it does.
fn changes() -> Vec<(&'static str, &'static str, BTreeSet<String>)> {
    let functions = deployment().functions.into_iter();
    let on_lambda: Vec<Deployed> = functions
        .filter(|function| function.platform == Platform::Lambda)
        .collect();
    let that = |matches: &dyn Fn(&&Deployed) -> bool| -> BTreeSet<String> {
        let matching = on_lambda.iter().filter(matches);
        matching
            .map(|function| function.place.replace("template.yaml, ", ""))
            .collect()
    };
    let every = that(&|_| true);
    let database = that(&|function| function.sets_any(&["DATABASE_URL"]));
    let stack = BTreeSet::from(["the stack".to_owned()]);
    let bucket = &that(&|function| function.sets_any(&["S3_BUCKET"])) | &stack;
    vec![
        ("Architecture", "x86_64", every.clone()),
        ("AuthType", "NONE", stack.clone()),
        ("Concurrency", "reserved", every.clone()),
        ("CorsOrigins", "https://app.example", every.clone()),
        ("DatabaseUrlSecret", "another", database.clone()),
        ("DatabaseUrlVersion", "rotated", database.clone()),
        ("EvidenceBucket", "another", bucket),
        ("LogRetentionDays", "7", stack),
        ("SecurityGroupIds", "sg-2", database.clone()),
        ("SubnetIds", "subnet-2", database.clone()),
        ("TokenCookie", "__Host-token", every.clone()),
        ("TokenIssuers", r#"[{"issuer":"https://a.example"}]"#, every),
    ]
}

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
    for (name, value, expected) in changes() {
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
    let parameters: BTreeSet<String> = deployment().parameters.into_keys().collect();
    let changed: BTreeSet<String> = changes().iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(parameters, changed);
}
