//! Downloads: ranges in every life, and sources, clients and processes that fail in the middle.

use super::answers::{clogged, is_whole, raw};
use http_body_util::BodyExt;
use hyper::{Method, body::Incoming};
use shared::storage::{Put, Storage};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use testing::{Binary, Client, EventShape, Exchange, FakeRuntimeApi, Process};
use tokio::time::timeout;

fn buffered() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
}

fn streamed() -> Binary {
    buffered().with("STREAMED", "1")
}

/// A function in each of its lives that answer.
struct Lives {
    server: Process,
    clients: [Client; 2],
    lambdas: Vec<(FakeRuntimeApi, Process)>,
}

impl Lives {
    async fn of(settings: &[(&str, &str)]) -> Self {
        let mut lambdas = Vec::new();
        for function in [buffered(), streamed()] {
            let api = FakeRuntimeApi::start().await;
            let lambda = function.with_all(settings).on_lambda(&api);
            lambdas.push((api, lambda));
        }
        Self {
            server: buffered().with_all(settings).serve(),
            clients: [Client::http1(), Client::h2c()],
            lambdas,
        }
    }

    async fn answers(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> Vec<Exchange> {
        let url = format!("{}{path}", self.server.url);
        let mut answers = Vec::new();
        for client in &self.clients {
            answers.push(client.send(method.clone(), &url, headers).await);
        }
        for (api, _) in &self.lambdas {
            for shape in EventShape::ALL {
                answers.push(api.exchange(&shape.event(method.as_str(), path, headers)).await);
            }
        }
        answers
    }
}

fn header<'a>(answer: &'a Exchange, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn bytes_are_answered_whole_or_in_the_range_that_was_asked_for_in_every_life() {
    let lives = Lives::of(&[]).await;
    let all: Vec<u8> = (0..=255).collect();
    let stale = ("if-range", "\"v0\"");
    let current = ("if-range", "\"v1\"");
    for (headers, status, bytes, range) in [
        (vec![("range", "bytes=256-")], 416, None, Some("bytes */256")),
        (vec![], 200, Some(0..256), None),
        (
            vec![("range", "bytes=128-131")],
            206,
            Some(128..132),
            Some("bytes 128-131/256"),
        ),
        (
            vec![("range", "bytes=250-999")],
            206,
            Some(250..256),
            Some("bytes 250-255/256"),
        ),
        (
            vec![("range", "bytes=-2")],
            206,
            Some(254..256),
            Some("bytes 254-255/256"),
        ),
        (
            vec![("range", "bytes=1-2"), current],
            206,
            Some(1..3),
            Some("bytes 1-2/256"),
        ),
        (vec![("range", "bytes=1-2"), stale], 200, Some(0..256), None),
        (vec![("range", "bytes=0-0,5-6")], 200, Some(0..256), None),
        (vec![("range", "lines=1-2")], 200, Some(0..256), None),
        (vec![("if-none-match", "\"v1\"")], 304, Some(0..0), None),
        (
            vec![("range", "bytes=1-2"), ("if-match", "\"v1\"")],
            206,
            Some(1..3),
            Some("bytes 1-2/256"),
        ),
        (vec![("range", "bytes=1-2"), ("if-match", "\"v0\"")], 412, None, None),
    ] {
        for answer in lives.answers(&Method::GET, "/downloads/picture", &headers).await {
            assert_eq!(answer.status, status, "{headers:?}");
            assert_eq!(header(&answer, "content-range"), range, "{headers:?}");
            match bytes.clone() {
                Some(bytes) => assert_eq!(answer.body, all[bytes], "{headers:?}"),
                None if status == 412 => assert_eq!(answer.json()["type"], "/problems/precondition-failed"),
                None => assert_eq!(answer.json()["type"], "/problems/range-not-satisfiable"),
            }
            if status < 300 {
                assert_eq!(header(&answer, "accept-ranges"), Some("bytes"));
                assert_eq!(header(&answer, "content-type"), Some("image/png"));
                let disposition = "attachment; filename=\"Bild ___.png\"; filename*=UTF-8''Bild%20%22%C3%84%22.png";
                assert_eq!(header(&answer, "content-disposition"), Some(disposition));
            }
            if status == 304 {
                assert_eq!(header(&answer, "content-length"), None);
            }
            if status < 400 {
                assert_eq!(header(&answer, "etag"), Some("\"v1\""));
            }
        }
        // HEAD has no ranges (RFC 9110, section 14.2), and the length of all the content.
        let url = format!("{}/downloads/picture", lives.server.url);
        for client in &lives.clients {
            let head = client.send(Method::HEAD, &url, &headers).await;
            let length = header(&head, "content-length");
            match status {
                304 => assert_eq!((head.status.as_u16(), length), (304, None), "{headers:?}"),
                412 => assert_eq!(head.status, 412, "{headers:?}"),
                _ => assert_eq!((head.status.as_u16(), length), (200, Some("256")), "{headers:?}"),
            }
            assert!(head.body.is_empty());
        }
    }
}

/// A folder as the bucket, with one object.
async fn stored(content: &str) -> (tempfile::TempDir, String, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let setting = url.clone();
    let env = shared::config::Env::new(move |key| (key == "STORAGE_URL").then(|| setting.clone()));
    let storage = Storage::from_env(&env);
    put(&storage, content).await;
    (folder, url, storage)
}

async fn put(storage: &Storage, content: &str) {
    let put = Put {
        overwrite: true,
        content_type: Some("text/plain".to_owned()),
        ..Put::default()
    };
    storage
        .put(&"file".parse().unwrap(), content.to_owned().into(), &put)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stored_object_is_continued_where_it_broke_off_unless_it_was_replaced() {
    let (old, new) = ("old ".repeat(1000), "new".repeat(1000));
    let (_folder, url, storage) = stored(&old).await;
    let lives = Lives::of(&[("STORAGE_URL", &url)]).await;
    let mut etags = Vec::new();
    for answer in lives.answers(&Method::GET, "/downloads/object", &[]).await {
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, old.as_bytes()));
        assert_eq!(header(&answer, "content-type"), Some("text/plain"));
        etags.push(header(&answer, "etag").unwrap().to_owned());
    }
    etags.dedup();
    let [etag] = &etags[..] else { panic!("{etags:?}") };
    let rest = [("range", "bytes=1500-"), ("if-range", etag.as_str())];
    let same = [("range", "bytes=1500-"), ("if-match", etag.as_str())];
    for headers in [rest, same] {
        for answer in lives.answers(&Method::GET, "/downloads/object", &headers).await {
            assert_eq!(
                (answer.status.as_u16(), &answer.body[..]),
                (206, &old.as_bytes()[1500..])
            );
        }
    }
    let head = lives.answers(&Method::HEAD, "/downloads/object", &[]).await;
    assert!(
        head.iter()
            .all(|head| head.body.is_empty() && header(head, "content-length") == Some("4000"))
    );
    put(&storage, &new).await;
    for answer in lives.answers(&Method::GET, "/downloads/object", &rest).await {
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, new.as_bytes()));
    }
    for headers in [&same[..], &same[1..]] {
        for answer in lives.answers(&Method::GET, "/downloads/object", headers).await {
            assert_eq!(answer.status, 412, "{headers:?}");
        }
    }
    let beyond = [("range", "bytes=3000-")];
    for answer in lives.answers(&Method::GET, "/downloads/object", &beyond).await {
        assert_eq!(answer.status, 416);
        assert_eq!(header(&answer, "content-range"), Some("bytes */3000"));
    }
}

