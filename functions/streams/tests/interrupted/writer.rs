//! A producer that repeats each append until it is acknowledged, each time at the next of its servers.

use crate::{Caller, JSON};
use hyper::Method;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use testing::Process;
use tokio::time::sleep;

pub struct Writer {
    pub caller: Caller,
    urls: Vec<String>,
    id: String,
    seq: usize,
    turn: usize,
    /// How many answers there were of each status; 0 where the connection broke.
    pub answers: BTreeMap<u16, usize>,
    /// The longest time of a request, answered or not.
    pub slowest: Duration,
}

impl Writer {
    pub fn new(servers: &[&Process], path: &str, id: &str) -> Self {
        let url = |server: &&Process| format!("{}/v1/stream/{path}", server.url);
        Self {
            caller: Caller::new(),
            urls: servers.iter().map(url).collect(),
            id: id.to_owned(),
            seq: 0,
            turn: 0,
            answers: BTreeMap::new(),
            slowest: Duration::ZERO,
        }
    }

    /// Appends a message. Returns when it is acknowledged.
    pub async fn append(&mut self, message: i64) {
        loop {
            match self.attempt(message).await {
                200 | 204 => return,
                0 | 503 => sleep(Duration::from_millis(50)).await,
                status => panic!("{status}"),
            }
        }
    }

    /// Sends the append once. Returns the status of the answer, or 0 if the connection broke.
    pub async fn attempt(&mut self, message: i64) -> u16 {
        let seq = self.seq.to_string();
        let headers = [
            JSON,
            ("authorization", &*self.caller.authorization),
            ("producer-id", &*self.id),
            ("producer-epoch", "0"),
            ("producer-seq", &*seq),
        ];
        let url = &self.urls[self.turn % self.urls.len()];
        self.turn += 1;
        let start = Instant::now();
        let client = &self.caller.client;
        let sent = client.try_exchange(Method::POST, url, &headers, message.to_string().into());
        let status = sent.await.map_or(0, |answer| answer.status.as_u16());
        self.slowest = self.slowest.max(start.elapsed());
        *self.answers.entry(status).or_default() += 1;
        self.seq += usize::from([200, 204].contains(&status));
        status
    }

    /// Ends the stream.
    pub async fn close(&self) {
        let closed = self
            .caller
            .ask(Method::POST, &self.urls[0], &[("stream-closed", "true")], "")
            .await;
        assert_eq!(closed.status, 204, "{closed:?}");
    }
}
