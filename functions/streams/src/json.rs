//! JSON mode: a body is one message, or an array of them, and a page is an array of all of its messages (section 9.1).
//!
//! Messages are stored as they came, separated by commas: a page is a join, and no number or name is written anew.

use serde::de::IgnoredAny;
use serde_json::Deserializer;
use std::{borrow::Cow, str};

/// The messages of a body, separated by commas: an array is flattened by one level. Empty for an empty array.
///
/// # Errors
/// The body is not JSON.
pub fn fragment(body: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    serde_json::from_slice::<IgnoredAny>(body)?;
    let text = str::from_utf8(body).map_err(<serde_json::Error as serde::de::Error>::custom)?;
    let text = text.trim_matches(WHITESPACE);
    Ok(match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(elements) => separated(elements),
        None => text.into(),
    })
}

/// The messages with nothing but a comma between two. Most come so.
fn separated(elements: &str) -> Cow<'_, str> {
    let length = messages(elements).map(|message| message.len() + 1).sum::<usize>();
    if length == elements.len() + 1 {
        return elements.into();
    }
    let mut separated = String::with_capacity(length);
    for message in messages(elements) {
        separated.extend([message, ","]);
    }
    separated.pop();
    separated.into()
}

/// The first `count` messages of a fragment; `None` if it has fewer.
pub fn first(fragment: &str, count: u64) -> Option<String> {
    let count = usize::try_from(count).ok()?;
    let first: Vec<&str> = messages(fragment).take(count).collect();
    (first.len() == count).then(|| first.join(","))
}

const WHITESPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The messages of valid JSON that is separated by commas.
fn messages(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        text = text.trim_start_matches(|c| c == ',' || WHITESPACE.contains(&c));
        let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (message, rest) = text.split_at(values.byte_offset());
        text = rest;
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn an_array_is_flattened_by_one_level_and_nothing_is_written_anew() {
        for (body, expected) in [
            ("[]", ""),
            (" [ ] ", ""),
            ("{}", "{}"),
            (" {\"a\" : 1 }\n", "{\"a\" : 1 }"),
            ("[1,\t2 , 3 ]", "1,2,3"),
            ("[[1,2],[3,4]]", "[1,2],[3,4]"),
            ("[[[1,2,3]]]", "[[1,2,3]]"),
            ("[[]]", "[]"),
            ("null", "null"),
            ("[\"a,]b\",\"\\\"]\"]", "\"a,]b\",\"\\\"]\""),
            ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
            ("[-0, 1e400, 1E+2]", "-0,1e400,1E+2"),
            ("[true,false]", "true,false"),
        ] {
            assert_eq!(fragment(body.as_bytes()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in [
            "",
            " ",
            "{",
            "[1,]",
            "[1 2]",
            "1 2",
            "01",
            "'a'",
            "[1],[2]",
            "{\"a\":}",
            "\u{feff}1",
            "nul",
            "\"\n\"",
            "[,1]",
        ] {
            assert!(fragment(body.as_bytes()).is_err(), "{body:?}");
        }
        for body in [&b"\"\xff\""[..], b"[\"\xc3\"]", b"\"\xed\xa0\x80\""] {
            assert!(fragment(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn json_of_any_depth_needs_no_stack() {
        let deep = "[".repeat(500_000) + &"]".repeat(500_000);
        assert_eq!(fragment(deep.as_bytes()).unwrap(), deep[1..deep.len() - 1]);
    }

    #[test]
    fn a_fragment_is_cut_between_messages_only() {
        for (count, expected) in [
            (0, Some("")),
            (1, Some("[1,2]")),
            (2, Some("[1,2],\"a,b\"")),
            (4, None),
            (u64::MAX, None),
        ] {
            assert_eq!(first("[1,2],\"a,b\",3", count).as_deref(), expected);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_page_of_fragments_has_the_messages_of_their_bodies(bodies in prop::collection::vec(value(), 1..5), pretty: bool) {
            let mut expected = Vec::new();
            let mut fragments = Vec::new();
            for body in &bodies {
                match body {
                    Value::Array(messages) => expected.extend(messages.clone()),
                    message => expected.push(message.clone()),
                }
                let text = if pretty { serde_json::to_string_pretty(body) } else { serde_json::to_string(body) };
                fragments.push(fragment(text.unwrap().as_bytes()).unwrap().into_owned());
            }
            fragments.retain(|fragment| !fragment.is_empty());
            let page: Value = serde_json::from_str(&format!("[{}]", fragments.join(","))).unwrap();
            prop_assert_eq!(page, json!(expected));
        }

        #[test]
        fn no_body_is_more_than_refused(body: Vec<u8>) {
            if let Ok(fragment) = fragment(&body) {
                let page = format!("[{fragment}]");
                prop_assert!(serde_json::from_str::<IgnoredAny>(&page).is_ok());
            }
        }
    }
}
