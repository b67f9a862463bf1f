//! The end of event streams over HTTP/2. Hyper waits without limit for a client that opens no flow-control window. So the
//! task of each request is dropped a second after the response's deadline, which resets the stream.

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

/// Takes a box, because hyper has two types of tasks, and each would compile the code below again.
fn spawn(task: BoxFuture<'static, ()>) {
    tokio::spawn(DEADLINE.scope(OnceCell::new(), async {
        tokio::select! {
            biased;
            () = task => {}
            () = overdue() => {}
        }
    }));
}

/// Sets the deadline of the current request's task. Does nothing over HTTP/1, where requests have no tasks.
pub fn end_task_with(deadline: &Deadline) {
    let _ = DEADLINE.try_with(|slot| slot.set(deadline.clone()));
}

async fn overdue() {
    // Needs no waker: the task itself sets the deadline, and this is polled after it.
    let deadline = poll_fn(|_| match DEADLINE.with(|slot| slot.get().cloned()) {
        Some(deadline) => Poll::Ready(deadline),
        None => Poll::Pending,
    });
    deadline.await.overdue().await;
}
