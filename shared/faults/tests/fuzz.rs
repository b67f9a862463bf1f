//! Input that nobody would write: for the framing of streams, for keys, for settings, for Lambda events.

#![allow(clippy::unwrap_used)]

use proptest::{
    collection::{hash_map, vec},
    prelude::*,
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::Value;
use shared::{
    config::{self, Env},
    sse::Event,
    storage::{InvalidKey, Key},
    testing::{EventShape, FakeRuntimeApi, Function},
};
use std::time::Duration;

/// Text with more of what breaks things than chance would have it.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("\0"),
        Just("data: "),
        Just("id"),
        Just(":"),
        Just("/"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("\u{feff}"),
        Just("\u{2028}"),
    ]
    .prop_map(str::to_owned);
    vec(prop_oneof![piece, any::<String>()], 0..8).prop_map(|pieces| pieces.concat())
}

/// What a client makes of a stream, as the HTML standard has it: id, event and data of each event.
fn interpreted(stream: &str) -> Vec<(Option<String>, Option<String>, String)> {
    let (mut events, mut id, mut event, mut data) = (Vec::new(), None, None, None::<String>);
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    for line in stream.replace("\r\n", "\n").split(['\n', '\r']) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" if line.is_empty() => {
                if let Some(data) = data.take() {
                    events.push((id.clone(), event.take(), data));
                }
                event = None;
            }
            "id" if !value.contains('\0') => id = Some(value),
            "event" => event = Some(value),
            "data" => data = Some(data.map_or_else(|| value.clone(), |data| data + "\n" + &value)),
            _ => {}
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_of_any_text_is_one_event_with_that_text(
        id in proptest::option::of(hostile()),
        event in proptest::option::of(hostile()),
        data in hostile(),
    ) {
        let encoded = Event { id: id.as_deref(), event: event.as_deref(), data: &data }.encode();
        let seen = interpreted(&encoded);
        prop_assert_eq!(seen.len(), 1, "{:?}", encoded);
        let line = |text: Option<String>| text.map(|text| text.replace(['\r', '\n', '\0'], ""));
        let lines = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(&seen[0], &(line(id), line(event), lines));
    }

    #[test]
    fn a_text_is_a_key_that_stays_as_it_is_or_is_refused_for_a_reason_it_has(text in hostile()) {
        match text.parse::<Key>() {
            Ok(key) => {
                prop_assert_eq!(key.as_str(), &text);
                prop_assert!((1..=1024).contains(&text.len()));
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert!(text.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
            }
            Err(InvalidKey::Length) => prop_assert!(text.is_empty() || text.len() > 1024),
            Err(InvalidKey::Control) => prop_assert!(text.chars().any(char::is_control)),
            Err(InvalidKey::EmptySegment) => {
                prop_assert!(text.starts_with('/') || text.ends_with('/') || text.contains("//"));
            }
            Err(InvalidKey::DotSegment) => prop_assert!(text.contains('.')),
            Err(InvalidKey::Reserved) => prop_assert!(text.starts_with(".pilotlight")),
        }
    }

    #[test]
    fn settings_of_any_text_are_read_or_named_and_nothing_panics(
        values in hash_map(prop_oneof![
            Just("HEALTH_TIMEOUT"), Just("HEALTH_CACHE"), Just("SSE_MAX_AGE"), Just("SSE_HEARTBEAT_INTERVAL"),
            Just("DATABASE_URL"), Just("DATABASE_MAX_CONNECTIONS"), Just("STORAGE_URL"), Just("GCS_BUCKET"),
            Just("S3_BUCKET"), Just("STORAGE_TIMEOUT"), Just("MIGRATE_LOCK_TIMEOUT"), Just("MIGRATE_WAIT"),
        ], prop_oneof![
            hostile(),
            hostile().prop_map(|rest| format!("postgresql://{rest}")),
            hostile().prop_map(|rest| format!("gs://{rest}")),
            (any::<u64>(), prop_oneof![Just("ms"), Just("s"), Just("m"), Just("h"), Just("")])
                .prop_map(|(number, unit)| format!("{number}{unit}")),
        ], 0..6)
    ) {
        let given = values.clone();
        let env = Env::new(move |key| given.get(key).cloned());
        let health = config::Health::from_env(&env);
        let stream = config::Stream::from_env(&env);
        let migrate = config::Migrate::from_env(&env);
        let storage = config::Storage::from_env(&env);
        let day = Duration::from_secs(24 * 60 * 60);
        for duration in [health.timeout, health.cache, stream.heartbeat, stream.max_age, migrate.wait, storage.timeout] {
            prop_assert!(duration > Duration::ZERO && duration <= day);
        }
        // Taken as far as it goes without a server.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let _ = shared::database::Database::connect_lazy(config::Database::from_env(&env)).pool();
        for invalid in env.invalid() {
            let said = invalid.to_string();
            prop_assert!(values.contains_key(invalid.key), "{}", said);
        }
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        hostile().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            hash_map(hostile(), inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Puts `value` in the place of the node that `at` counts to.
fn replace(node: &mut Value, at: &mut usize, value: &Value) {
    if *at == 0 {
        *node = value.clone();
    }
    *at = at.wrapping_sub(1);
    match node {
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, at, value)),
        Value::Array(values) => values.iter_mut().for_each(|member| replace(member, at, value)),
        _ => {}
    }
}

#[tokio::test]
async fn an_event_of_any_shape_is_answered_and_the_next_one_too() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = Function::new(env!("CARGO_BIN_EXE_faults-health"))
        .with("RUST_LOG", "off")
        .on_lambda(&api);
    let good = EventShape::FunctionUrl.event("GET", "/health", &[]);
    let mut runner = TestRunner::default();
    let (mut answered, mut refused) = (0, 0);
    for round in 0..1000 {
        let mut draw = |strategy: BoxedStrategy<Value>| strategy.new_tree(&mut runner).unwrap().current();
        let value = draw(json().boxed());
        let event = if round % 4 == 0 {
            value
        } else {
            let shapes = EventShape::ALL;
            let mut event = shapes[round % shapes.len()].event("GET", "/health", &[("accept", "*/*")]);
            replace(&mut event, &mut (round / 4 % 60), &value);
            event
        };
        let mut posted = api.invoke(&event, Duration::from_secs(30)).await;
        if posted.error {
            let error: Value = serde_json::from_slice(&posted.rest().await).unwrap();
            assert_eq!(error["errorType"], "UnsupportedEvent", "{event}");
            refused += 1;
        } else {
            let status = posted.exchange().await.status.as_u16();
            assert!([200, 400, 404, 405].contains(&status), "{status}: {event}");
            answered += 1;
        }
        assert!(lambda.is_running(), "{event}");
    }
    assert!(answered > 100 && refused > 100, "{answered} {refused}");
    assert!(!lambda.log().contains("panicked"), "{}", lambda.log());
    assert_eq!(api.exchange(&good).await.status, 200);
}

