//! Forwards requests from sqlx to the server, counts them, and sets their `statement_timeout`.

use super::Progress;
use crate::database::proxy::{
    RequestTimeout,
    dialer::Connection,
    messages::{CHUNK, HEADER, length},
};
use bytes::{Buf, BytesMut};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, WriteHalf},
    net::unix::OwnedReadHalf,
    sync::watch,
    time::Instant,
};

/// How much earlier than the caller gives up the server ends a request, so that its answer still arrives.
const MARGIN: Duration = Duration::from_millis(20);

/// The direction from sqlx to the server.
pub(super) struct Requests {
    pub from: OwnedReadHalf,
    pub input: BytesMut,
    /// Bytes still to come of the current message.
    pub passing: usize,
    pub timeout: RequestTimeout,
    pub progress: Arc<watch::Sender<Progress>>,
}

impl Requests {
    /// Forwards until sqlx closes its connection, or the server accepts no more.
    pub async fn carry(&mut self, to: &mut WriteHalf<Connection>) -> io::Result<()> {
        loop {
            self.input.reserve(CHUNK);
            if self.from.read_buf(&mut self.input).await? == 0 {
                return Ok(());
            }
            let output = self.take();
            to.write_all(&output).await?;
            to.flush().await?;
        }
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

    /// Puts the timeout into the message of the query, because a pooler may send the next message to another session.
    /// The statements of one message are one transaction, with which `SET LOCAL` ends.
    fn bound_query(&mut self, output: &mut BytesMut) {
        let Some(left) = self.timeout.left() else {
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
