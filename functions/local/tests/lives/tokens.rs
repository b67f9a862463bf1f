//! Tokens of `local`, and what takes them.

use crate::newcomer::{Checkout, started};
use axum::response::IntoResponse;
use hyper::Method;
use serde_json::{Value, json};
use shared::{
    callers::{Caller, Callers, Kind},
    config::Env,
    deadline::Deadline,
    problem::Problem,
};
use std::{
    collections::HashSet,
    fs::File,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};
use testing::{Binary, Client, Process};

/// What a command prints: one line.
fn line(checkout: &Checkout, arguments: &[&str]) -> String {
    let output = checkout.local().run(arguments);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(
        (output.status.code(), printed.lines().count()),
        (Some(0), 1),
        "{output:?}"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
    printed.trim_end().to_owned()
}

fn refused(checkout: &Checkout, arguments: &[&str]) -> String {
    let output = checkout.local().run(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A function by itself, with this setting.
async fn verify(issuers: &str, token: &str) -> Result<Caller, Problem> {
    let issuers = issuers.to_owned();
    let env = Env::new(move |key| (key == "TOKEN_ISSUERS").then(|| issuers.clone()));
    let callers = Callers::from_env(&env);
    assert_eq!(env.take_invalid(), []);
    callers.verify(token, &Deadline::default()).await
}

fn settings(checkout: &Checkout) -> String {
    let line = line(checkout, &["token", "--settings"]);
    line.strip_prefix("TOKEN_ISSUERS=").unwrap().to_owned()
}

#[tokio::test]
async fn a_function_by_itself_takes_a_token_by_the_settings_and_no_token_of_another_checkout() {
    let (checkout, other) = (Checkout::new("token"), Checkout::new("token-other"));
    let issuers = settings(&checkout);
    assert!(!issuers.contains(char::is_whitespace), "a shell splits {issuers}");
    let scope = "streams:read:cases/ streams:write:cases/42/";
    let token = line(
        &checkout,
        &[
            "token",
            "--sub",
            "alice",
            "--scope",
            scope,
            "--email",
            "alice@example.com",
        ],
    );
    let alice = verify(&issuers, &token).await.unwrap();
    assert_eq!(
        (alice.subject(), alice.email(), alice.kind()),
        ("alice", Some("alice@example.com"), Kind::User)
    );
    assert!(alice.may("streams:write", "cases/42/events") && !alice.may("streams:write", "cases/43/events"));
    let developer = verify(&issuers, &line(&checkout, &["token"])).await.unwrap();
    assert_eq!((developer.subject(), developer.scopes().count()), ("developer", 0));
    let service = line(&checkout, &["token", "--sub", "indexer", "--service"]);
    assert_eq!(verify(&issuers, &service).await.unwrap().kind(), Kind::Service);
    let foreign = verify(&issuers, &line(&other, &["token"])).await.err().unwrap();
    assert_eq!(foreign.into_response().status(), 401);
}

#[tokio::test]
async fn local_publishes_its_key_on_any_port_and_keeps_it_when_it_is_reset() {
    let checkout = Checkout::new("issuer");
    let token = line(&checkout, &["token"]);
    let server = checkout.start();
    let get = async |url: &str| Client::http1().get(url).await.json();
    let document: Value = get(&format!("{}/.well-known/openid-configuration", server.url)).await;
    let keys = document["jwks_uri"].as_str().unwrap();
    assert!(keys.starts_with(&server.url), "{document}");
    assert!(get(keys).await["keys"][0]["d"].is_null());
    let issuers = json!([{"issuer": document["issuer"], "audience": shared::BUNDLE, "jwks_url": keys}]).to_string();
    assert_eq!(verify(&issuers, &token).await.unwrap().subject(), "developer");
    drop(server);
    let key = checkout.0.join(".local/issuer.pk8");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = settings(&checkout);
    assert_eq!(checkout.local().run(&["reset"]).status.code(), Some(0));
    assert_eq!(settings(&checkout), before);
}

/// The path of a GET that asks for a caller, as the API document has it. None where every such function was removed.
fn for_callers() -> Option<String> {
    let document: Value = serde_json::from_str(&local::openapi::document()).unwrap();
    let mut paths = document["paths"].as_object().unwrap().iter();
    let (path, _) = paths.find(|(_, item)| item["get"]["security"].is_array())?;
    let segments = path
        .split('/')
        .map(|segment| if segment.starts_with('{') { "1" } else { segment });
    Some(segments.collect::<Vec<_>>().join("/"))
}

#[tokio::test]
async fn a_page_has_its_token_in_a_cookie_whose_name_the_environment_may_change() {
    let Some(path) = for_callers() else { return };
    let checkout = Checkout::new("cookie");
    let token = line(&checkout, &["token"]);
    let is_missing = async |server: &Process, name: &str| {
        let (url, cookie) = (format!("{}{path}", server.url), format!("{name}={token}"));
        let headers = [("cookie", &*cookie)];
        let answer = Client::http1()
            .exchange(Method::GET, &url, &headers, String::new().into())
            .await;
        answer.transcript().contains("/problems/token-missing")
    };
    let (default, renamed) = (
        checkout.start(),
        started(&checkout.local().with("TOKEN_COOKIE", "__Host-session")),
    );
    for (server, taken, other) in [
        (&default, "__Host-token", "__Host-session"),
        (&renamed, "__Host-session", "__Host-token"),
    ] {
        assert!(is_missing(server, other).await, "{other}");
        assert!(!is_missing(server, taken).await, "{taken}");
    }
    let refused = checkout.local().with("TOKEN_COOKIE", "session").run(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(78) && said.contains("TOKEN_COOKIE must be"),
        "{said}"
    );
}

#[test]
fn issuers_of_the_environment_that_are_no_array_are_refused_before_anything_starts() {
    let checkout = Checkout::new("issuers");
    let local = checkout.local().with("TOKEN_ISSUERS", "https://hunter2.example");
    for arguments in [&["token", "--settings"][..], &[]] {
        let output = local.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("TOKEN_ISSUERS must be"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!checkout.0.join(".local/postgres").exists());
}

#[test]
fn what_is_not_a_token_is_one_sentence() {
    let checkout = Checkout::new("no-token");
    for (arguments, why) in [
        (&["token", "alice"][..], "alice is unknown"),
        (
            &["token", "--ttl", "25h"],
            "--ttl must be a duration between 1s and 24h",
        ),
        (&["token", "--scope", &"a".repeat(8192)], "functions read 8192"),
    ] {
        let sentence = refused(&checkout, arguments);
        assert!(sentence.starts_with("local: ") && sentence.contains(why), "{sentence}");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
    }
}

/// What a shell passes on of the settings, as README has it.
fn inserted(local: &Binary, shell: &str) -> String {
    let script = r#"set -e; line=$("$0" token --settings); env $line printenv TOKEN_ISSUERS"#;
    let output = local.clone().under(&[shell, "-c", script]).run(&[]);
    assert!(output.status.success(), "{shell}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shell_inserts_the_settings_also_beside_an_issuer_with_spaces() {
    let checkout = Checkout::new("spaces");
    let theirs = json!({"issuer": "https://a.example", "audience": "my  app\tα", "algorithms": ["RS256"]});
    let local = checkout.local().with("TOKEN_ISSUERS", json!([theirs]).to_string());
    for shell in ["sh", "bash"] {
        let issuers: Vec<Value> = serde_json::from_str(&inserted(&local, shell)).unwrap();
        assert_eq!((issuers.len(), &issuers[0]), (2, &theirs), "{shell}");
    }
}

#[test]
fn a_key_that_another_process_has_locked_is_waited_for_and_then_named() {
    let checkout = Checkout::new("locked");
    line(&checkout, &["token"]);
    let key = File::open(checkout.0.join(".local/issuer.pk8")).unwrap();
    key.lock().unwrap();
    let start = Instant::now();
    let sentence = refused(&checkout, &["token"]);
    assert!(
        sentence.contains("issuer.pk8") && sentence.contains("another process has locked it"),
        "{sentence}"
    );
    assert!((1..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let unlock = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        key.unlock().unwrap();
    });
    line(&checkout, &["token"]);
    unlock.join().unwrap();
}

#[test]
#[ignore = "needs root; .ci/run runs it"]
fn as_root_the_key_of_another_user_is_refused_with_the_way_out() {
    let checkout = Checkout::new("issuer-other");
    line(&checkout, &["token"]);
    let key = checkout.0.join(".local/issuer.pk8");
    chown(&key, Some(54321), Some(54321)).unwrap();
    for arguments in [&["token"][..], &["token", "--settings"], &[]] {
        let sentence = refused(&checkout, arguments);
        assert!(
            sentence.contains("issuer.pk8 belongs to another user: delete it"),
            "{sentence}"
        );
    }
}

#[tokio::test]
#[ignore = "needs root; .ci/run runs it"]
async fn as_root_in_the_checkout_of_another_user_the_key_lies_where_that_user_cannot_change_it() {
    let checkout = Checkout::new("issuer-of-root");
    let folder = checkout.0.join(".local");
    std::fs::create_dir(&folder).unwrap();
    for owned in [&checkout.0, &folder] {
        chown(owned, Some(54321), Some(54321)).unwrap();
    }
    let before: HashSet<PathBuf> = keys_of_root().collect();
    let server = started(&checkout.local().with("STORAGE_URL", "memory:"));
    let token = line(&checkout, &["token"]);
    let verified = verify(&settings(&checkout), &token).await.unwrap();
    assert_eq!(verified.subject(), "developer");
    drop(server);
    assert!(!folder.join("issuer.pk8").exists());
    let new: Vec<PathBuf> = keys_of_root().filter(|key| !before.contains(key)).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    let found = new[0].metadata().unwrap();
    assert_eq!((found.uid(), found.permissions().mode() & 0o777), (0, 0o700));
    chown(&new[0], Some(54321), Some(54321)).unwrap();
    let sentence = refused(&checkout, &["token"]);
    assert!(sentence.contains("-issuer belongs to another user"), "{sentence}");
    std::fs::remove_dir_all(&new[0]).unwrap();
}

/// The folders of keys that root has for checkouts of other users.
fn keys_of_root() -> impl Iterator<Item = PathBuf> {
    let folders = std::fs::read_dir("/var/tmp").unwrap().flatten();
    let folders = folders.map(|folder| folder.path());
    folders.filter(|folder| {
        let name = folder.file_name().unwrap().to_string_lossy();
        name.starts_with(shared::BUNDLE) && name.ends_with("-issuer")
    })
}

#[test]
#[ignore = "needs root; .ci/run runs it"]
fn as_root_a_user_whose_folder_is_roots_hears_the_way_out() {
    let checkout = Checkout::new("issuer-roots");
    line(&checkout, &["token"]);
    // The program must be where this user can execute it.
    let program = checkout.0.join("local");
    std::fs::copy(env!("CARGO_BIN_EXE_local"), &program).unwrap();
    let mut user = std::process::Command::new(program);
    let user = user
        .arg("token")
        .uid(54321)
        .gid(54321)
        .env("CARGO_MANIFEST_DIR", checkout.0.join("functions/local"));
    let output = user.output().unwrap();
    let sentence = String::from_utf8(output.stderr).unwrap();
    let chown = format!("`chown -R USER '{}'`", checkout.0.join(".local").display());
    assert!(
        output.status.code() == Some(1) && sentence.contains(&chown),
        "{sentence}"
    );
}