/// What a client has in its hand.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
    base64: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), "[A-Z]{1,8}", hostile()];
    let path = prop_oneof![
        Just("/health".to_owned()),
        hostile().prop_map(|rest| format!("/health{rest}")),
        hostile().prop_map(|rest| format!("/{rest}")),
        hostile(),
    ];
    let query = prop_oneof![
        Just(String::new()),
        Just("a=\"".to_owned()),
        Just("<".to_owned()),
        Just(">".to_owned()),
        "[!-~]{0,20}",
        hostile(),
    ];
    let name = prop_oneof![
        Just("host".to_owned()),
        Just("x-forwarded-proto".to_owned()),
        Just("accept".to_owned()),
        Just("x-request-id".to_owned()),
        Just("traceparent".to_owned()),
        Just("cookie".to_owned()),
        hostile(),
    ];
    let value = prop_oneof![
        Just("a^b".to_owned()),
        Just("x:99999".to_owned()),
        Just("[::1".to_owned()),
        Just("https,http".to_owned()),
        "[ -~]{0,20}",
        hostile(),
    ];
    let body = prop_oneof![Just(String::new()), Just("YQ==".to_owned()), hostile()];
    (method, path, query, vec((name, value), 0..3), body, any::<bool>()).prop_map(
        |(method, path, query, headers, body, base64)| Sent {
            method,
            path,
            query,
            headers,
            body,
            base64,
        },
    )
}

