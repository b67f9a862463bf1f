//! Where readers wait. Appends of this process wake them at once, those of others when a poll finds them. One poll asks for all
//! streams that are waited for, and a doorbell only makes it come sooner, so that nothing depends on a message.

use super::{
    Appended, Cursor, Stored,
    batch::Outcome,
    bell::{Bell, listen},
    feed::feed,
    next_page::Held,
    stream::{Reader, Seen},
    watched::Watched,
};
use crate::{config::Env, database::Database, deadline::Deadline};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

/// The pause between two polls: the shortest after something was found, the longest after nothing was found for some time, or
/// when there is a doorbell.
const SHORTEST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_secs(1);
/// How long each pause lasts, whatever rings: readers and messages that come together have one poll.
const AT_ONCE: Duration = Duration::from_millis(3);
/// How long a poll may take.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Hub {
    pub database: Database,
    bell: Bell,
    sleep_after: Duration,
    watched: Mutex<State>,
    pub held_pages: Held,
    /// Asks for a poll now.
    pub soon: Notify,
    /// Whether the doorbell works.
    pub has_bell: AtomicBool,
}

#[derive(Default)]
struct State {
    watched: Watched,
    is_polling: bool,
}

impl Hub {
    pub fn new(env: &Env, database: Database) -> Arc<Self> {
        Arc::new(Self {
            bell: Bell::new(env, database.clone()),
            database,
            sleep_after: super::settings::sleep_after(env),
            watched: Mutex::default(),
            held_pages: Held::default(),
            soon: Notify::new(),
            has_bell: AtomicBool::new(false),
        })
    }

    /// Adds a reader.
    pub fn watch(self: &Arc<Self>, cursor: &Cursor) -> Reader {
        let mut state = self.state();
        let (reader, is_new) = state.watched.add(cursor.incarnation, cursor.at.end);
        if !std::mem::replace(&mut state.is_polling, true) {
            tokio::spawn(Arc::clone(self).poll_while_watched());
        }
        if is_new {
            self.soon.notify_one();
        }
        reader
    }

    /// Whether a reader who is there was sent away, and nothing has happened since.
    pub fn is_asleep(&self, cursor: &Cursor) -> bool {
        self.state().watched.is_asleep(cursor.incarnation, cursor.at.end)
    }

    /// Whether readers of this process wait for the stream, or were there a moment ago.
    pub fn is_watched(&self, stream: i64) -> bool {
        self.state().watched.has(stream)
    }

    /// Wakes the readers of streams that this process has appended to.
    pub async fn appended(self: &Arc<Self>, outcomes: &[Outcome]) {
        let appended = outcomes.iter().filter_map(|outcome| match outcome {
            Some(Ok(appended)) if appended.stored == Stored::New => Some(appended),
            _ => None,
        });
        let appended: Vec<&Appended> = appended.collect();
        if appended.is_empty() {
            return;
        }
        for it in &appended {
            self.record(it.incarnation, |seen| {
                seen.tail = seen.tail.max(it.tail.end);
                seen.closed |= it.closed;
            });
        }
        self.bell.ring(appended.iter().map(|it| it.incarnation)).await;
    }

    /// Records what has become known of a stream. It is published with the page that its readers wait for.
    pub fn record(self: &Arc<Self>, stream: i64, seen: impl FnOnce(&mut Seen)) {
        let mut state = self.state();
        state.watched.wake();
        if let Some(stream) = state.watched.record(stream, seen) {
            tokio::spawn(feed(Arc::clone(self), stream));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll_while_watched(self: Arc<Self>) {
        let listening = tokio::spawn(listen(Arc::clone(&self), self.bell.clone()));
        let _listening = AbortOnDropHandle::new(listening);
        let mut pause = SHORTEST;
        while let Some(streams) = self.with_readers() {
            let found = self.poll(&streams).await;
            if let Ok(false) = found {
                self.sleep_after_silence();
            }
            pause = match found {
                Ok(true) => SHORTEST,
                Ok(false) if self.has_bell.load(Ordering::Relaxed) => LONGEST,
                _ => (pause * 2).min(LONGEST),
            };
            sleep(AT_ONCE).await;
            tokio::select! {
                () = self.soon.notified() => {}
                () = sleep(pause) => {}
            }
        }
        self.has_bell.store(false, Ordering::Relaxed);
    }

    /// The streams to ask for; `None` when polling ends.
    fn with_readers(&self) -> Option<Vec<(i64, Seen)>> {
        let mut state = self.state();
        let streams = state.watched.with_readers();
        state.is_polling = !state.watched.is_empty();
        state.is_polling.then_some(streams)
    }

    /// Sends readers away if nothing has happened for long. Only a poll that has found nothing proves it: this process may have
    /// been frozen, or without its database, all the time.
    fn sleep_after_silence(&self) {
        let mut state = self.state();
        if state.watched.silence() > self.sleep_after {
            state.watched.sleep();
        }
    }

    /// Asks for what is new in these streams, and returns whether there is anything.
    async fn poll(self: &Arc<Self>, streams: &[(i64, Seen)]) -> sqlx::Result<bool> {
        if streams.is_empty() {
            return Ok(false);
        }
        let ids: Vec<i64> = streams.iter().map(|(id, _)| *id).collect();
        let tails: Vec<i64> = streams.iter().map(|(_, seen)| seen.tail).collect();
        let closed: Vec<bool> = streams.iter().map(|(_, seen)| seen.closed).collect();
        let found = sqlx::query!(
            r#"SELECT w.id AS "id!", s.tail AS "tail?", s.closed AS "closed?"
            FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) w (id, tail, closed)
            LEFT JOIN streams.streams s ON s.id = w.id AND s.live AND s.expires_at > clock_timestamp()
            WHERE s.id IS NULL OR s.tail > w.tail OR s.closed > w.closed"#,
            &ids,
            &tails,
            &closed,
        );
        let deadline = Deadline::default().earlier(Instant::now() + POLL_TIMEOUT);
        let found = found.fetch_all(&self.database.connection(&deadline)).await?;
        for row in &found {
            self.record(row.id, |seen| match (row.tail, row.closed) {
                (Some(tail), Some(closed)) => {
                    seen.tail = seen.tail.max(tail);
                    seen.closed |= closed;
                }
                _ => seen.gone = true,
            });
        }
        Ok(!found.is_empty())
    }
}
