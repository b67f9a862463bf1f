//! Appends that wait in this process are committed together: the first one goes at once, and those that arrive while it is on
//! its way go next.

use super::{
    Append, Appended, Error, Refusal,
    batch::{Batch, Outcome},
    hub::Hub,
    queue::{Queue, Taken, Turn, Waiting},
};
use crate::{
    database::{Database, Reason},
    deadline::Deadline,
    telemetry,
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// How long an append may take.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Gather {
    database: Database,
    hub: Arc<Hub>,
    max_producers: i32,
    state: Mutex<State>,
}

struct State {
    queue: Queue,
    /// How many more statements may be on their way at once.
    lanes: usize,
}

impl Gather {
    /// Uses a part of the database's connections, and leaves one of that for streams that nobody has locked.
    pub fn new(database: Database, hub: Arc<Hub>, max_producers: i32) -> Arc<Self> {
        let lanes = (database.max_connections() as usize * 3 / 5).max(1);
        let queue = Queue::new((lanes - 1).max(1));
        Arc::new(Self {
            database,
            hub,
            max_producers,
            state: Mutex::new(State { queue, lanes }),
        })
    }

    /// Appends, and waits for the commit. If the future is dropped, the append is made or not.
    pub async fn append(self: &Arc<Self>, deadline: &Deadline, append: Append) -> Result<Appended, Error> {
        let end = deadline.cap(Instant::now() + TIMEOUT);
        let (done, outcome) = oneshot::channel();
        let waiting = Waiting {
            append,
            turn: Turn::Together,
            end,
            done,
        };
        if self.push(waiting) {
            telemetry::spawn(Lane(Arc::clone(self)).run());
        }
        let late = io::Error::new(io::ErrorKind::TimedOut, "an append was not made by the deadline");
        match timeout_at(end, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Error::Database(late.into())),
        }
    }

    /// Adds an append, and returns whether there is a lane for it.
    fn push(&self, waiting: Waiting) -> bool {
        let mut state = self.state();
        state.queue.push(waiting);
        let is_free = state.lanes > 0;
        state.lanes -= usize::from(is_free);
        is_free
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the statements that are on their way at once.
struct Lane(Arc<Gather>);

impl Lane {
    async fn run(self) {
        while let Some(taken) = self.take() {
            let running = Running::new(&self.0, &taken);
            let again = self.append(taken).await;
            running.finish(again);
        }
    }

    /// What goes next. Without any, the lane ends under the same lock, so that an append which arrives then starts another one.
    fn take(&self) -> Option<Taken> {
        let mut state = self.0.state();
        let taken = state.queue.take();
        state.lanes += usize::from(taken.is_none());
        taken
    }

    /// Appends, and returns what has to have another turn.
    async fn append(&self, Taken { waiting, turn }: Taken) -> Option<(Vec<Waiting>, Turn)> {
        let end = waiting.iter().map(|waiting| waiting.end).max()?;
        let connection = self.0.database.connection(&Deadline::default().earlier(end));
        let (appends, callers): (Vec<_>, Vec<_>) = waiting.into_iter().map(Waiting::split).unzip();
        let waits = turn != Turn::Together;
        let outcomes = Batch::new(&appends)
            .append(&connection, self.0.max_producers, waits)
            .await;
        let all = callers.into_iter().zip(appends);
        match outcomes {
            Ok(outcomes) => {
                self.0.hub.appended(&outcomes).await;
                let locked = all
                    .zip(outcomes)
                    .filter_map(|((caller, append), outcome)| caller.answer(append, outcome, waits));
                Some((locked.collect(), Turn::Patient))
            }
            // The server has rolled back, because of one of them.
            Err(error) if all.len() > 1 && error.as_database_error().is_some() => {
                Some((all.map(|(caller, append)| caller.again(append)).collect(), Turn::Alone))
            }
            Err(error) => {
                fail(all.map(|(caller, _)| caller), error);
                None
            }
        }
    }
}

/// The streams of a statement that is on its way, until it is finished or has panicked.
struct Running {
    gather: Arc<Gather>,
    paths: Vec<String>,
    turn: Turn,
}

impl Running {
    fn new(gather: &Arc<Gather>, taken: &Taken) -> Self {
        let mut paths: Vec<String> = taken
            .waiting
            .iter()
            .map(|waiting| waiting.append.path.clone())
            .collect();
        paths.dedup();
        Self {
            gather: Arc::clone(gather),
            paths,
            turn: taken.turn,
        }
    }

    fn finish(self, again: Option<(Vec<Waiting>, Turn)>) {
        if let Some((again, turn)) = again {
            self.gather.state().queue.push_again(again, turn);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let paths = self.paths.iter().map(String::as_str);
        self.gather.state().queue.finish(paths, self.turn);
    }
}

/// Who waits for an append.
struct Caller {
    end: Instant,
    done: oneshot::Sender<Result<Appended, Error>>,
}

impl Waiting {
    fn split(self) -> (Append, Caller) {
        let Self { append, end, done, .. } = self;
        (append, Caller { end, done })
    }
}

impl Caller {
    /// Answers, or returns the append if its stream is locked.
    fn answer(self, append: Append, outcome: Outcome, has_waited: bool) -> Option<Waiting> {
        match outcome {
            None if !has_waited => return Some(self.again(append)),
            None => self.send(Err(Refusal::NotFound.into())),
            Some(outcome) => self.send(outcome),
        }
        None
    }

    fn again(self, append: Append) -> Waiting {
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
fn fail(callers: impl Iterator<Item = Caller>, error: sqlx::Error) {
    let reason = Reason::from(&error);
    let mut error = Some(error);
    for caller in callers {
        let copy = || sqlx::Error::Configuration(reason.into());
        caller.send(Err(Error::Database(error.take().unwrap_or_else(copy))));
    }
}