#[tokio::test]
#[ignore = "needs curl; .ci/run installs it"]
async fn curl_continues_a_download_where_it_broke_off() {
    let content = "0123456789".repeat(1000);
    let (folder, storage, _) = stored(&content).await;
    let server = buffered().with("STORAGE_URL", storage).serve();
    let file = folder.path().join("continued");
    for arrived in [0, 1, 1500, 9999, 10_000] {
        std::fs::write(&file, &content[..arrived]).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--continue-at", "-", "--output"]);
        let curl = curl
            .arg(&file)
            .arg(format!("{}/downloads/object", server.url))
            .output()
            .unwrap();
        // Of a whole file there is no rest: 416, which curl takes for the end, or names.
        assert!(curl.status.success() || arrived == content.len(), "{arrived}: {curl:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content, "{arrived}");
    }
}

#[tokio::test]
async fn an_object_that_is_missing_is_404_and_a_bucket_that_is_missing_says_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    for (settings, status) in [(vec![], 500), (vec![("STORAGE_URL", url.as_str())], 404)] {
        let lives = Lives::of(&settings).await;
        for headers in [vec![], vec![("range", "bytes=0-1")]] {
            for answer in lives.answers(&Method::GET, "/downloads/object", &headers).await {
                assert_eq!(answer.status, status);
                assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
                assert!(!answer.transcript().contains("file://"), "{}", answer.transcript());
            }
        }
    }
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_whole_in_every_life() {
    let lives = Lives::of(&[]).await;
    for answer in lives
        .answers(&Method::GET, "/downloads/report", &[("range", "bytes=0-1")])
        .await
    {
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"a,b\n1,2\n"[..]));
        assert_eq!(header(&answer, "accept-ranges"), Some("none"));
    }
}

