//! The settings of this function.

use crate::read::memory::LARGEST_PAGE;
use shared::{config::Env, sse};
use std::time::Duration;

/// Limits of requests and answers.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `STREAM_LONG_POLL`: how long a long poll waits for data.
    pub long_poll: Duration,
    /// `STREAM_MAX_APPEND`: how many bytes a request may append.
    pub max_append: u64,
    /// `STREAM_PAGE`: how many bytes of a stream an answer or an event has, at most; more where one append is larger.
    pub page: usize,
    /// `STREAM_SLEEP_RETRY`: when a client comes back that was sent away so that the database may sleep.
    pub sleep_retry: Duration,
    /// Those of event streams.
    pub sse: sse::Settings,
}

const MIB: usize = 1 << 20;

impl Settings {
    /// Reads `STREAM_LONG_POLL` (20 s), `STREAM_MAX_APPEND` and `STREAM_PAGE` (1 MiB each) and `STREAM_SLEEP_RETRY` (30 s).
    pub fn from_env(env: &Env) -> Self {
        Self {
            long_poll: env.duration("STREAM_LONG_POLL", Duration::from_secs(20)),
            max_append: env.parse("STREAM_MAX_APPEND", MIB as u64, UP_TO_16_MIB, |text| {
                bytes(text, 16 * MIB).map(|bytes| bytes as u64)
            }),
            page: env.parse("STREAM_PAGE", MIB, UP_TO_2_MIB, |text| bytes(text, LARGEST_PAGE)),
            sleep_retry: env.duration("STREAM_SLEEP_RETRY", Duration::from_secs(30)),
            sse: sse::Settings::from_env(env),
        }
    }
}

const UP_TO_16_MIB: &str = "a number of bytes between 1024 and 16777216";
const UP_TO_2_MIB: &str = "a number of bytes between 1024 and 2097152";

fn bytes(text: &str, largest: usize) -> Option<usize> {
    text.parse().ok().filter(|bytes| (1024..=largest).contains(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::memory::PageMemory;

    #[test]
    fn a_page_may_be_as_large_as_the_memory_of_pages_allows() {
        let page = |bytes: usize| {
            let env = Env::new(move |key| (key == "STREAM_PAGE").then(|| bytes.to_string()));
            (Settings::from_env(&env).page, env.take_invalid())
        };
        assert_eq!(PageMemory::new().limit(usize::MAX), LARGEST_PAGE);
        assert_eq!(page(LARGEST_PAGE), (LARGEST_PAGE, vec![]));
        let (_, refused) = page(LARGEST_PAGE + 1);
        let [refused] = &refused[..] else { panic!("{refused:?}") };
        assert!(refused.to_string().contains(&LARGEST_PAGE.to_string()), "{refused}");
    }
}
