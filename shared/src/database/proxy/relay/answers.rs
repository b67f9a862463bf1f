//! From the server to sqlx: message by message, because what comes next is known by its length only.

use super::{End, Progress};
use crate::database::proxy::{
    Fault,
    dialer::Stream,
    messages::{CHUNK, HEADER, length},
};
use bytes::BytesMut;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf},
    net::unix::OwnedWriteHalf,
    sync::watch,
};

/// From the server to sqlx.
pub(super) struct Answers {
    pub from: ReadHalf<Stream>,
    pub input: BytesMut,
    /// Bytes of a message that has begun.
    pub passing: usize,
    /// Bytes of the answer so far.
    pub taken: usize,
    pub limit: usize,
    pub progress: Arc<watch::Sender<Progress>>,
}

impl Answers {
    /// Until either side is gone, or the server must not be listened to.
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

    /// What can be passed on, never empty.
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
        if length > self.limit - self.taken {
            return Err(Fault::Protocol(format!(
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
        // Notifications, which come for as long as a session is open, are no part of an answer.
        let is_answer = kind != b'Z' && self.progress.borrow().unanswered > 0;
        self.taken = if is_answer { self.taken + length } else { 0 };
        Ok(true)
    }
}
