//! The environment: reads settings through an injected `get(key)`, and reports every invalid variable at once. The settings
//! of a module stand in that module, with a `from_env`.

use std::{borrow::Cow, cell::RefCell, ffi::OsString, fmt, time::Duration};

/// The source of settings, and the invalid variables among those read so far.
#[derive(Clone)]
pub struct Env {
    // Leaked, so that an overlay can share it: a process has one, and `local` a few.
    get: &'static Source,
    invalid: RefCell<Vec<Invalid>>,
}

type Source = dyn Fn(&str) -> Option<OsString>;

/// An invalid variable, which keeps this process from starting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    /// The variable's name.
    pub key: &'static str,
    /// What the variable must be. Its value is never repeated, because it may be a secret.
    pub expected: Cow<'static, str>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.key, self.expected)
    }
}

/// The name of this binary.
pub(crate) fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Env {
    /// Settings from the environment of this process.
    pub fn from_process() -> Self {
        Self::from_source(|key| std::env::var_os(key))
    }

    /// Settings from any source. An empty value counts as unset.
    pub fn new(get: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self::from_source(move |key| get(key).map(OsString::from))
    }

    fn from_source(get: impl Fn(&str) -> Option<OsString> + 'static) -> Self {
        Self {
            get: Box::leak(Box::new(get)),
            invalid: RefCell::default(),
        }
    }

    /// The same settings, except for variables that `replaced` has a value for. An empty value hides the variable.
    pub fn overlay(&self, replaced: impl Fn(&str) -> Option<String> + 'static) -> Self {
        let get = self.get;
        Self::from_source(move |key| replaced(key).map(OsString::from).or_else(|| get(key)))
    }

    /// The value of `key`, unless it is unset or empty. One that is not UTF-8 is kept for [`Env::take_invalid`]: as an unset
    /// variable, it would give way to a default that nobody has chosen.
    pub fn text(&self, key: &str) -> Option<String> {
        match (self.get)(key)?.into_string() {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(_) => {
                self.refuse(key, "UTF-8");
                None
            }
        }
    }

    /// The parsed value of `key`, or `default`. A value that `parse` refuses is kept for [`Env::take_invalid`].
    pub fn parse<T>(
        &self,
        key: &'static str,
        default: T,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        parse(text.trim()).unwrap_or_else(|| {
            self.refuse(key, expected);
            default
        })
    }

    /// Outside of [`Env::parse`], whose code is copied for each type.
    #[cold]
    #[inline(never)]
    fn refuse(&self, key: &str, expected: &'static str) {
        // Several functions of a process may read it.
        if self.invalid.borrow().iter().all(|known| known.key != key) {
            self.refuse_part(key.to_owned(), expected);
        }
    }

    /// A duration above zero such as `15s`, `500ms` or `5m`, at most a day.
    pub fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.parse(key, default, DURATION, parse_duration)
    }

    /// Refuses a part of a variable, such as `THINGS[1].name`, or something else that keeps the process from starting. Its name
    /// is leaked: the process ends.
    pub(crate) fn refuse_part(&self, part: String, expected: impl Into<Cow<'static, str>>) {
        let (key, expected) = (part.leak(), expected.into());
        self.invalid.borrow_mut().push(Invalid { key, expected });
    }

    /// Every variable that was refused since the last call, in the order of reading.
    pub fn take_invalid(&self) -> Vec<Invalid> {
        self.invalid.take()
    }
}

pub(crate) const DURATION: &str = "a duration between 1ms and 24h, such as 500ms, 15s or 5m";

/// A duration between 1 ms and 24 hours, such as `500ms`, `15s` or `5m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let accepted = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
    let duration = humantime::parse_duration(text).ok();
    duration.filter(|duration| accepted.contains(duration))
}

/// Why a dependency cannot be tried at all. The process starts all the same, and its health endpoint reports the reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unusable {
    /// No variable names the dependency.
    NotConfigured,
    /// A variable names the dependency in a way that cannot work.
    Misconfigured(Invalid),
}

/// A variable that names a dependency in a way that cannot work.
pub fn misconfigured(key: &'static str, expected: impl Into<Cow<'static, str>>) -> Unusable {
    let expected = expected.into();
    Unusable::Misconfigured(Invalid { key, expected })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{health, sse};
    use std::os::unix::ffi::OsStringExt;

    pub(crate) fn env(settings: &'static [(&str, &str)]) -> Env {
        Env::new(|key| settings.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn every_bad_duration_is_named_and_no_value_is_repeated() {
        let env = env(&[
            ("HEALTH_TIMEOUT", "hunter2"),
            ("HEALTH_CACHE", "0s"),
            ("SSE_MAX_AGE", "9d"),
        ]);
        health::Settings::from_env(&env);
        sse::Settings::from_env(&env);
        let message: Vec<String> = env.take_invalid().iter().map(Invalid::to_string).collect();
        let message = message.join("; ");
        for key in ["HEALTH_TIMEOUT", "HEALTH_CACHE", "SSE_MAX_AGE"] {
            assert!(message.contains(key), "{message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn durations_are_read_with_their_units_and_empty_means_unset() {
        let env = env(&[("HEALTH_TIMEOUT", "500ms"), ("HEALTH_CACHE", ""), ("SSE_MAX_AGE", "5m")]);
        assert_eq!(health::Settings::from_env(&env).timeout, Duration::from_millis(500));
        assert_eq!(health::Settings::from_env(&env).cache, Duration::from_secs(1));
        assert_eq!(sse::Settings::from_env(&env).max_age, Duration::from_secs(300));
        assert_eq!(env.take_invalid(), []);
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_named_once_by_every_reader_and_an_overlay() {
        let bytes = || OsString::from_vec(b"hunter2\xff".to_vec());
        let env = Env::from_source(move |key| (key != "C").then(bytes));
        for env in [env.overlay(|key| (key == "B").then(|| "2".to_owned())), env] {
            let read = ["A", "A", "C"].map(|key| env.text(key));
            assert_eq!(read, [None, None, None]);
            assert_eq!(env.duration("A", Duration::from_secs(7)), Duration::from_secs(7));
            let invalid = env.take_invalid().into_iter();
            let invalid: Vec<String> = invalid.map(|invalid| invalid.to_string()).collect();
            assert_eq!(invalid, ["A must be UTF-8"]);
        }
    }

    #[test]
    fn an_overlay_replaces_a_variable_hides_another_and_leaves_the_rest() {
        let env = env(&[("A", "1"), ("B", "2"), ("C", "3")]);
        let overlaid = env.overlay(|key| match key {
            "A" => Some("9".to_owned()),
            "B" => Some(String::new()),
            _ => None,
        });
        let values = |env: &Env| ["A", "B", "C"].map(|key| env.text(key).unwrap_or_default());
        assert_eq!(values(&overlaid), ["9", "", "3"]);
        assert_eq!(values(&env), ["1", "2", "3"]);
    }
}
