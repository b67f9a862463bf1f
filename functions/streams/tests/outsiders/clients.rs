//! Clients that others wrote, each over 30 cuts of its connection, wherever they come: it has every message, once, in order.

use crate::{cutter::Cutter, front, migrated, packages};
use hyper::Method;
use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use testing::{Client, Process};

/// How many messages a stream has at least, and at most: it goes on until all cuts have come. The last one is -1, and closes it.
const MESSAGES: std::ops::Range<i64> = 600..2400;
const CUTS: usize = 30;
const JSON: (&str, &str) = ("content-type", "application/json");

/// Appends the messages, some at once, so that pages differ. Returns how many there are.
async fn write(url: &str, cutter: &Cutter) -> i64 {
    let client = Client::http1();
    let mut number = 0;
    while number < MESSAGES.start || (number < MESSAGES.end && cutter.cuts() < CUTS) {
        let batch: Vec<String> = (number..=number + number % 4)
            .map(|number| number.to_string())
            .collect();
        number += i64::try_from(batch.len()).unwrap();
        let body = format!("[{}]", batch.join(","));
        let appended = client.exchange(Method::POST, url, &[JSON], body.into()).await;
        assert_eq!(appended.status, 204, "{}", appended.transcript());
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let closed = client
        .exchange(Method::POST, url, &[JSON, ("stream-closed", "true")], "-1".into())
        .await;
    assert_eq!(closed.status, 204, "{}", closed.transcript());
    number
}

/// A server, the URL of what adds a token to its requests, and the path of a new stream.
async fn stream(name: &str) -> (Process, String, String) {
    let server = migrated().await.with("SSE_HEARTBEAT_INTERVAL", "1s").serve();
    let url = front::balance(vec![server.url.clone()]).await;
    let path = format!("/v1/stream/clients/{name}");
    let created = Client::http1()
        .exchange(Method::PUT, &format!("{url}{path}"), &[JSON], "".into())
        .await;
    assert_eq!(created.status, 201, "{}", created.transcript());
    (server, url, path)
}

/// What a client prints that reads through cuts, against what was written meanwhile.
async fn assert_exact(name: &str, folder: &Path, program: &'static [&'static str], live: &str) {
    let (_server, url, path) = stream(name).await;
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let cutter = Cutter::start(port, CUTS).await;
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).current_dir(folder).stderr(Stdio::inherit());
    command.env("URL", format!("{}{path}", cutter.url)).env("LIVE", live);
    let client = tokio::task::spawn_blocking(move || command.output().unwrap());
    let count = write(&format!("{url}{path}"), &cutter).await;
    let output = tokio::time::timeout(Duration::from_secs(100), client).await;
    let output = output.expect("the client comes to the end").unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<i64> = printed.lines().map(|line| line.parse().unwrap()).collect();
    let written: Vec<i64> = (0..count).chain([-1]).collect();
    assert_eq!(printed, written);
    assert!(
        cutter.cuts() >= CUTS,
        "{} of the cuts that were to be survived",
        cutter.cuts()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn the_client_of_the_authors_is_exact_over_cuts_of_its_event_stream() {
    assert_exact("npm-sse", packages::npm().await, &["node", "client.js"], "sse").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn the_client_of_the_authors_is_exact_over_cuts_of_its_long_polls() {
    assert_exact("npm-poll", packages::npm().await, &["node", "client.js"], "long-poll").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn eventsource_is_exact_over_cuts_without_a_line_about_offsets() {
    assert_exact("eventsource", packages::npm().await, &["node", "eventsource.js"], "sse").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "pip"]
async fn the_python_client_of_the_authors_is_exact_over_cuts_of_its_long_polls() {
    assert_exact(
        "python-poll",
        packages::pip().await,
        &["venv/bin/python", "client.py"],
        "long-poll",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "pip"]
async fn the_python_client_of_the_authors_is_exact_over_cuts_of_its_event_stream() {
    assert_exact(
        "python-sse",
        packages::pip().await,
        &["venv/bin/python", "client.py"],
        "sse",
    )
    .await;
}
