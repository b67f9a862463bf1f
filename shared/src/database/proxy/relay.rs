//! One session: carries requests and answers, bounds both, and cancels what nobody waits for any more.

use super::{
    Fault, Limits, Patience,
    messages::{HEADER, TERMINATE, length, startup},
    open::{Dialer, Opened, Route, Stream},
};
use bytes::{Buf, BytesMut};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};

/// How long a server may take to end a session that has no caller any more. One that waits for a lock while it logs in cannot
/// be cancelled; its `authentication_timeout`, a minute by default, has ended it by then.
const LINGER: Duration = Duration::from_secs(70);
/// How long a server may take to end a session that is idle. A path that has forgotten the connection never does.
const FAREWELL: Duration = Duration::from_millis(300);
/// A caller that asks again before it was answered has dropped its first question; an answer that is just on its way comes
/// within this time.
const OVERLAP: Duration = Duration::from_millis(200);
/// The answer of a server that ends a request in time leaves it so much earlier than the caller gives up.
const MARGIN: Duration = Duration::from_millis(20);

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
    let Ok(startup) = startup(&mut client, dialer.parameters()).await else {
        return;
    };
    let _slot = tokio::select! {
        slot = slots.acquire() => slot,
        () = hangs_up(&client) => return,
    };
    // Goes on without its caller: a second session must not begin while this one may be there.
    match timeout(LINGER, dialer.open(&startup)).await {
        Ok(Ok(opened)) => Session::new(client, dialer, opened, limits).carry().await,
        Ok(Err(fault)) => drop(client.write_all(&fault.message()).await),
        Err(_) => {}
    }
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

/// From sqlx to the server.
struct Requests {
    from: OwnedReadHalf,
    input: BytesMut,
    /// Bytes of a message that has begun.
    passing: usize,
    patience: Patience,
    progress: Arc<watch::Sender<Progress>>,
}

impl Requests {
    async fn carry(&mut self, to: &mut WriteHalf<Stream>) -> io::Result<()> {
        while self.from.read_buf(&mut self.input).await? > 0 {
            let output = self.take();
            to.write_all(&output).await?;
            to.flush().await?;
        }
        Ok(())
    }

    fn take(&mut self) -> BytesMut {
        let mut output = BytesMut::with_capacity(self.input.len());
        loop {
            let pass = self.passing.min(self.input.len());
            output.extend_from_slice(&self.input.split_to(pass));
            self.passing -= pass;
            if self.passing > 0 || self.input.len() < HEADER {
                return output;
            }
            self.passing = length(&self.input);
            match self.input[0] {
                b'Q' => self.bound_query(&mut output),
                b'S' | b'F' => {}
                _ => continue,
            }
            self.progress.send_modify(|progress| {
                progress.unanswered += 1;
                progress.asked = Some(Instant::now());
            });
        }
    }

    /// Within the message, because a pooler may send the next one to another server: the statements of one message are one
    /// transaction, and `SET LOCAL` ends with it.
    fn bound_query(&mut self, output: &mut BytesMut) {
        let Some(left) = self.patience.left() else {
            return;
        };
        let left = left.saturating_sub(MARGIN).as_millis().max(1);
        let bound = format!("SET LOCAL statement_timeout = {left}; ");
        let body = self.passing - HEADER;
        output.extend_from_slice(b"Q");
        output.extend_from_slice(&((4 + bound.len() + body) as u32).to_be_bytes());
        output.extend_from_slice(bound.as_bytes());
        self.input.advance(HEADER);
        self.passing = body;
    }
}

/// From the server to sqlx.
struct Answers {
    from: ReadHalf<Stream>,
    input: BytesMut,
    /// Bytes of a message that has begun.
    passing: usize,
    /// Bytes of the answer so far.
    taken: usize,
    limit: usize,
    progress: Arc<watch::Sender<Progress>>,
}

impl Answers {
    async fn carry(&mut self, to: &mut OwnedWriteHalf) -> End {
        loop {
            match self.next().await {
                Ok(output) if to.write_all(&output).await.is_err() => return End::ClientGone,
                Ok(_) => {}
                Err(end) => return end,
            }
        }
    }

    async fn discard_until_idle(&mut self) -> Result<(), End> {
        while self.progress.borrow().unanswered > 0 {
            self.next().await?;
        }
        Ok(())
    }

    async fn discard(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// What can be passed on, never empty.
    async fn next(&mut self) -> Result<BytesMut, End> {
        loop {
            let output = self.take().map_err(End::Refused)?;
            if !output.is_empty() {
                return Ok(output);
            }
            match self.from.read_buf(&mut self.input).await {
                Ok(1..) => {}
                _ => return Err(End::ServerGone),
            }
        }
    }

    fn take(&mut self) -> Result<BytesMut, Fault> {
        let mut end = 0;
        loop {
            let pass = self.passing.min(self.input.len() - end);
            end += pass;
            self.passing -= pass;
            if self.passing > 0 || self.input.len() - end < HEADER {
                break;
            }
            match self.admit(end) {
                Ok(true) => {}
                // Whatever came before it is good.
                Err(_) if end > 0 => break,
                Err(fault) => return Err(fault),
                Ok(false) => break,
            }
        }
        Ok(self.input.split_to(end))
    }

    /// Lets a message through, unless it must be waited for as a whole.
    fn admit(&mut self, start: usize) -> Result<bool, Fault> {
        /// ReadyForQuery has one byte, BackendKeyData up to 260.
        const SMALL: usize = 1024;
        let message = &self.input[start..];
        let (kind, length) = (message[0], length(message));
        let is_watched = matches!(kind, b'K' | b'Z');
        if length < HEADER || (is_watched && length > SMALL) {
            return Err(Fault::Protocol(
                "the server sent what is not a message of Postgres".to_owned(),
            ));
        }
        // Notifications come for as long as a session is open.
        let taken = if self.progress.borrow().unanswered == 0 {
            0
        } else {
            self.taken
        };
        if length > self.limit - taken.min(self.limit) {
            return Err(Fault::Protocol(format!(
                "the server sent more than {} bytes in one answer",
                self.limit
            )));
        }
        if is_watched && message.len() < length {
            return Ok(false);
        }
        let key = (kind == b'K').then(|| message[HEADER..length].to_vec());
        self.taken = taken + length;
        self.passing = length;
        match kind {
            b'K' => self.progress.send_modify(|progress| progress.key = key),
            b'Z' => self
                .progress
                .send_modify(|progress| progress.unanswered = progress.unanswered.saturating_sub(1)),
            _ => {}
        }
        Ok(true)
    }
}
