//! Fuzzing of the framing of event streams, of keys and of settings.

#![allow(clippy::unwrap_used)]

use futures_util::FutureExt;
use proptest::{collection::hash_map, prelude::*};
use shared::{
    config::Env,
    database::{Database, MigratorSettings},
    deadline::Deadline,
    sse::Event,
    storage::{InvalidKey, Key},
};
use std::time::Duration;
use testing::hostile;

/// Parses a stream as the HTML standard says: id, event and data of each event.
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
        let start = Event::default();
        let start = id.as_ref().map_or(start.clone(), |id| start.id(id));
        let encoded = event.as_ref().map_or(start.clone(), |event| start.event(event)).data(&data).encode();
        let encoded = String::from_utf8(encoded.to_vec()).unwrap();
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
        let health = shared::health::Settings::from_env(&env);
        let stream = shared::sse::Settings::from_env(&env);
        let migrate = MigratorSettings::from_env(&env);
        let storage = shared::storage::Settings::from_env(&env);
        let day = Duration::from_secs(24 * 60 * 60);
        for duration in [health.timeout, health.cache, stream.heartbeat, stream.max_age, migrate.wait, storage.timeout] {
            prop_assert!(duration > Duration::ZERO && duration <= day);
        }
        // The settings are used as far as possible without a server.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let _ = Database::from_env(&env).session(&Deadline::default()).now_or_never();
        for invalid in env.take_invalid() {
            let said = invalid.to_string();
            prop_assert!(values.contains_key(invalid.key), "{}", said);
        }
    }
}
