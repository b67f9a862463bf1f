//! One session: forwards requests and answers, limits both, and cancels what nobody waits for.

mod answers;
mod overdue;
mod progress;
mod requests;
mod statements;

use super::{
    Limits, ProxyError, RequestTimeout,
    dialer::{Connection, Dialer, Route},
    handle::{RelayEnd, Waiting},
    messages::{TERMINATE, startup},
    open::{Opened, Opening},
};
use answers::Answers;
use bytes::BytesMut;
use overdue::cancel_overdue;
pub(super) use progress::{Progress, Repetition};
use requests::Requests;
use statements::Statements;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, WriteHalf, split},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{Notify, Semaphore, watch},
    time::timeout,
};

/// How long the server may take to end a session whose caller has gone. A session that waits for a lock during its
/// login cannot be cancelled, but `authentication_timeout`, 60 s by default, has ended it by then.
const LINGER: Duration = Duration::from_secs(70);
/// How long the server may take to end an idle session. It never does where a NAT has forgotten the connection.
const FAREWELL: Duration = Duration::from_millis(200);

/// Changes what a session is doing without waking anybody.
fn quietly(progress: &watch::Sender<Progress>, change: impl FnOnce(&mut Progress)) {
    progress.send_if_modified(|progress| {
        change(progress);
        false
    });
}

/// Serves one connection of sqlx, until its session in the server has ended.
pub(super) async fn run(
    mut client: UnixStream,
    dialer: Arc<Dialer>,
    limits: Limits,
    slots: Arc<Semaphore>,
    waiting: Waiting,
) {
    let Ok(startup) = startup(&mut client).await else {
        return;
    };
    let end = waiting.take(&startup);
    let _slot = tokio::select! {
        slot = slots.acquire() => slot,
        () = hangs_up(&client) => return,
    };
    let (engaged, engagement) = watch::channel(false);
    let opening = Opening {
        dialer: &dialer,
        startup: &startup,
        engaged,
    };
    let opened = tokio::select! {
        opened = timeout(LINGER, opening.open()) => opened,
        () = is_pointless(&client, engagement) => return,
    };
    match opened {
        Ok(Ok(opened)) => Session::new(client, dialer, opened, limits, end).carry().await,
        Ok(Err(fault)) => drop(client.write_all(&fault.message()).await),
        Err(_) => {}
    }
}

/// Returns once opening is pointless: the caller has gone, and no server has accepted the connection. After a server
/// has, opening goes on without the caller, because a second session must not begin while this one may exist.
async fn is_pointless(client: &UnixStream, mut engaged: watch::Receiver<bool>) {
    hangs_up(client).await;
    let _ = engaged.wait_for(|engaged| !engaged).await;
}

/// sqlx sends nothing before the first answer: what can be read is the end of its connection.
async fn hangs_up(client: &UnixStream) {
    while client.readable().await.is_ok() {
        match client.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

struct Session {
    dialer: Arc<Dialer>,
    route: Route,
    requests: Requests,
    answers: Answers,
    client: OwnedWriteHalf,
    server: WriteHalf<Connection>,
    progress: watch::Receiver<Progress>,
    timeout: RequestTimeout,
}

/// Why forwarding has ended.
enum End {
    ClientGone,
    ServerGone,
    /// The server has exceeded a limit or violated the protocol.
    Refused(ProxyError),
}

impl Session {
    fn new(client: UnixStream, dialer: Arc<Dialer>, opened: Opened, limits: Limits, end: RelayEnd) -> Self {
        let progress = end.progress.subscribe();
        let sender = Arc::new(end.progress);
        let (from_client, client) = client.into_split();
        let (from_server, server) = split(opened.stream);
        let again = Arc::new(Notify::new());
        Self {
            dialer,
            route: opened.route,
            requests: Requests {
                from: from_client,
                input: BytesMut::new(),
                output: BytesMut::new(),
                passing: 0,
                timeout: limits.timeout.clone(),
                progress: Arc::clone(&sender),
                orders: end.orders.clone(),
                statements: Statements::default(),
                has_set: false,
                is_within: false,
                last: Vec::new(),
                again: Arc::clone(&again),
            },
            answers: Answers {
                from: from_server,
                input: BytesMut::from(&opened.greeting[..]),
                passing: 0,
                taken: 0,
                limit: limits.answer,
                is_deaf: !matches!(limits.timeout, RequestTimeout::None),
                progress: sender,
                orders: end.orders,
                again,
            },
            client,
            server,
            progress,
            timeout: limits.timeout,
        }
    }

    async fn carry(mut self) {
        let end = tokio::select! {
            _ = self.requests.carry(&mut self.server) => End::ClientGone,
            end = self.answers.carry(&mut self.client) => end,
            () = cancel_overdue(&self.dialer, &self.route, self.progress.clone(), &self.timeout) => End::ServerGone,
        };
        match end {
            End::ServerGone => {}
            End::ClientGone => drop(timeout(LINGER, self.abandon()).await),
            End::Refused(fault) => {
                let _ = self.client.write_all(&fault.message()).await;
                self.cancel().await;
            }
        }
    }

    /// Ends a session whose caller has gone. First cancels its request, repeatedly, because a cancel may arrive before
    /// the request it is meant for.
    async fn abandon(mut self) {
        let mut pause = Duration::from_millis(100);
        while self.is_busy() {
            self.cancel().await;
            match timeout(pause, self.answers.discard_until_idle()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) => {}
                Err(_) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        }
        // In the middle of a message the server cannot read a Terminate.
        if self.requests.passing > 0 || self.server.write_all(&TERMINATE).await.is_err() {
            return;
        }
        let is_known = self.progress.borrow().key.is_some();
        let limit = if is_known { FAREWELL } else { LINGER };
        if self.server.flush().await.is_ok() {
            let _ = timeout(limit, self.answers.discard()).await;
        }
    }

    /// Whether there is a request that can be cancelled.
    fn is_busy(&self) -> bool {
        let progress = self.progress.borrow();
        progress.unanswered > 0 && progress.key.is_some() && self.requests.passing == 0
    }

    async fn cancel(&self) {
        let key = self.progress.borrow().key.clone();
        if let Some(key) = key {
            self.dialer.cancel(&self.route, &key).await;
        }
    }
}

#[cfg(test)]
mod tests;