#[tokio::test]
async fn a_download_that_fails_is_never_taken_for_whole_in_any_life() {
    let path = "/downloads/fails";
    for mut server in [buffered().serve(), streamed().serve()] {
        for version in ["1.1", "1.0"] {
            for path in [path, "/downloads/hides"] {
                let (answer, reset) = raw(&server, path, version, "");
                assert!(!is_whole(&answer, reset), "{path}: {answer}");
            }
            let (answer, reset) = raw(&server, "/downloads/hides-all", version, "connection: close\r\n");
            assert!(is_whole(&answer, reset), "the control: {answer}");
        }
        let error = Client::h2c()
            .try_get(&format!("{}{path}", server.url))
            .await
            .expect_err(path);
        assert!(error.contains("INTERNAL_ERROR"), "{error}");
        let line = server.next_line("an answer broke off").await;
        assert!(
            line.contains("it broke") && line.contains("\"request_id\":\"mine\""),
            "{line}"
        );
    }
    let event = EventShape::FunctionUrl.event("GET", path, &[]);
    let api = FakeRuntimeApi::start().await;
    let _lambda = streamed().on_lambda(&api);
    let mut posted = api.invoke(&event, Duration::from_secs(9)).await;
    assert!(posted.rest().await.ends_with(b"\0first"));
    assert_eq!(posted.stream_error().unwrap()["errorType"], "BrokenBody");
    let api = FakeRuntimeApi::start().await;
    let _lambda = buffered().on_lambda(&api);
    assert_eq!(api.exchange(&event).await.status, 500);
}

