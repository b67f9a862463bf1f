//! One session: forwards requests and answers, limits both, and cancels what nobody waits for.

mod answers;
mod requests;
mod statements;

use super::{
    Limits, ProxyError, RequestTimeout,
    dialer::{Connection, Dialer, Route},
    messages::{TERMINATE, startup},
    open::{Opened, Opening},
};
use answers::Answers;
use bytes::BytesMut;
use requests::Requests;
use statements::Statements;
use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncWriteExt, WriteHalf, split},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{Mutex, Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};

/// How long the server may take to end a session whose caller has gone. A session that waits for a lock during its
/// login cannot be cancelled, but `authentication_timeout`, 60 s by default, has ended it by then.
const LINGER: Duration = Duration::from_secs(70);
/// How long the server may take to end an idle session. It never does where a NAT has forgotten the connection.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long a request may be unanswered once the next one has been sent. The caller has dropped it, because sqlx sends
/// one at a time; an answer that is already on its way arrives within this time.
const OVERLAP: Duration = Duration::from_millis(200);

/// The direction to sqlx. Most answers are those of the server.
type Client = Arc<Mutex<OwnedWriteHalf>>;

/// What a session is doing.
#[derive(Default)]
struct Progress {
    /// Requests without a complete answer.
    unanswered: usize,
    /// How many messages at the beginning of each answer sqlx does not expect.
    unexpected: VecDeque<usize>,
    /// When the last request was sent.
    asked: Option<Instant>,
    /// When the last answer was complete.
    answered: Option<(Instant, SystemTime)>,
    /// The status of the transaction after that: `I`, `T` or `E`.
    status: u8,
    /// BackendKeyData, which a CancelRequest needs.
    key: Option<Vec<u8>>,
}

impl Progress {
    /// The answer to the request that is being sent begins with messages that sqlx does not expect.
    fn expect_not(&mut self, messages: usize) {
        self.unexpected.resize(self.unanswered + 1, 0);
        self.unexpected[self.unanswered] += messages;
    }

    /// The server has refused a request, and skips the rest of it.
    fn fail(&mut self) {
        if let Some(messages) = self.unexpected.front_mut() {
            *messages = 0;
        }
    }

    /// An answer is complete.
    fn answer(&mut self, status: u8) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.unexpected.pop_front();
        self.answered = Some((Instant::now(), SystemTime::now()));
        self.status = status;
    }
}

/// Serves one connection of sqlx, until its session in the server has ended.
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
    client: Client,
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
    fn new(client: UnixStream, dialer: Arc<Dialer>, opened: Opened, limits: Limits) -> Self {
        let startup = Progress {
            unanswered: 1,
            ..Progress::default()
        };
        let (sender, progress) = watch::channel(startup);
        let sender = Arc::new(sender);
        let (from_client, client) = client.into_split();
        let client = Arc::new(Mutex::new(client));
        let (from_server, server) = split(opened.stream);
        Self {
            dialer,
            route: opened.route,
            requests: Requests {
                from: from_client,
                input: BytesMut::new(),
                passing: 0,
                timeout: limits.timeout.clone(),
                progress: Arc::clone(&sender),
                client: Arc::clone(&client),
                statements: Statements::default(),
                end: None,
                is_within: false,
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
            timeout: limits.timeout,
        }
    }

    async fn carry(mut self) {
        let end = tokio::select! {
            _ = self.requests.carry(&mut self.server) => End::ClientGone,
            end = self.answers.carry(&self.client) => end,
            () = cancel_overdue(&self.dialer, &self.route, self.progress.clone(), &self.timeout) => End::ServerGone,
        };
        match end {
            End::ServerGone => {}
            End::ClientGone => drop(timeout(LINGER, self.abandon()).await),
            End::Refused(fault) => {
                let _ = self.client.lock().await.write_all(&fault.message()).await;
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

    /// Is there a request that can be cancelled?
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

/// Cancels requests that take too long or were dropped. Returns when the session ends.
async fn cancel_overdue(
    dialer: &Dialer,
    route: &Route,
    mut progress: watch::Receiver<Progress>,
    timeout: &RequestTimeout,
) {
    let mut not_before = Instant::now();
    loop {
        let (overdue, key) = {
            let progress = progress.borrow_and_update();
            (overdue(&progress, timeout), progress.key.clone())
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

/// When the last request has to be cancelled, if at all.
fn overdue(progress: &Progress, timeout: &RequestTimeout) -> Option<Instant> {
    let asked = progress.asked?;
    match (progress.unanswered, timeout) {
        (0, _) => None,
        (1, RequestTimeout::Each(each)) => Some(asked + *each),
        (1, _) => None,
        _ => Some(asked + OVERLAP),
    }
}

#[cfg(test)]
mod tests;
