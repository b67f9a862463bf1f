//! Bodies without what differs from answer to answer.

use serde_json::Value;

/// A body without its times: the values of JSON members that are times, and the ids of events.
pub fn normalized(body: &[u8]) -> String {
    without(body, &[])
}

/// A body, or the events in it, without its times and the values of these members.
pub fn without(body: &[u8], varying: &[&str]) -> String {
    let text = String::from_utf8_lossy(body);
    let forgotten = |json: &str| {
        let mut json: Value = serde_json::from_str(json).ok()?;
        forget(&mut json, varying);
        Some(json.to_string())
    };
    if let Some(json) = forgotten(&text) {
        return json;
    }
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some(("id", _)) => "id: time\n".to_owned(),
        Some(("data", data)) => format!("data: {}\n", forgotten(data).as_deref().unwrap_or(data)),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn forget(json: &mut Value, varying: &[&str]) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "latency_ms" | "observedValue" | "time" | "timestamp" => *value = Value::Null,
                    name if varying.contains(&name) => *value = type_of(value).into(),
                    _ => forget(value, varying),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, varying)),
        _ => {}
    }
}

/// The name that JSON has for the type of a value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compared_without_its_times_and_the_values_that_vary() {
        for (body, expected) in [
            (r#"{"a":1,"id":7}"#, r#"{"a":1,"id":"a number"}"#),
            (r#"{"id":"7"}"#, r#"{"id":"a string"}"#),
            (r#"{"id":{"id":7}}"#, r#"{"id":"an object"}"#),
            (
                r#"[{"a":{"id":null}},{"time":5}]"#,
                r#"[{"a":{"id":"null"}},{"time":null}]"#,
            ),
            (
                "id: 9\ndata: {\"id\":7}\n\n",
                "id: time\ndata: {\"id\":\"a number\"}\n\n",
            ),
            ("data: id 7\n", "data: id 7\n"),
        ] {
            assert_eq!(without(body.as_bytes(), &["id"]), expected);
        }
        assert_eq!(
            normalized(br#"{"id":7,"time":8}"#),
            r#"{"id":7,"time":null}"#,
            "the control"
        );
    }
}
