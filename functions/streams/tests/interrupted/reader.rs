//! A reader of an event stream that does what a browser does: it comes back with its last id, here to the next of its servers.

use crate::Caller;
use axum::body::Bytes;
use http_body_util::BodyExt;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use testing::Process;
use tokio::{task::JoinSet, time::sleep};

/// Which ids a reader goes by.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub enum Ids {
    #[default]
    OfAllEvents,
    /// As if no other events had one.
    OfControlEvents,
}

/// What a reader has seen so far.
#[derive(Clone, Default)]
pub struct Seen {
    /// The messages, and when each came.
    pub read: Vec<(i64, Instant)>,
    /// How many answers have begun.
    pub connections: usize,
    /// What the last `retry:` says.
    pub retry: u64,
    /// The status of the last answer.
    pub status: u16,
    ids: Ids,
    last_id: Option<String>,
    is_over: bool,
}

impl Seen {
    pub fn messages(&self) -> Vec<i64> {
        self.read.iter().map(|(message, _)| *message).collect()
    }

    /// An event, without the empty line at its end.
    fn take(&mut self, event: &str) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        self.retry = field("retry: ").map_or(self.retry, |retry| retry.parse().unwrap());
        let is_control = field("event: ") == Some("control");
        if is_control || self.ids == Ids::OfAllEvents {
            self.last_id = field("id: ").map(str::to_owned).or(self.last_id.take());
        }
        let data = field("data:").unwrap_or_default();
        if is_control {
            self.is_over |= data.contains("\"streamClosed\":true");
        } else if !data.is_empty() {
            let messages: Vec<i64> = serde_json::from_str(data).unwrap();
            let now = Instant::now();
            self.read.extend(messages.into_iter().map(|message| (message, now)));
        }
    }
}

/// Reads until it is dropped, or has seen the end of the stream.
pub struct Reader {
    seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

impl Reader {
    /// Of a stream from its start, at the first of these servers.
    pub fn start(servers: &[&Process], path: &str) -> Self {
        let urls: Vec<&str> = servers.iter().map(|server| &*server.url).collect();
        Self::with(Ids::OfAllEvents, &urls, path)
    }

    /// The same at URLs of servers.
    pub fn with(ids: Ids, servers: &[&str], path: &str) -> Self {
        let url = |server: &&str| format!("{server}/v1/stream/{path}?offset=-1&live=sse");
        let urls: Vec<String> = servers.iter().map(url).collect();
        let seen = Arc::new(Mutex::new(Seen { ids, ..Seen::default() }));
        let mut task = JoinSet::new();
        task.spawn(read(urls, Arc::clone(&seen)));
        Self { seen, _task: task }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// What it has seen when that is enough.
    pub async fn until(&self, is_enough: impl Fn(&Seen) -> bool) -> Seen {
        let start = Instant::now();
        loop {
            let seen = self.seen();
            if is_enough(&seen) {
                return seen;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} messages",
                seen.read.len()
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has seen at the end of the stream.
    pub async fn end(&self) -> Seen {
        self.until(|seen| seen.is_over).await
    }
}

async fn read(urls: Vec<String>, seen: Arc<Mutex<Seen>>) {
    let caller = Caller::new();
    for url in urls.iter().cycle() {
        let last_id = seen.lock().unwrap().last_id.clone();
        let mut headers = vec![("authorization", &*caller.authorization)];
        headers.extend(last_id.as_deref().map(|id| ("last-event-id", id)));
        if let Ok(answer) = caller.client.try_open(url, &headers).await {
            {
                let mut seen = seen.lock().unwrap();
                seen.connections += 1;
                seen.status = answer.status().as_u16();
                seen.is_over |= answer.status() == 204;
            }
            if answer.status() == 200 {
                take_events(answer.into_body(), &seen).await;
            }
        }
        if seen.lock().unwrap().is_over {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Takes whole events: what is cut off has not been seen.
async fn take_events(mut body: impl BodyExt<Data = Bytes> + Unpin, seen: &Mutex<Seen>) {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = text.windows(2).position(|window| window == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            seen.lock().unwrap().take(std::str::from_utf8(&event[..end]).unwrap());
        }
    }
}
