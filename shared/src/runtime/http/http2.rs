//! What ends answers over HTTP/2. Hyper waits without limit for a client that opens no flow-control window. So the task of
//! each request is dropped, which resets its stream, a second after the deadline of an event stream, or when the client has
//! taken nothing of another answer for a while.

use super::server::PEER_TIMEOUT;
use crate::deadline::Deadline;
use axum::{Error, body::Body};
use futures_util::future::BoxFuture;
use hyper::{
    body::{Body as HttpBody, Bytes, Frame},
    rt::Executor,
};
use std::{
    cell::{Cell, OnceCell},
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    static LIMITS: Limits;
}

/// Set by the task that they limit. The futures below are polled after it, so they need no waker.
#[derive(Default)]
struct Limits {
    deadline: OnceCell<Deadline>,
    /// Since when a piece of the answer waits for the client to take it.
    offered: Cell<Option<Instant>>,
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
    tokio::spawn(LIMITS.scope(Limits::default(), async {
        tokio::select! {
            biased;
            () = task => {}
            () = overdue() => {}
            () = stalled() => {}
        }
    }));
}

/// Sets the deadline of the current request's task. Does nothing over HTTP/1, where requests have no tasks.
pub fn end_task_with(deadline: &Deadline) {
    let _ = LIMITS.try_with(|limits| limits.deadline.set(deadline.clone()));
}

/// Ends the current request's task if the client takes nothing of the body for 15 s. Does nothing over HTTP/1, where the
/// kernel ends the connection.
pub fn end_task_if_stalled(body: Body) -> Body {
    if LIMITS
        .try_with(|limits| limits.offered.set(Some(Instant::now())))
        .is_err()
    {
        return body;
    }
    // Hyper takes one that is in memory in one piece.
    match body.size_hint().exact() {
        Some(_) => body,
        None => Body::new(Offered(body)),
    }
}

async fn overdue() {
    let deadline = poll_fn(|_| match LIMITS.with(|limits| limits.deadline.get().cloned()) {
        Some(deadline) => Poll::Ready(deadline),
        None => Poll::Pending,
    });
    deadline.await.overdue().await;
}

async fn stalled() {
    let offered = || LIMITS.with(|limits| limits.offered.get());
    loop {
        let since = poll_fn(|_| offered().map_or(Poll::Pending, Poll::Ready)).await;
        sleep_until(since + PEER_TIMEOUT).await;
        if offered() == Some(since) {
            return;
        }
    }
}

/// Hyper asks for the next piece when the client has room for it.
struct Offered(Body);

impl HttpBody for Offered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        let offered = frame.is_ready().then(Instant::now);
        let _ = LIMITS.try_with(|limits| limits.offered.set(offered));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
