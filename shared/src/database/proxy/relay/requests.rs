//! Forwards requests from sqlx to the server, counts them, and puts before them what bounds them or begins a transaction.

use super::{Progress, Repetition, quietly, statements::Statements};
use crate::database::proxy::{
    RequestTimeout,
    dialer::Connection,
    handle::SharedOrders,
    messages::{CHUNK, DESCRIBE_PORTAL, HEADER, length},
    prefix::{Prefix, milliseconds},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, WriteHalf},
    net::unix::OwnedReadHalf,
    sync::{Notify, watch},
};

/// How much earlier than a health check gives up the server ends its request, so that its answer still arrives.
const MARGIN: Duration = Duration::from_millis(20);

/// The direction from sqlx to the server.
pub(super) struct Requests {
    pub from: OwnedReadHalf,
    pub input: BytesMut,
    pub output: BytesMut,
    /// Bytes still to come of the current message.
    pub passing: usize,
    pub timeout: RequestTimeout,
    pub progress: Arc<watch::Sender<Progress>>,
    pub orders: SharedOrders,
    pub statements: Statements,
    /// Whether the server knows the statement that sets the timeout by its name.
    pub has_set: bool,
    /// Whether a request has begun that its Sync message will end.
    pub is_within: bool,
    /// The last request that executed a statement by its name, and when it has to be sent again.
    pub last: Vec<u8>,
    pub again: Arc<Notify>,
}

impl Requests {
    /// Forwards until sqlx closes its connection, or the server accepts no more.
    pub async fn carry(&mut self, to: &mut WriteHalf<Connection>) -> io::Result<()> {
        loop {
            self.input.reserve(CHUNK);
            tokio::select! {
                read = self.from.read_buf(&mut self.input) => if read? == 0 {
                    return Ok(());
                },
                () = self.again.notified() => self.repeat(),
            }
            self.take();
            if !self.output.is_empty() {
                to.write_all(&self.output).await?;
                to.flush().await?;
                self.output.clear();
            }
        }
    }

    /// Sends the last request again. It has no name by now.
    fn repeat(&mut self) {
        let rest = self.input.split();
        self.input.extend_from_slice(&self.last);
        self.input.extend_from_slice(&rest);
    }

    fn take(&mut self) {
        loop {
            let pass = self.passing.min(self.input.len());
            self.output.extend_from_slice(&self.input.split_to(pass));
            self.passing -= pass;
            if self.passing > 0 || self.input.len() < HEADER || self.begin().is_none() {
                return;
            }
        }
    }

    /// Begins to forward a message. `None` if more of it has to arrive first.
    fn begin(&mut self) -> Option<()> {
        let length = length(&self.input);
        let keeps_names = self.orders.lock().has_names;
        match self.input[0] {
            b'P' => {
                let parse = self.whole(length)?;
                self.prefix();
                self.statements.parse(&parse, keeps_names, &mut self.output);
            }
            b'D' | b'C' => {
                let request = self.whole(length)?;
                self.statements
                    .describe_or_close(&request, keeps_names, &mut self.output);
            }
            b'B' => match Statements::named_request(&self.input) {
                Some(request) if keeps_names && !self.is_within => {
                    self.execute(request);
                    return Some(());
                }
                _ => self.bind(length)?,
            },
            b'E' => {
                // What sqlx knows of the columns may be as old as its session.
                self.output.extend_from_slice(&DESCRIBE_PORTAL);
                self.passing = length;
            }
            b'Q' => {
                self.query(length);
                return Some(());
            }
            b'S' | b'F' => {
                self.count(Repetition::Impossible);
                self.passing = length;
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

    /// A request ends: the server will answer it.
    fn count(&mut self, repetition: Repetition) {
        self.is_within = false;
        self.progress.send_if_modified(|progress| {
            progress.repetition = repetition;
            progress.ask();
            progress.unanswered > 1
        });
    }

    /// Writes what a request begins with, if it begins now, and returns that.
    fn prefix(&mut self) -> Prefix {
        if self.is_within {
            return Prefix::None;
        }
        let (prefix, has_names) = self.orders.lock().next();
        let answers = prefix.write(has_names.then_some(&mut self.has_set), &mut self.output);
        self.expect_not(answers);
        prefix
    }

    fn expect_not(&self, messages: usize) {
        if messages > 0 {
            quietly(&self.progress, |progress| progress.expect_not(messages));
        }
    }

    /// Executes a statement by its name, unless the server refuses that: then it gets the text. Within a transaction it
    /// would accept nothing more.
    fn execute(&mut self, length: usize) {
        let prefix = self.prefix();
        let is_alone = !matches!(prefix, Prefix::Begin { .. }) && self.progress.borrow().status == b'I';
        let request = self.input.split_to(length);
        self.statements.execute(&request, &mut self.output);
        self.last.clear();
        self.last.extend_from_slice(&request);
        self.count(if is_alone {
            Repetition::Possible
        } else {
            Repetition::Impossible
        });
    }

    fn bind(&mut self, length: usize) -> Option<()> {
        let mut begin = BytesMut::new();
        let (read, unexpected) = self.statements.bind(&self.input, length, &mut begin)?;
        self.prefix();
        self.expect_not(unexpected);
        self.output.extend_from_slice(&begin);
        self.input.advance(read);
        self.passing = length - read;
        Some(())
    }

    /// Puts the prefix into the message of the query. The statements of one message are one transaction, with which
    /// `SET LOCAL` ends.
    fn query(&mut self, length: usize) {
        let (mut sql, answers) = self.orders.lock().next().0.sql();
        if let Some(left) = self.timeout.left() {
            let end = tokio::time::Instant::now() + left.saturating_sub(MARGIN);
            sql = format!("SET LOCAL statement_timeout = {}; ", milliseconds(end));
        }
        self.expect_not(answers);
        self.count(Repetition::Impossible);
        let rest = length - HEADER;
        self.output.extend_from_slice(b"Q");
        self.output
            .extend_from_slice(&((4 + sql.len() + rest) as u32).to_be_bytes());
        self.output.extend_from_slice(sql.as_bytes());
        self.input.advance(HEADER);
        self.passing = rest;
    }
}
