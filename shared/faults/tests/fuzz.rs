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
            Err(InvalidKey::Blank) => prop_assert!(text.trim().is_empty()),
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
            Just("S3_BUCKET"), Just("AWS_ENDPOINT_URL_S3"), Just("STORAGE_EMULATOR_HOST"), Just("STORAGE_TIMEOUT"), Just("MIGRATE_LOCK_TIMEOUT"), Just("MIGRATE_WAIT"),
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
        posted.rest().await;
        assert!(lambda.is_running(), "{event}");
    }
    assert_eq!(api.exchange(&good).await.status, 200);
}
