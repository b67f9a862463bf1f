//! What a session is doing: what the two directions of a relay, and the owner of the session, know of it.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// For how long after an answer a session counts as alive.
const FRESH: Duration = Duration::from_secs(1);

/// What a session is doing.
#[derive(Default)]
pub(in crate::database::proxy) struct Progress {
    /// Requests without a complete answer.
    pub unanswered: usize,
    /// How many messages at the beginning of each answer sqlx does not expect.
    pub unexpected: VecDeque<usize>,
    /// When the last request was sent.
    pub asked: Option<Instant>,
    /// When the last answer was complete.
    answered: Option<(Instant, SystemTime)>,
    /// Whether the server has refused the request that it answers.
    has_failed: bool,
    /// The status of the transaction after the last answer: `I`, `T` or `E`.
    pub status: u8,
    /// BackendKeyData, which a CancelRequest needs.
    pub key: Option<Vec<u8>>,
    /// What becomes of a request whose prepared statement is of no use any more.
    pub repetition: Repetition,
}

/// Whether a request is sent again if the server refuses its prepared statement.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(in crate::database::proxy) enum Repetition {
    #[default]
    Impossible,
    Possible,
    /// The server has refused the statement. What it still answers to the request is dropped.
    Due,
}

impl Progress {
    /// A session that logs in.
    pub fn login() -> Self {
        Self {
            unanswered: 1,
            ..Self::default()
        }
    }

    /// The answer to the request that is being sent begins with messages that sqlx does not expect.
    pub fn expect_not(&mut self, messages: usize) {
        self.unexpected.resize(self.unanswered + 1, 0);
        self.unexpected[self.unanswered] += messages;
    }

    /// A request has been sent whole.
    pub fn ask(&mut self) {
        self.unanswered += 1;
        self.asked = Some(Instant::now());
    }

    /// The server has refused a request, and skips the rest of it.
    pub fn fail(&mut self) {
        self.has_failed = true;
        if let Some(messages) = self.unexpected.front_mut() {
            *messages = 0;
        }
    }

    /// An answer is complete. Was it an error? Then sqlx has handed that over already, and its caller may wait for the end.
    pub fn answer(&mut self, status: u8) -> bool {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.unexpected.pop_front();
        self.answered = Some((Instant::now(), SystemTime::now()));
        self.status = status;
        std::mem::take(&mut self.has_failed)
    }

    /// Whether there was a sign of life just now. The clock of `Instant` may stand still while a process is frozen.
    pub fn is_fresh(&self) -> bool {
        let is_fresh = |(at, time): (Instant, SystemTime)| {
            at.elapsed() < FRESH && time.elapsed().is_ok_and(|elapsed| elapsed < FRESH)
        };
        self.unanswered == 0 && self.answered.is_some_and(is_fresh)
    }
}
