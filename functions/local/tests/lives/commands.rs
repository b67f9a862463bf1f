//! The command line, and the commands `doctor` and `openapi`.

use crate::checkout::{checkout, text};
use crate::newcomer::{Checkout, started};
use local::functions::FUNCTIONS;
use std::{collections::BTreeSet, fs};
use testing::{Binary, contract};

fn local() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_local"))
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_doctor_of_a_folder_without_a_deployment_and_of_an_unsafe_one_ends_with_1_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let nothing = local().run(&["doctor", path]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        stdout(&nothing).contains("no function is deployed by template.yaml"),
        "{}",
        stdout(&nothing)
    );
    let template = text("template.yaml")
        .replace("AuthType: AWS_IAM", "AuthType: NONE")
        .replace("Timeout: 420", "Timeout: 60");
    fs::write(folder.path().join("template.yaml"), template).unwrap();
    let unsafe_one = local()
        .with("CORS_ORIGINS", "https://app.example.com")
        .run(&["doctor", path]);
    assert_eq!(unsafe_one.status.code(), Some(1));
    for named in [
        "template.yaml, HealthDb: everybody may call it",
        "template.yaml, Sse: ends at 60s",
    ] {
        assert!(stdout(&unsafe_one).contains(named), "{}", stdout(&unsafe_one));
    }
}

#[test]
fn a_doctor_of_a_function_that_is_not_of_this_bundle_ends_with_1_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let template = text("template.yaml")
        .replace("Binary: sse ", "Binary: stranger ")
        .replace("CodeUri: functions/sse\n", "CodeUri: functions/stranger\n");
    fs::write(folder.path().join("template.yaml"), template).unwrap();
    let examined = local().run(&["doctor", folder.path().to_str().unwrap()]);
    assert_eq!(examined.status.code(), Some(1));
    let named = r#"unsafe: template.yaml, Sse: runs "stranger", which is not a function of this bundle"#;
    assert!(stdout(&examined).contains(named), "{}", stdout(&examined));
}

#[test]
fn a_doctor_of_a_template_that_another_allowed_value_opens_ends_with_1_and_names_the_value_once() {
    let folder = tempfile::tempdir().unwrap();
    let template = text("template.yaml").replace("AuthType: AWS_IAM", "AuthType: !Ref AuthType");
    fs::write(folder.path().join("template.yaml"), template).unwrap();
    let opened = local().run(&["doctor", folder.path().to_str().unwrap()]);
    assert_eq!(opened.status.code(), Some(1));
    let opened = stdout(&opened);
    let named: Vec<&str> = opened.lines().filter(|line| line.starts_with("unsafe: ")).collect();
    assert_eq!(
        named,
        ["unsafe: with AuthType=NONE: template.yaml, HealthDb: everybody may call it"]
    );
}

#[test]
fn a_star_in_the_environment_is_unsafe_and_this_repository_is_not() {
    let root = checkout();
    let root = root.to_str().unwrap();
    let star = local().with("CORS_ORIGINS", "*").run(&["doctor", root]);
    assert_eq!(star.status.code(), Some(1));
    assert!(
        stdout(&star).contains("the environment: answers every origin"),
        "{}",
        stdout(&star)
    );
    let safe = local().run(&["doctor", root]);
    assert_eq!(
        (safe.status.code(), stdout(&safe).starts_with("safe: ")),
        (Some(0), true),
        "{}",
        stdout(&safe)
    );
}

#[test]
fn what_is_not_a_command_exits_with_64_and_the_list_of_commands() {
    for arguments in [
        &["sideways"][..],
        &["--port", "1"],
        &["doctor", "a", "b"],
        &["openapi", "x"],
        &["reset", "now"],
        &["serve", "9000"],
    ] {
        let output = local().run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("reset"), "{output:?}");
    }
}

#[test]
fn help_lists_every_command() {
    for argument in ["help", "--help", "-h"] {
        let output = local().run(&[argument]);
        assert_eq!(output.status.code(), Some(0), "{argument}");
        for command in ["serve", "migrate", "reset", "token", "doctor", "openapi"] {
            assert!(
                stdout(&output).contains(&format!("\n  {command} ")),
                "{}",
                stdout(&output)
            );
        }
    }
}

#[test]
fn openapi_prints_the_committed_document() {
    assert!(stdout(&local().run(&["openapi"])) == text("functions/local/openapi.json"));
}

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn its_answers_are_those_of_the_api_document() {
    let checkout = Checkout::new("contract");
    let local = checkout.local().with("SSE_MAX_AGE", "50ms");
    let server = started(&local.with("SSE_HEARTBEAT_INTERVAL", "10ms"));
    // Functions may share a path, and schemathesis refuses one that is named twice.
    let paths: BTreeSet<String> = FUNCTIONS.iter().flat_map(|function| function.paths()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    contract::holds(&server.url, &paths);
}
