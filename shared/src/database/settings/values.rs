//! Parses the values of parameters.

use std::collections::BTreeMap;
use std::time::Duration;

/// Parameters that have a value, by their names.
pub(super) type Parameters = BTreeMap<&'static str, String>;

/// The words of a switch.
pub(super) const BOOLEANS: &[(&str, bool)] = &[
    ("1", true),
    ("on", true),
    ("true", true),
    ("yes", true),
    ("0", false),
    ("off", false),
    ("false", false),
    ("no", false),
];

/// One of a closed set of words, whose case does not matter.
pub(super) fn one_of<T: Copy>(parameters: &Parameters, name: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    let found = words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
    let Some((_, value)) = found else {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        return Err(format!("a URL whose `{name}` is {}", words.join(" or ")));
    };
    Ok(Some(*value))
}

/// A whole number; a negative one counts as 0, as in libpq.
pub(super) fn number(parameters: &Parameters, name: &str) -> Result<Option<u32>, String> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    let number: Result<i32, _> = text.trim().parse();
    let number = number.map_err(|_| format!("a URL whose `{name}` is a whole number"))?;
    Ok(Some(number.max(0).unsigned_abs()))
}

/// A number of seconds; 0 means no limit.
pub(super) fn seconds(parameters: &Parameters, name: &str) -> Result<Option<Duration>, String> {
    let seconds = number(parameters, name)?.filter(|seconds| *seconds > 0);
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}
