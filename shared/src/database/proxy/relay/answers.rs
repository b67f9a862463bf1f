//! Forwards answers from the server to sqlx. Follows the lengths of messages, to find those that begin and end a
//! session's work.

use super::{End, Progress};
use crate::database::proxy::{
    ProxyError,
    dialer::Connection,
    messages::{CHUNK, HEADER, length},
};
use bytes::BytesMut;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf},
    net::unix::OwnedWriteHalf,
    sync::watch,
};

/// The direction from the server to sqlx.
pub(super) struct Answers {
    pub from: ReadHalf<Connection>,
    pub input: BytesMut,
    /// Bytes still to come of the current message.
    pub passing: usize,
    /// Bytes of the answer so far.
    pub taken: usize,
    pub limit: usize,
    pub progress: Arc<watch::Sender<Progress>>,
}

impl Answers {
    /// Forwards until either side has gone, or the server has exceeded a limit or violated the protocol.
    pub async fn carry(&mut self, to: &mut OwnedWriteHalf) -> End {
        loop {
            match self.next().await {
                Ok(output) if to.write_all(&output).await.is_err() => return End::ClientGone,
                Ok(_) => {}
                Err(end) => return end,
            }
        }
    }

    pub async fn discard_until_idle(&mut self) -> Result<(), End> {
        while self.progress.borrow().unanswered > 0 {
            self.next().await?;
        }
        Ok(())
    }

    pub async fn discard(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// The next bytes to forward, never empty.
    async fn next(&mut self) -> Result<BytesMut, End> {
        loop {
            let output = self.take().map_err(End::Refused)?;
            if !output.is_empty() {
                return Ok(output);
            }
            self.input.reserve(CHUNK);
            match self.from.read_buf(&mut self.input).await {
                Ok(1..) => {}
                _ => return Err(End::ServerGone),
            }
        }
    }

    fn take(&mut self) -> Result<BytesMut, ProxyError> {
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
                // The messages before it are forwarded first.
                Err(_) if end > 0 => break,
                Err(fault) => return Err(fault),
                Ok(false) => break,
            }
        }
        Ok(self.input.split_to(end))
    }

    /// Begins to forward a message. `false` if it has to arrive as a whole first, because its content is read.
    fn admit(&mut self, start: usize) -> Result<bool, ProxyError> {
        /// ReadyForQuery has one byte, BackendKeyData up to 260.
        const SMALL: usize = 1024;
        let message = &self.input[start..];
        let (kind, length) = (message[0], length(message));
        let is_watched = matches!(kind, b'K' | b'Z');
        if length < HEADER || (is_watched && length > SMALL) {
            return Err(ProxyError::Protocol(
                "the server sent what is not a message of Postgres".to_owned(),
            ));
        }
        if length > self.limit - self.taken {
            return Err(ProxyError::Protocol(format!(
                "the server sent more than {} bytes in one answer",
                self.limit
            )));
        }
        if is_watched && message.len() < length {
            return Ok(false);
        }
        let key = (kind == b'K').then(|| message[HEADER..length].to_vec());
        self.passing = length;
        match kind {
            b'K' => self.progress.send_modify(|progress| progress.key = key),
            b'Z' => self
                .progress
                .send_modify(|progress| progress.unanswered = progress.unanswered.saturating_sub(1)),
            _ => {}
        }
        // Notifications do not count, because they may come as long as a session is open.
        let is_answer = kind != b'Z' && self.progress.borrow().unanswered > 0;
        self.taken = if is_answer { self.taken + length } else { 0 };
        Ok(true)
    }
}