impl Sent {
    /// As the origin hands it on: REST APIs decode the query, the others do not.
    fn event(&self, shape: EventShape) -> Value {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut event = shape.event(&self.method, "", &headers);
        let path = event["rawPath"].as_str().map(|stage| format!("{stage}{}", self.path));
        match path {
            Some(path) => {
                event["rawPath"] = path.into();
                event["rawQueryString"] = self.query.clone().into();
            }
            None => {
                event["path"] = self.path.clone().into();
                event["queryStringParameters"] = Value::Object([(self.query.clone(), "".into())].into_iter().collect());
            }
        }
        event["body"] = self.body.clone().into();
        event["isBase64Encoded"] = self.base64.into();
        event
    }

    /// As bytes, unless there is something in it that would end a line, or ask for more than an answer.
    fn http(&self) -> Option<Vec<u8>> {
        let mut text = format!(
            "{} {}?{} HTTP/1.1\r\nconnection: close\r\n",
            self.method, self.path, self.query
        );
        for (name, value) in &self.headers {
            if [
                "",
                "connection",
                "content-length",
                "expect",
                "transfer-encoding",
                "upgrade",
            ]
            .contains(&name.as_str())
            {
                return None;
            }
            text += &format!("{name}: {value}\r\n");
        }
        if !self.headers.iter().any(|(name, _)| name == "host") {
            text += "host: x\r\n";
        }
        let lines = 3 + self.headers.len() - usize::from(self.headers.iter().any(|(name, _)| name == "host"));
        let is_plain = !self.base64 && text.split(['\r', '\n']).filter(|line| !line.is_empty()).count() == lines;
        let target = format!("{}{}", self.method, self.path);
        let encoded = target
            .chars()
            .all(|character| character.is_ascii_graphic() && character != '?' && character != '#');
        (is_plain && encoded)
            .then(|| format!("{text}content-length: {}\r\n\r\n{}", self.body.len(), self.body).into_bytes())
    }
}

/// The status that the server answers such bytes with.
fn status(address: &str, request: &[u8]) -> u16 {
    use std::io::{Read, Write};
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    // A server that refuses a head need not read what follows.
    let _ = connection.write_all(request);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    status.unwrap_or_else(|| panic!("no answer to {:?}: {answer}", String::from_utf8_lossy(request)))
}

#[tokio::test]
async fn whatever_a_client_sends_lambda_answers_as_the_server_does_or_with_400() {
    let function = Function::new(env!("CARGO_BIN_EXE_faults-health")).with("RUST_LOG", "error");
    let api = FakeRuntimeApi::start().await;
    let lambda = function.on_lambda(&api);
    let server = function.clone().with("RUST_LOG", "info").serve();
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut runner = TestRunner::default();
    let (mut compared, mut by_status) = (0, std::collections::BTreeMap::new());
    for round in 0..1000 {
        let sent = sent().new_tree(&mut runner).unwrap().current();
        let shape = EventShape::ALL[round % EventShape::ALL.len()];
        let answer = api.exchange(&sent.event(shape)).await;
        let code = answer.status.as_u16();
        *by_status.entry(code).or_insert(0) += 1;
        assert!([200, 400, 404, 405].contains(&code), "{sent:?}: {}", answer.text());
        let expected = if code == 200 {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(answer.headers["content-type"], expected, "{sent:?}");
        if let Some(request) = sent.http() {
            let by_server = status(&address, &request);
            assert!(
                code == 400 || code == by_server || by_server == 400,
                "{code}, {by_server}: {sent:?}"
            );
            compared += 1;
        }
    }
    assert!(compared > 50 && by_status.len() >= 4, "{compared}: {by_status:?}");
    assert!(!lambda.log().contains("panicked"), "{}", lambda.log());
}
