//! Who waits for an append.

use super::{
    Append, Appended, Error, Refusal,
    batch::Outcome,
    queue::{Turn, Waiting},
};
use crate::database::Reason;
use tokio::{sync::oneshot, time::Instant};

/// Who waits for an append.
pub(super) struct Caller {
    end: Instant,
    done: oneshot::Sender<Result<Appended, Error>>,
}

impl Waiting {
    /// The append, and who waits for it.
    pub fn split(self) -> (Append, Caller) {
        let Self { append, end, done, .. } = self;
        (append, Caller { end, done })
    }
}

impl Caller {
    /// Answers, or returns the append if its stream is locked.
    pub fn answer(self, append: Append, outcome: Outcome, has_waited: bool) -> Option<Waiting> {
        match outcome {
            None if !has_waited => return Some(self.again(append)),
            None => self.send(Err(Refusal::NotFound.into())),
            Some(outcome) => self.send(outcome),
        }
        None
    }

    /// The append has to have another turn.
    pub fn again(self, append: Append) -> Waiting {
        Waiting {
            append,
            turn: Turn::Together,
            end: self.end,
            done: self.done,
        }
    }

    /// A caller that has gone misses nothing.
    fn send(self, outcome: Result<Appended, Error>) {
        let _ = self.done.send(outcome);
    }
}

/// Answers all with one error: the error itself cannot be copied, but what clients see of it can.
pub(super) fn fail(callers: impl Iterator<Item = Caller>, error: sqlx::Error) {
    let reason = Reason::from(&error);
    let mut error = Some(error);
    for caller in callers {
        let copy = || sqlx::Error::Configuration(reason.into());
        caller.send(Err(Error::Database(error.take().unwrap_or_else(copy))));
    }
}
