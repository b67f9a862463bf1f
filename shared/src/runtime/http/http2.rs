//! The end of streams over HTTP/2. A client that gives no window is not written to, and hyper waits for it without end:
//! the task of its request is dropped once the stream is overdue, which resets the stream.

use crate::deadline::Deadline;
use futures_util::future::BoxFuture;
use hyper::rt::Executor;
use std::{cell::OnceCell, future::poll_fn, task::Poll};

tokio::task_local! {
    static DEADLINE: OnceCell<Deadline>;
}

/// Spawns the task of each request.
#[derive(Clone, Copy, Debug)]
pub struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        spawn(Box::pin(task));
    }
}

/// Takes a box, because hyper has two kinds of tasks: each would bring the code of a task of its own.
fn spawn(task: BoxFuture<'static, ()>) {
    tokio::spawn(DEADLINE.scope(OnceCell::new(), async {
        tokio::select! {
            biased;
            () = task => {}
            () = overdue() => {}
        }
    }));
}

/// Bounds the task of this request. Does nothing over HTTP/1, whose requests have no tasks.
pub fn end_task_with(deadline: &Deadline) {
    let _ = DEADLINE.try_with(|slot| slot.set(deadline.clone()));
}

async fn overdue() {
    // Nobody is woken when the deadline is set: the task sets it, and this is polled after the task.
    let deadline = poll_fn(|_| match DEADLINE.with(|slot| slot.get().cloned()) {
        Some(deadline) => Poll::Ready(deadline),
        None => Poll::Pending,
    });
    deadline.await.overdue().await;
}
