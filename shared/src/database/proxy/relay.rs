//! One session: carries requests and answers, bounds both, and cancels what nobody waits for any more.

mod answers;
mod requests;

use super::{
    Fault, Limits, Patience,
    dialer::{Dialer, Route, Stream},
    messages::{TERMINATE, startup},
    open::{Opened, Opening},
};
use answers::Answers;
use bytes::BytesMut;
use requests::Requests;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, WriteHalf, split},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};

/// How long a server may take to end a session that has no caller any more. One that waits for a lock while it logs in cannot
/// be cancelled; its `authentication_timeout`, a minute by default, has ended it by then.
const LINGER: Duration = Duration::from_secs(70);
/// How long a server may take to end a session that is idle. A path that has forgotten the connection never does.
const FAREWELL: Duration = Duration::from_millis(200);
/// A caller that asks again before it was answered has dropped its first question; an answer that is just on its way comes
/// within this time.
const OVERLAP: Duration = Duration::from_millis(200);

/// Where a session is.
#[derive(Default)]
struct Progress {
    /// Requests that are not answered to their end.
    unanswered: usize,
    /// When the last one was made.
    asked: Option<Instant>,
    /// Names the session to a CancelRequest.
    key: Option<Vec<u8>>,
}

/// Serves one connection of sqlx to its end, and the session in the server to its own.
pub(super) async fn run(mut client: UnixStream, dialer: Arc<Dialer>, limits: Limits, slots: Arc<Semaphore>) {
    let Ok(startup) = startup(&mut client).await else {
        return;
    };
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
        Ok(Ok(opened)) => Session::new(client, dialer, opened, limits).carry().await,
        Ok(Err(fault)) => drop(client.write_all(&fault.message()).await),
        Err(_) => {}
    }
}

/// Opening goes on without its caller while a server is at it: a second session must not begin while this one may be there.
async fn is_pointless(client: &UnixStream, mut engaged: watch::Receiver<bool>) {
    hangs_up(client).await;
    let _ = engaged.wait_for(|engaged| !engaged).await;
}

/// sqlx says nothing more before it was answered: what can be read is its end.
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
    server: WriteHalf<Stream>,
    progress: watch::Receiver<Progress>,
    patience: Patience,
}

/// Why carrying has ended.
enum End {
    ClientGone,
    ServerGone,
    /// The server must not be listened to any longer.
    Refused(Fault),
}

impl Session {
    fn new(client: UnixStream, dialer: Arc<Dialer>, opened: Opened, limits: Limits) -> Self {
        let startup = Progress {
            unanswered: 1,
            ..Progress::default()
        };
        let (sender, progress) = watch::channel(startup);
        let sender = Arc::new(sender);
        let (from_client, client) = client.into_split();
        let (from_server, server) = split(opened.stream);
        Self {
            dialer,
            route: opened.route,
            requests: Requests {
                from: from_client,
                input: BytesMut::new(),
                passing: 0,
                patience: limits.patience.clone(),
                progress: Arc::clone(&sender),
            },
            answers: Answers {
                from: from_server,
                input: BytesMut::from(&opened.greeting[..]),
                passing: 0,
                taken: 0,
                limit: limits.answer,
                progress: sender,
            },
            client,
            server,
            progress,
            patience: limits.patience,
        }
    }

    async fn carry(mut self) {
        let end = tokio::select! {
            _ = self.requests.carry(&mut self.server) => End::ClientGone,
            end = self.answers.carry(&mut self.client) => end,
            () = cancel_overdue(&self.dialer, &self.route, self.progress.clone(), &self.patience) => End::ServerGone,
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

    /// Ends a session without a caller: first what it is at, again and again, because a cancel may come before the request
    /// it is meant for.
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
        // In the middle of a message nothing can be said any more.
        if self.requests.passing > 0 || self.server.write_all(&TERMINATE).await.is_err() {
            return;
        }
        let is_known = self.progress.borrow().key.is_some();
        let patience = if is_known { FAREWELL } else { LINGER };
        if self.server.flush().await.is_ok() {
            let _ = timeout(patience, self.answers.discard()).await;
        }
    }

    /// Is there something to cancel, and can it be?
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

/// Cancels what takes too long, and what its caller has dropped. Ends with the session.
async fn cancel_overdue(dialer: &Dialer, route: &Route, mut progress: watch::Receiver<Progress>, patience: &Patience) {
    let mut not_before = Instant::now();
    loop {
        let (overdue, key) = {
            let progress = progress.borrow_and_update();
            (overdue(&progress, patience), progress.key.clone())
        };
        let (Some(overdue), Some(key)) = (overdue, key) else {
            if progress.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            _ = progress.changed() => {}
            () = sleep_until(overdue.max(not_before)) => {
                dialer.cancel(route, &key).await;
                not_before = Instant::now() + Duration::from_secs(1);
            }
        }
    }
}

/// When the last request has had its time.
fn overdue(progress: &Progress, patience: &Patience) -> Option<Instant> {
    let asked = progress.asked?;
    match (progress.unanswered, patience) {
        (0, _) => None,
        (1, Patience::Each(each)) => Some(asked + *each),
        (1, _) => None,
        _ => Some(asked + OVERLAP),
    }
}

#[cfg(test)]
mod tests;
