//! The command line, and the commands `doctor` and `openapi`.

use crate::checkout::{checkout, services, text};
use crate::newcomer::Checkout;
use std::fs;
use testing::Binary;

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
    let unsafe_one = local().with("CORS_ORIGINS", "*").run(&["doctor", path]);
    assert_eq!(unsafe_one.status.code(), Some(1));
    let functions = services();
    for (function, named) in [
        ("health", "the environment: answers every origin"),
        ("health-db", "template.yaml, HealthDb: everybody may call it"),
        ("sse", "template.yaml, Sse: ends at 60s"),
    ] {
        let (said, is_there) = (stdout(&unsafe_one), functions.contains(function));
        assert_eq!(said.contains(named), is_there, "{function}: {said}");
    }
}

#[test]
fn a_doctor_of_a_function_that_is_not_of_this_bundle_ends_with_1_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let template = text("template.yaml")
        .replace("Binary: health ", "Binary: stranger ")
        .replace("CodeUri: functions/health\n", "CodeUri: functions/stranger\n");
    fs::write(folder.path().join("template.yaml"), template).unwrap();
    let examined = local().run(&["doctor", folder.path().to_str().unwrap()]);
    assert_eq!(examined.status.code(), Some(1));
    let named = r#"unsafe: template.yaml, Health: runs "stranger", which is not a function of this bundle"#;
    assert!(stdout(&examined).contains(named), "{}", stdout(&examined));
}

#[test]
fn a_doctor_of_a_template_that_another_allowed_value_opens_ends_with_1_and_names_the_value_once() {
    let folder = tempfile::tempdir().unwrap();
    let template = text("template.yaml").replace("AuthType: AWS_IAM", "AuthType: !Ref AuthType");
    fs::write(folder.path().join("template.yaml"), template).unwrap();
    let opened = local().run(&["doctor", folder.path().to_str().unwrap()]);
    let tells_of_the_database = services().contains("health-db");
    assert_eq!(opened.status.code(), Some(i32::from(tells_of_the_database)));
    let opened = stdout(&opened);
    let named: Vec<&str> = opened.lines().filter(|line| line.starts_with("unsafe: ")).collect();
    let expected = "unsafe: with AuthType=NONE: template.yaml, HealthDb: everybody may call it";
    assert_eq!(named, Vec::from_iter(tells_of_the_database.then_some(expected)));
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
    for (arguments, why) in [
        (&["sideways"][..], "local: \"sideways\" is not a command\n"),
        (&["--port", "1"], "local: \"--port\" is not a command\n"),
        (&["docter"], "local: \"docter\" is not a command, but doctor is\n"),
        (&["nwe", "orders"], "local: \"nwe\" is not a command, but new is\n"),
        (&["\u{1b}[2J"], "local: \"\\u{1b}[2J\" is not a command\n"),
        (&["doctor", "a", "b"], "local: doctor takes other arguments: [FOLDER]\n"),
        (&["openapi", "x"], "local: openapi takes no arguments\n"),
        (&["reset", "now"], "local: reset takes no arguments\n"),
        (&["serve", "9000"], "local: serve takes no arguments\n"),
        (&["job"], "local: job takes other arguments: NAME [ARGUMENTS]\n"),
    ] {
        let output = local().run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with(why) && said.contains("\n  reset "), "{said}");
    }
    let no_job = local().run(&["job", "health"]);
    assert_eq!(no_job.status.code(), Some(64));
    let said = String::from_utf8_lossy(&no_job.stderr);
    assert!(
        said.starts_with("local: \"health\" is not one of the jobs: migrate"),
        "{said}"
    );
}

#[test]
fn help_lists_every_command() {
    for argument in ["help", "--help", "-h"] {
        let output = local().run(&[argument]);
        assert_eq!(output.status.code(), Some(0), "{argument}");
        for command in ["serve", "migrate", "job", "reset", "token", "doctor", "openapi"] {
            assert!(
                stdout(&output).contains(&format!("\n  {command} ")),
                "{}",
                stdout(&output)
            );
        }
    }
}

