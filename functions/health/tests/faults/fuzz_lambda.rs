//! Fuzzing on Lambda: malformed events, and malformed requests.

use proptest::{
    collection::{hash_map, vec},
    prelude::*,
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use testing::{Binary, EventShape, FakeRuntimeApi, hostile};

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
    let mut lambda = Binary::new(env!("CARGO_BIN_EXE_health"))
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

/// A request as its client writes it.
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
    /// The request as an event of its origin: REST APIs decode the query, the others do not.
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

    /// The request as HTTP/1.1; `None` if a part would end a line, or ask for more than an answer.
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
    let function = Binary::new(env!("CARGO_BIN_EXE_health")).with("RUST_LOG", "error");
    let api = FakeRuntimeApi::start().await;
    let lambda = function.on_lambda(&api);
    let server = function.clone().with("RUST_LOG", "info").serve();
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut runner = TestRunner::default();
    let (mut compared, mut by_status) = (0, BTreeMap::new());
    for round in 0..1000 {
        let sent = sent().new_tree(&mut runner).unwrap().current();
        let shape = EventShape::ALL[round % EventShape::ALL.len()];
        let answer = api.exchange(&sent.event(shape)).await;
        let code = answer.status.as_u16();
        *by_status.entry(code).or_insert(0) += 1;
        assert!(
            [200, 400, 404, 405].contains(&code),
            "{sent:?}: {}",
            answer.transcript()
        );
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
