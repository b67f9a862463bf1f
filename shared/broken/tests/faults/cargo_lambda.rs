//! The syntax of the route table, as `cargo lambda watch` reads it.

use hyper::Method;
use std::fs;
use testing::{Binary, Client, Process, free_port, wait_for_port};

const MANIFEST: &str = r#"
[package]
name = "reader"
version = "0.1.0"

[workspace.metadata.lambda.watch.router]
"/greetings/{id}" = [{ method = "GET", function = "reader" }, { method = "POST", function = "writer" }]
"/size" = "writer"
"#;

/// `cargo lambda watch` with this route table, on a port. The functions are started beside it.
fn watched(manifest: &str) -> (Process, u16, tempfile::TempDir) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), "fn main() {}").unwrap();
    let path = folder.path().join("Cargo.toml");
    fs::write(&path, manifest).unwrap();
    let (port_text, path) = (port.to_string(), path.to_str().unwrap());
    let command = [
        "cargo-lambda",
        "lambda",
        "watch",
        "-A",
        "127.0.0.1",
        "-P",
        &port_text,
        "--manifest-path",
        path,
    ];
    let watch = Binary::new("--only-lambda-apis")
        .under(&command)
        .start("starting Runtime server");
    wait_for_port(port);
    (watch, port, folder)
}

#[tokio::test]
#[ignore = "needs cargo-lambda; .ci/run installs it"]
async fn the_functions_of_a_path_are_told_apart_by_the_method_and_parameters_arrive() {
    let (_watch, port, _folder) = watched(MANIFEST);
    // They end by themselves when the Runtime API is gone.
    let [mut reader, mut writer] = ["reader", "writer"].map(|name| {
        Binary::new(env!("CARGO_BIN_EXE_broken"))
            .with("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}/.rt/{name}"))
            .start_run(&[])
    });
    let url = format!("http://127.0.0.1:{port}");
    let read = Client::http1().get(&format!("{url}/greetings/7")).await;
    assert_eq!((read.status.as_u16(), &read.body[..]), (200, &b"7"[..]));
    // Only the writer is left.
    reader.kill().unwrap();
    reader.wait().unwrap();
    let send = async |method, path: &str, body: &'static str| {
        let headers = [("content-type", "application/json")];
        let answer = Client::http1()
            .open_with_body(method, &format!("{url}{path}"), &headers, body.into())
            .await;
        answer.status().as_u16()
    };
    assert_eq!(send(Method::POST, "/greetings/7", r#"{"name": "Ada"}"#).await, 200);
    assert_eq!(send(Method::POST, "/greetings/7", "{").await, 400);
    assert_eq!(send(Method::PUT, "/size", "1234").await, 200);
    writer.kill().unwrap();
    writer.wait().unwrap();
}
