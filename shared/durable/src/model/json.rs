//! JSON in the model, which a reader can check by eye: neither the parser of the server nor that of the functions.

use bytes::Bytes;
use std::str;

/// The messages of a body, with commas between them: an array is flattened by one level.
pub fn flattened(body: &Bytes) -> Bytes {
    let text = text(body).trim();
    let elements = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    elements
        .map_or(text.to_owned(), |elements| messages(elements).join(","))
        .into()
}

/// The first messages of a record; `None` if it has fewer.
pub fn first(record: &Bytes, count: usize) -> Option<Bytes> {
    let messages = messages(text(record));
    Some(messages.get(..count)?.join(",").into())
}

fn text(json: &Bytes) -> &str {
    str::from_utf8(json).expect("JSON is UTF-8")
}

/// What is between the commas that are in no string, array or object.
fn messages(text: &str) -> Vec<&str> {
    let (mut depth, mut in_string, mut is_escaped) = (0, false, false);
    let separates = |c| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_string = !in_string,
            '[' | '{' if !in_string => depth += 1,
            ']' | '}' if !in_string => depth -= 1,
            ',' => return depth == 0 && !in_string,
            _ => {}
        }
        false
    };
    let messages = text.split(separates).map(str::trim);
    messages.filter(|message| !message.is_empty()).collect()
}
