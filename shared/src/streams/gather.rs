//! Appends that wait in this process are committed together: the first one goes at once, and those that arrive while it is on
//! its way go next.

use super::{
    Append, Appended, Error,
    batch::Batch,
    hub::Hub,
    queue::{Queue, Taken, Turn, Waiting, fail},
};
use crate::{
    database::{Database, sqlstate::sqlstate},
    deadline::Deadline,
    telemetry,
};
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
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

    /// Adds an append, and returns whether a lane starts for it. To a busy stream, it goes next in the lane that is at it.
    fn push(&self, waiting: Waiting) -> bool {
        let mut state = self.state();
        let can_go = state.lanes > 0 && !state.queue.is_busy(&waiting.append.path);
        state.queue.push(waiting);
        state.lanes -= usize::from(can_go);
        can_go
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the statements that are on their way at once.
struct Lane(Arc<Gather>);

impl Lane {
    /// In a box, because a lane starts another one.
    fn run(self) -> BoxFuture<'static, ()> {
        let run = async move {
            while let Some(taken) = self.take() {
                let running = Running::new(&self.0, &taken);
                let (again, turn) = self.append(taken).await;
                running.finish(again, turn);
            }
        };
        run.boxed()
    }

    /// What goes next. Without any, the lane ends under the same lock, so that an append which arrives then starts another one.
    fn take(&self) -> Option<Taken> {
        let mut state = self.0.state();
        let taken = state.queue.take();
        state.lanes += usize::from(taken.is_none());
        let has_more = taken.is_some() && state.lanes > 0 && !state.queue.is_empty();
        if has_more {
            // What is left may go as well, now that this lane is about to wait.
            state.lanes -= 1;
            telemetry::spawn(Self(Arc::clone(&self.0)).run());
        }
        taken
    }

    /// Appends, and returns what has to have another turn, and which.
    async fn append(&self, Taken { waiting, turn }: Taken) -> (Vec<Waiting>, Turn) {
        let ends = waiting.iter().map(|waiting| waiting.end);
        let end = ends.max().expect("something was taken");
        let connection = self.0.database.connection(&Deadline::default().earlier(end));
        let waits = turn != Turn::Together;
        let batch = Batch::new(waiting.iter().map(|waiting| &waiting.append));
        match batch.append(&connection, self.0.max_producers, waits).await {
            Ok(outcomes) => {
                self.0.hub.appended(&outcomes).await;
                let answered = waiting.into_iter().zip(outcomes);
                let locked = answered.filter_map(|(waiting, outcome)| waiting.answer(outcome, waits));
                (locked.collect(), Turn::Patient)
            }
            Err(error) if waiting.len() > 1 && is_about_data(&error) => (waiting, Turn::Alone),
            Err(error) => {
                fail(waiting, error);
                (Vec::new(), turn)
            }
        }
    }
}

/// Whether the server has refused the statement because of one of its appends, and stored none. After other errors a repetition
/// could store appends twice.
fn is_about_data(error: &sqlx::Error) -> bool {
    const CLASSES: [&str; 3] = ["22", "23", "54"];
    let code = sqlstate(error);
    CLASSES.iter().any(|class| code.starts_with(class))
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

    fn finish(self, again: Vec<Waiting>, turn: Turn) {
        self.gather.state().queue.push_again(again, turn);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let paths = self.paths.iter().map(String::as_str);
        self.gather.state().queue.finish(paths, self.turn);
        if thread::panicking() {
            // The lane ends here. Another one has its place, and takes what waits.
            telemetry::spawn(Lane(Arc::clone(&self.gather)).run());
        }
    }
}

#[cfg(test)]
mod tests;