#[tokio::test]
async fn on_lambda_a_download_that_does_not_end_fails_before_the_deadline_and_within_its_memory() {
    let path = "/downloads/slow";
    let event = EventShape::FunctionUrl.event("GET", path, &[]);
    let start = Instant::now();
    let api = FakeRuntimeApi::start().await;
    let mut lambda = streamed().on_lambda(&api);
    let mut posted = api.invoke(&event, Duration::from_secs(4)).await;
    assert!(posted.rest().await.ends_with(b"xxxxxxxxxx"));
    assert_eq!(posted.stream_error().unwrap()["errorType"], "BrokenBody");
    let time = start.elapsed().as_millis();
    assert!((2500..3900).contains(&time), "{time} ms");
    lambda.next_line("did not end before the deadline").await;
    let api = FakeRuntimeApi::start().await;
    let lambda = buffered().on_lambda(&api);
    let start = Instant::now();
    let answer = api.invoke(&event, Duration::from_secs(4)).await.exchange().await;
    assert_eq!(answer.status, 500);
    assert!(start.elapsed() < Duration::from_millis(3900), "{:?}", start.elapsed());
    // It never ends, and is refused at its limit.
    let before = lambda.resident_kib();
    let start = Instant::now();
    for path in ["/downloads/eager", "/endless"] {
        let event = EventShape::FunctionUrl.event("GET", path, &[]);
        let answer = api.invoke(&event, Duration::from_secs(3)).await.exchange().await;
        assert_eq!(answer.status, 500, "{path}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let grown = lambda.grown_kib(before);
    assert!(grown < 20 << 10, "{grown} KiB");
}

#[tokio::test]
async fn the_source_of_a_download_is_freed_when_its_client_leaves() {
    let mut server = buffered().serve();
    for client in [Client::http1(), Client::h2c()] {
        let url = format!("{}/downloads/slow", server.url);
        let mut content = client.open(Method::GET, &url, &[]).await.into_body();
        content.frame().await.unwrap().unwrap();
        drop((content, client));
        let left = Instant::now();
        server.next_line("\"source\":\"slow\"").await;
        assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_one_that_pauses_is_not() {
    let mut server = buffered().serve();
    let url = format!("{}/downloads/eager", server.url);
    let (idle, before) = (server.sockets(), server.resident_kib());
    let start = Instant::now();
    let clogged: Vec<_> = (0..20).map(|_| clogged(&server, "/downloads/eager")).collect();
    let without_window = Client::h2c_without_window();
    let mut stalled = without_window.open(Method::GET, &url, &[]).await.into_body();
    let patient = Client::h2c();
    let mut paused = patient.open(Method::GET, &url, &[]).await.into_body();
    paused.frame().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    for _ in 0..100 {
        paused.frame().await.unwrap().expect("a pause is no end");
    }
    drop((paused, patient));
    server.next_line("\"source\":\"eager\"").await;
    let grown = server.grown_kib(before);
    assert!(
        grown < 16 << 10,
        "{grown} KiB for {} clients that take nothing",
        clogged.len()
    );
    assert!(server.sockets() > idle + clogged.len(), "cut off too early");
    let end = timeout(Duration::from_secs(15), stalled.frame()).await.expect("an end");
    assert!(
        end.is_some_and(|frame| frame.is_err()),
        "the client had window after all"
    );
    let time = start.elapsed().as_secs();
    assert!((14..20).contains(&time), "{time} s");
    while server.sockets() > idle + 1 {
        assert!(
            start.elapsed() < Duration::from_secs(40),
            "clients that take nothing are never cut off"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The connection lives on.
    let begun = without_window.open(Method::GET, &url, &[]).await;
    assert_eq!((begun.status().as_u16(), server.sockets()), (200, idle + 1));
}

#[tokio::test]
async fn at_a_signal_a_download_may_end_within_the_drain_and_one_that_cannot_breaks() {
    let mut server = buffered().serve();
    let url = format!("{}/downloads/slow", server.url);
    let begin = async |client: &Client| {
        let mut content = client.open(Method::GET, &url, &[]).await.into_body();
        content.frame().await.unwrap().unwrap();
        content
    };
    let end = |content: Incoming| tokio::spawn(content.collect());
    let clients = [Client::http1(), Client::h2c(), Client::http1(), Client::h2c()];
    let early = [begin(&clients[0]).await, begin(&clients[1]).await].map(end);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let late = [begin(&clients[2]).await, begin(&clients[3]).await].map(end);
    server.signal("TERM");
    for content in early {
        assert_eq!(content.await.unwrap().expect("a whole answer").to_bytes().len(), 99);
    }
    for content in late {
        assert!(content.await.unwrap().is_err(), "taken for whole");
    }
    assert_eq!(server.exit_code(Duration::from_secs(3)), Some(0));
    assert!(server.log().contains("connections cut"), "{}", server.log());
}
