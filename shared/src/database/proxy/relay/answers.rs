//! Forwards answers from the server to sqlx. Follows the lengths of messages, to find those that begin and end a
//! session's work.

use super::{End, Progress, Repetition, quietly};
use crate::database::proxy::{
    ProxyError,
    dialer::Connection,
    handle::SharedOrders,
    messages::{CHUNK, HEADER, field, length},
};
use bytes::{Buf, BytesMut};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf},
    net::unix::OwnedWriteHalf,
    sync::{Notify, watch},
};

/// Bytes of the longest message that has to arrive as a whole: ReadyForQuery has one, BackendKeyData up to 260.
const SMALL: usize = 1024;
/// Bytes that are forwarded at once of a long message. The server sends 8 KiB.
const LARGE: usize = 64 * 1024;
/// NotificationResponse, and its bytes at most: a payload has less than 8,000.
const NOTIFICATION: u8 = b'A';
const LONGEST_NOTIFICATION: usize = 9000;
/// The SQLSTATEs of a prepared statement that is of no use any more, and the functions of the server that raise them: it is
/// not there, or it would answer with other columns than when it was prepared.
const USELESS: [(&[u8], &[u8]); 2] = [
    (b"26000", b"FetchPreparedStatement"),
    (b"0A000", b"RevalidateCachedQuery"),
];

/// The direction from the server to sqlx.
pub(super) struct Answers {
    pub from: ReadHalf<Connection>,
    pub input: BytesMut,
    /// Bytes still to come of the current message.
    pub passing: usize,
    /// Bytes of the answer so far.
    pub taken: usize,
    pub limit: usize,
    /// Whether sqlx has not asked for notifications. Behind a pooler, others may have listened in the same session.
    pub is_deaf: bool,
    pub progress: Arc<watch::Sender<Progress>>,
    pub orders: SharedOrders,
    /// Wakes the other direction to send a request again.
    pub again: Arc<Notify>,
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

    /// The next bytes to forward, never empty. Of a long message they are many: each piece wakes sqlx, which needs all of them.
    async fn next(&mut self) -> Result<BytesMut, End> {
        loop {
            if self.input.len() >= self.passing.min(LARGE) {
                let output = self.take().map_err(End::Refused)?;
                if !output.is_empty() {
                    return Ok(output);
                }
            }
            let missing = self.passing.min(LARGE).saturating_sub(self.input.len());
            self.input.reserve(missing.max(CHUNK));
            if !matches!(self.from.read_buf(&mut self.input).await, Ok(1..)) {
                return Err(End::ServerGone);
            }
        }
    }

    /// Whether sqlx does not expect the message. Notices and parameters of the server may come at any time.
    fn is_unexpected(&self, start: usize) -> bool {
        let message = &self.input[start..];
        if self.is_deaf && message[0] == NOTIFICATION && length(message) <= LONGEST_NOTIFICATION {
            return true;
        }
        let progress = self.progress.borrow();
        if progress.repetition == Repetition::Due {
            return length(message) <= SMALL;
        }
        let is_answer = matches!(message[0], b'1' | b'2' | b'C' | b'D') && length(message) <= SMALL;
        is_answer && progress.unexpected.front().is_some_and(|count| *count > 0)
    }

    /// `false` if the message has to arrive as a whole first.
    fn drop_unexpected(&mut self) -> bool {
        let (length, kind) = (length(&self.input).max(HEADER), self.input[0]);
        if self.input.len() < length {
            return false;
        }
        let status = self.input.get(HEADER).copied().unwrap_or_default();
        self.input.advance(length);
        if kind == NOTIFICATION {
            return true;
        }
        let is_over = kind == b'Z';
        quietly(&self.progress, |progress| match progress.unexpected.front_mut() {
            _ if is_over => {
                progress.repetition = Repetition::Impossible;
                progress.answer(status);
            }
            Some(count) => *count = count.saturating_sub(1),
            None => {}
        });
        if is_over {
            self.again.notify_one();
        }
        true
    }

    /// The server has refused a request. Is it sent again? Statements have no names from then on where the request names
    /// one that is of no use.
    fn refuse(&mut self, response: &[u8]) -> bool {
        let is = |(code, function): &(&[u8], &[u8])| {
            field(response, b'C') == Some(code) && field(response, b'R') == Some(function)
        };
        let is_useless = USELESS.iter().any(is);
        if is_useless {
            self.orders.lock().has_names = false;
        }
        let mut is_repeated = false;
        quietly(&self.progress, |progress| {
            progress.fail();
            is_repeated = is_useless && progress.repetition == Repetition::Possible && progress.unanswered == 1;
            if is_repeated {
                progress.repetition = Repetition::Due;
            }
        });
        is_repeated
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
            if self.is_unexpected(end) {
                // The messages before it are forwarded first.
                if end > 0 || !self.drop_unexpected() {
                    break;
                }
                continue;
            }
            match self.admit(end) {
                Ok(true) => {}
                Err(fault) if end == 0 => return Err(fault),
                _ => break,
            }
        }
        Ok(self.input.split_to(end))
    }

    /// Begins to forward a message. `false` if it has to arrive as a whole first, because its content is read.
    fn admit(&mut self, start: usize) -> Result<bool, ProxyError> {
        let message = &self.input[start..];
        let (kind, length) = (message[0], length(message));
        let is_watched = matches!(kind, b'K' | b'Z') || (kind == b'E' && length <= SMALL);
        if length < HEADER || (matches!(kind, b'K' | b'Z') && length > SMALL) {
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
        let status = message.get(HEADER).copied().unwrap_or_default();
        match kind {
            b'K' => {
                let key = message[HEADER..length].to_vec();
                self.progress.send_modify(|progress| progress.key = Some(key));
            }
            b'Z' => _ = self.progress.send_if_modified(|progress| progress.answer(status)),
            b'E' => {
                let response = message[..length.min(message.len())].to_vec();
                if self.refuse(&response) {
                    return Ok(true);
                }
            }
            _ => {}
        }
        self.passing = length;
        // Notifications do not count, because they may come as long as a session is open.
        let is_answer = kind != b'Z' && self.progress.borrow().unanswered > 0;
        self.taken = if is_answer { self.taken + length } else { 0 };
        Ok(true)
    }
}