#[test]
fn every_command_has_help_which_changes_nothing() {
    let checkout = Checkout::new("help");
    for (arguments, beginning) in [
        (
            &["new", "--help"][..],
            "cargo run -- new NAME --route 'POST /greetings/{id}' [",
        ),
        (&["new", "orders", "--job", "-h"], "cargo run -- new NAME --route"),
        (
            &["remove", "-h"],
            "cargo run -- remove NAME [--force]\n\ndeletes a function",
        ),
        (&["migration", "--help"], "cargo run -- migration NAME\n"),
        (&["token", "--help"], "cargo run -- token [--sub NAME] ["),
        (&["serve", "--help"], "cargo run -- serve\n"),
        (&["reset", "--help"], "cargo run -- reset\n"),
        (&["doctor", "--help"], "cargo run -- doctor [FOLDER]\n"),
        (&["openapi", "--help"], "cargo run -- openapi\n"),
        (&["job", "--help"], "cargo run -- job NAME [ARGUMENTS]\n"),
        (&["migrate", "--help"], "migrate [--json] [COMMAND]\n"),
        (&["migrate", "up", "--help"], "migrate [--json] [COMMAND]\n"),
        (&["help", "reset"], "cargo run -- reset\n"),
    ] {
        let output = checkout.local().run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(stdout(&output).starts_with(beginning), "{}", stdout(&output));
    }
    assert_eq!(fs::read_dir(&checkout.0).unwrap().count(), 0);
}

#[test]
fn an_argument_that_is_not_utf_8_exits_with_64_and_a_sentence() {
    for command in ["token --sub", "job", "new", ""] {
        let script = format!("exec \"$0\" {command} \"$(printf '\\377')\"");
        let output = local().under(&["sh", "-c", &script]).run(&[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = (Some(64), "local: an argument is not UTF-8\n");
        assert_eq!((output.status.code(), &*said), expected, "{command}");
    }
}

/// What a command says to standard error, and its code, with its output where a shell sends it.
fn printed_to(local: &Binary, command: &str, output: &str) -> (String, String) {
    let script = format!("{{ \"$0\" {command}; echo $? >&3; }} 3>&2 2>&2 {output}");
    let output = local.clone().under(&["sh", "-c", &script]).run(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    let mut lines: Vec<&str> = said.lines().collect();
    let code = lines.pop().unwrap_or_default().to_owned();
    (lines.join("\n"), code)
}

#[test]
fn output_that_cannot_be_written_is_a_sentence_and_a_reader_that_has_gone_is_none() {
    let checkout = Checkout::new("output");
    let root = self::checkout();
    let doctor = format!("doctor '{}'", root.display());
    let serve = "serve".to_owned();
    let commands = ["token", "token --settings", "openapi", "help", "reset", &doctor];
    for command in commands {
        let full = printed_to(&checkout.local(), command, ">/dev/full");
        let sentence = "local: cannot write the output: No space left on device (os error 28)";
        assert_eq!(full, (sentence.to_owned(), "1".to_owned()), "{command}");
        let gone = printed_to(&checkout.local(), command, "| true");
        assert_eq!(gone, (String::new(), "0".to_owned()), "{command}");
        let neither = printed_to(&checkout.local(), command, ">/dev/full 2>/dev/full");
        assert_eq!(neither, (String::new(), "1".to_owned()), "{command}");
    }
    let (said, code) = printed_to(&checkout.local().with("STORAGE_URL", "memory:"), &serve, ">/dev/full");
    assert!(said.contains("cannot write the output") && code == "1", "{said}");
}

#[test]
fn openapi_prints_the_committed_document() {
    assert!(stdout(&local().run(&["openapi"])) == text("functions/local/openapi.json"));
}
