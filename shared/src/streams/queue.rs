//! The appends that wait in this process, and which of them go together.

use super::{Append, Appended, Error, Refusal, batch::Outcome};
use crate::database::Reason;
use std::collections::{HashSet, VecDeque};
use tokio::{sync::oneshot, time::Instant};

/// How many appends go together, at most, and how many bytes they have.
const MAX_APPENDS: usize = 1000;
const MAX_BYTES: usize = 4 << 20;

/// An append that waits.
pub(super) struct Waiting {
    pub append: Append,
    pub turn: Turn,
    /// When its caller gives up.
    pub end: Instant,
    pub done: oneshot::Sender<Result<Appended, Error>>,
}

impl Waiting {
    /// Answers the caller. Returns what has to have another turn, because its stream is locked and nobody `waits` for the lock.
    pub fn answer(self, outcome: Outcome, waits: bool) -> Option<Self> {
        match outcome {
            None if !waits => return Some(self),
            None => self.send(Err(Refusal::NotFound.into())),
            Some(outcome) => self.send(outcome),
        }
        None
    }

    /// A caller that has gone misses nothing.
    fn send(self, outcome: Result<Appended, Error>) {
        let _ = self.done.send(outcome);
    }
}

/// Answers all with one error: the error itself cannot be copied, but what clients see of it can.
pub(super) fn fail(all: Vec<Waiting>, error: sqlx::Error) {
    let reason = Reason::from(&error);
    let mut error = Some(error);
    for waiting in all {
        let copy = || sqlx::Error::Configuration(reason.into());
        waiting.send(Err(Error::Database(error.take().unwrap_or_else(copy))));
    }
}

/// With what an append goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// With all others, without waiting for locks: one that another transaction holds must not hold up other streams.
    Together,
    /// With those of its stream, whose lock they wait for.
    Patient,
    /// Alone: the server has refused what it went with, because of one of them.
    Alone,
}

/// What goes in one statement: the appends of each stream next to each other, in their order.
pub(super) struct Taken {
    pub waiting: Vec<Waiting>,
    pub turn: Turn,
}

/// The appends that wait, in their order.
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// The streams that are appended to now: a second statement would only wait for the first.
    busy: HashSet<String>,
    /// How many more statements may wait for locks: the others stay for streams that nobody has locked.
    patient: usize,
}

impl Queue {
    /// An empty queue. Of the statements, `patient` may wait for locks at once.
    pub fn new(patient: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            patient,
        }
    }

    /// Adds an append at the end.
    pub fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// Adds appends at the front, for another turn.
    pub fn push_again(&mut self, again: Vec<Waiting>, turn: Turn) {
        for mut waiting in again.into_iter().rev() {
            waiting.turn = turn;
            self.waiting.push_front(waiting);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a statement is on its way that appends to this stream.
    pub fn is_busy(&self, path: &str) -> bool {
        self.busy.contains(path)
    }

    /// Takes what can go now. Those whose caller has gone are forgotten. None overtakes another one of its stream.
    pub fn take(&mut self) -> Option<Taken> {
        let mut taken: Vec<Waiting> = Vec::new();
        let (mut bytes, mut passed) = (0, HashSet::new());
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.done.is_closed() {
                continue;
            }
            let path = &waiting.append.path;
            let size = waiting.append.data.as_ref().map_or(0, bytes::Bytes::len);
            let fits = taken.is_empty() || bytes + size <= MAX_BYTES;
            if fits && !passed.contains(path) && self.may_join(&taken, &waiting) {
                bytes += size;
                taken.push(waiting);
            } else {
                if !passed.contains(path) {
                    passed.insert(path.clone());
                }
                self.waiting.push_back(waiting);
            }
        }
        let turn = taken.first()?.turn;
        taken.sort_by(|one, other| one.append.path.cmp(&other.append.path));
        self.busy
            .extend(taken.iter().map(|waiting| waiting.append.path.clone()));
        self.patient -= usize::from(turn != Turn::Together);
        Some(Taken { waiting: taken, turn })
    }

    fn may_join(&self, taken: &[Waiting], waiting: &Waiting) -> bool {
        if self.is_busy(&waiting.append.path) || taken.len() == MAX_APPENDS {
            return false;
        }
        match taken.first() {
            None => waiting.turn == Turn::Together || self.patient > 0,
            Some(first) if first.turn != waiting.turn => false,
            Some(first) => match first.turn {
                Turn::Together => true,
                Turn::Patient => first.append.path == waiting.append.path,
                Turn::Alone => false,
            },
        }
    }

    /// The appends to these streams, in this turn, have been made or have failed.
    pub fn finish<'a>(&mut self, paths: impl Iterator<Item = &'a str>, turn: Turn) {
        for path in paths {
            self.busy.remove(path);
        }
        self.patient += usize::from(turn != Turn::Together);
    }
}

#[cfg(test)]
mod tests;
