//! The doorbell: NOTIFY tells other processes that there is something to read. It is rung after the commit and for many appends
//! at once, because the server serialises the commits of transactions that notify. It is believed only while the messages come
//! back that this process sends to itself: a pooler accepts LISTEN and delivers nothing.

use super::hub::Hub;
use crate::{config::Env, database::Database, deadline::Deadline, random};
use sqlx::postgres::{PgListener, PgNotification};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

const CHANNEL: &str = "streams";
/// The time between two messages, in which appends are gathered.
const COALESCE: Duration = Duration::from_millis(20);
/// How long a message may take to come back, and how long a silence is believed.
const ECHO: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(30);
/// How long the first attempt to listen again waits, and the longest one.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// The server takes less than 8,000 bytes.
const LONGEST_MESSAGE: usize = 7900;
/// In place of the streams, where they are too many for a message.
const ALL: &str = "*";

#[derive(Clone)]
pub(super) struct Bell(Arc<Inner>);

struct Inner {
    database: Database,
    /// Where to listen: `DATABASE_DIRECT_URL` where `DATABASE_URL` is a pooler.
    direct: Database,
    /// This process in messages.
    name: String,
    pending: Mutex<Pending>,
    /// Whether nothing runs after an answer, as on Lambda.
    freezes: bool,
}

#[derive(Default)]
struct Pending {
    /// The streams of the next message.
    streams: BTreeSet<i64>,
    /// When the last one was sent.
    sent_at: Option<Instant>,
}

impl Bell {
    pub fn new(env: &Env, database: Database) -> Self {
        let direct = match env.text("DATABASE_DIRECT_URL") {
            None => database.clone(),
            Some(url) => Database::from_env(&env.overlay(move |key| (key == "DATABASE_URL").then(|| url.clone()))),
        };
        Self(Arc::new(Inner {
            database,
            direct,
            name: format!("{:016x}", random::u64()),
            pending: Mutex::default(),
            freezes: env.text("AWS_LAMBDA_RUNTIME_API").is_some(),
        }))
    }

    /// Tells all processes that these streams have grown: at once, or after the pause between two messages.
    pub async fn ring(&self, streams: impl Iterator<Item = i64>) {
        let (is_first, not_before) = {
            let mut pending = self.pending();
            let is_first = pending.streams.is_empty();
            pending.streams.extend(streams);
            (is_first, pending.sent_at.map(|sent_at| sent_at + COALESCE))
        };
        if self.0.freezes {
            self.send().await;
        } else if is_first {
            tokio::spawn(self.clone().send_not_before(not_before));
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_not_before(self, time: Option<Instant>) {
        if let Some(time) = time {
            sleep_until(time).await;
        }
        self.send().await;
    }

    async fn send(&self) {
        let streams = {
            let mut pending = self.pending();
            pending.sent_at = Some(Instant::now());
            std::mem::take(&mut pending.streams)
        };
        if !streams.is_empty() {
            self.notify(&message(&self.0.name, &streams)).await;
        }
    }

    /// A message that is lost costs time only; why is logged.
    async fn notify(&self, message: &str) {
        let deadline = Deadline::default().earlier(Instant::now() + ECHO);
        let notify = sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, message);
        let _ = notify.execute(&self.0.database.connection(&deadline)).await;
    }
}

/// A message names its sender and the streams: a process that watches none of them does not poll.
fn message(name: &str, streams: &BTreeSet<i64>) -> String {
    let ids: Vec<String> = streams.iter().map(i64::to_string).collect();
    let message = format!("{name} {}", ids.join(","));
    if message.len() > LONGEST_MESSAGE {
        return format!("{name} {ALL}");
    }
    message
}

/// Listens until it is aborted.
pub(super) async fn listen(hub: Arc<Hub>, bell: Bell) {
    let [mut retry, longest] = RETRY;
    loop {
        if let Ok(mut listener) = bell.0.direct.listener().await
            && listener.listen(CHANNEL).await.is_ok()
        {
            while bell.echoes(&mut listener, &hub).await {
                retry = RETRY[0];
                hub.has_bell.store(true, Ordering::Relaxed);
                listen_until_silence(&mut listener, &bell.0.name, &hub).await;
            }
            hub.has_bell.store(false, Ordering::Relaxed);
        }
        sleep(retry).await;
        retry = (retry * 2).min(longest);
    }
}

impl Bell {
    /// Whether a message of this process comes back.
    async fn echoes(&self, listener: &mut PgListener, hub: &Hub) -> bool {
        let probe = format!("{} ?{:016x}", self.0.name, random::u64());
        self.notify(&probe).await;
        let echo = async {
            while let Some(message) = next(listener).await {
                if message.payload() == probe {
                    return true;
                }
                heard(&message, &self.0.name, hub);
            }
            false
        };
        timeout(ECHO, echo).await.unwrap_or(false)
    }
}

async fn listen_until_silence(listener: &mut PgListener, name: &str, hub: &Hub) {
    // What was sent before this listener was there.
    hub.soon.notify_one();
    while let Ok(Some(message)) = timeout(SILENCE, next(listener)).await {
        heard(&message, name, hub);
    }
}

/// The next message; `None` if the connection is lost.
async fn next(listener: &mut PgListener) -> Option<PgNotification> {
    listener.try_recv().await.ok().flatten()
}

/// Asks for a poll if a message is about streams that are watched here. Readers of appends of this process are awake already.
fn heard(message: &PgNotification, name: &str, hub: &Hub) {
    let (sender, streams) = message.payload().split_once(' ').unwrap_or(("", ALL));
    if sender == name {
        return;
    }
    let mut streams = streams.split(',');
    if streams.any(|stream| stream.parse().map_or(stream == ALL, |stream| hub.is_watched(stream))) {
        hub.soon.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_streams_unless_there_are_too_many() {
        assert_eq!(message("me", &BTreeSet::from([7, 12])), "me 7,12");
        let many: BTreeSet<i64> = (1_000_000_000..1_000_001_000).collect();
        assert_eq!(message("me", &many), "me *");
    }
}
