//! Forwards requests from sqlx to the server, counts them, and sets their `statement_timeout`.

use super::{Client, Progress, statements::Statements};
use crate::database::proxy::{
    RequestTimeout,
    dialer::Connection,
    messages::{CHUNK, DESCRIBE_PORTAL, HEADER, length, message, ready},
    timeouts::{ANSWERS_TO_SET, LONGEST_COMMAND, command, set},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, WriteHalf},
    net::unix::OwnedReadHalf,
    sync::watch,
    time::Instant,
};

/// How much earlier than a health check gives up the server ends its request, so that its answer still arrives.
const MARGIN: Duration = Duration::from_millis(20);
/// For how long after an answer a session counts as alive.
const FRESH: Duration = Duration::from_secs(1);

/// The direction from sqlx to the server.
pub(super) struct Requests {
    pub from: OwnedReadHalf,
    pub input: BytesMut,
    /// Bytes still to come of the current message.
    pub passing: usize,
    pub timeout: RequestTimeout,
    pub progress: Arc<watch::Sender<Progress>>,
    /// For answers that need no server.
    pub client: Client,
    pub statements: Statements,
    /// When the server has to end requests, if sqlx has said so. A ping ends it: the pool pings before it lends a session.
    pub end: Option<Instant>,
    /// Has a request begun that its Sync message will end?
    pub is_within: bool,
}

/// What to send where.
#[derive(Default)]
struct Output {
    server: BytesMut,
    client: Vec<u8>,
}

impl Requests {
    /// Forwards until sqlx closes its connection, or the server accepts no more.
    pub async fn carry(&mut self, to: &mut WriteHalf<Connection>) -> io::Result<()> {
        loop {
            self.input.reserve(CHUNK);
            if self.from.read_buf(&mut self.input).await? == 0 {
                return Ok(());
            }
            let Output { server, client } = self.take();
            if !client.is_empty() {
                self.client.lock().await.write_all(&client).await?;
            }
            if !server.is_empty() {
                to.write_all(&server).await?;
                to.flush().await?;
            }
        }
    }

    fn take(&mut self) -> Output {
        let mut output = Output {
            server: BytesMut::with_capacity(self.input.len()),
            client: Vec::new(),
        };
        loop {
            let pass = self.passing.min(self.input.len());
            output.server.extend_from_slice(&self.input.split_to(pass));
            self.passing -= pass;
            if self.passing > 0 || self.input.len() < HEADER || self.begin(&mut output).is_none() {
                return output;
            }
        }
    }

    /// Begins to forward a message, or answers it. `None` if more of it has to arrive first.
    fn begin(&mut self, output: &mut Output) -> Option<()> {
        let length = length(&self.input);
        let kind = self.input[0];
        match kind {
            b'S' if self.is_needless_ping() => {
                self.input.advance(length);
                output.client = ready(self.progress.borrow().status);
                return Some(());
            }
            b'P' => {
                let parse = self.whole(length)?;
                self.limit(&mut output.server);
                self.statements.parse(&parse, &mut output.server);
            }
            b'D' | b'C' => {
                let request = self.whole(length)?;
                self.statements.describe_or_close(&request, &mut output.server);
            }
            b'B' => self.bind(length, &mut output.server)?,
            b'E' => {
                // What sqlx knows of the columns may be as old as its session.
                output.server.extend_from_slice(&DESCRIBE_PORTAL);
                self.passing = length;
            }
            b'Q' => return self.query(length, output),
            b'S' | b'F' => {
                self.count(length);
                return Some(());
            }
            _ => self.passing = length,
        }
        self.is_within = true;
        Some(())
    }

    fn whole(&mut self, length: usize) -> Option<Bytes> {
        (self.input.len() >= length).then(|| self.input.split_to(length).freeze())
    }

    /// Does sqlx ask for a sign of life, of which there was one just now? The clock of `Instant` may stand still while a
    /// process is frozen.
    fn is_needless_ping(&mut self) -> bool {
        if self.is_within {
            return false;
        }
        self.end = None;
        let progress = self.progress.borrow();
        let is_fresh = |(at, time): (Instant, SystemTime)| {
            at.elapsed() < FRESH && time.elapsed().is_ok_and(|elapsed| elapsed < FRESH)
        };
        progress.unanswered == 0 && progress.answered.is_some_and(is_fresh)
    }

    /// A request ends: the server will answer it.
    fn count(&mut self, length: usize) {
        self.passing = length;
        self.is_within = false;
        self.progress.send_modify(|progress| {
            progress.unanswered += 1;
            progress.asked = Some(Instant::now());
        });
    }

    /// Sets the timeout of a request that begins.
    fn limit(&mut self, output: &mut BytesMut) {
        if let Some(end) = self.end.filter(|_| !self.is_within) {
            output.extend_from_slice(&set(end.saturating_duration_since(Instant::now())));
            self.expect_not(ANSWERS_TO_SET);
        }
    }

    fn bind(&mut self, length: usize, output: &mut BytesMut) -> Option<()> {
        let mut begin = BytesMut::new();
        let (read, unexpected) = self.statements.bind(&self.input, length, &mut begin)?;
        self.limit(output);
        self.expect_not(unexpected);
        output.extend_from_slice(&begin);
        self.input.advance(read);
        self.passing = length - read;
        Some(())
    }

    fn expect_not(&self, messages: usize) {
        self.progress.send_modify(|progress| progress.expect_not(messages));
    }

    /// Puts the timeout into the message of the query. The statements of one message are one transaction, with which
    /// `SET LOCAL` ends.
    fn query(&mut self, length: usize, output: &mut Output) -> Option<()> {
        if length <= LONGEST_COMMAND {
            self.input.get(..length)?;
        }
        if let Some(timeout) = command(&self.input, length) {
            self.input.advance(length);
            self.end = Some(Instant::now() + timeout);
            output.client = [message(b'C', &[b"SET\0"]), ready(self.progress.borrow().status)].concat();
            return Some(());
        }
        self.count(length);
        let left = self.timeout.left().map(|left| left.saturating_sub(MARGIN));
        let until_end = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        if let Some(left) = left.or(until_end) {
            let bound = format!("SET LOCAL statement_timeout = {}; ", left.as_millis().max(1));
            let body = length - HEADER;
            output.server.extend_from_slice(b"Q");
            let bounded = (4 + bound.len() + body) as u32;
            output.server.extend_from_slice(&bounded.to_be_bytes());
            output.server.extend_from_slice(bound.as_bytes());
            self.input.advance(HEADER);
            self.passing = body;
        }
        Some(())
    }
}
