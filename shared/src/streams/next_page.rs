//! The page that readers at the end of a stream wait for. One read is for all of them at the same cursor. The read is a task, and
//! nobody waits in a queue: the client of a reader may take nothing, and then the reader's future is not polled.

use super::{Cursor, Error, Page, Refusal};
use crate::telemetry;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

/// How long a page is held for other readers, who are woken together.
const HOLD: Duration = Duration::from_secs(1);
/// How many bytes the pages that are held have, over all streams.
const HELD: usize = 8 << 20;

/// The memory of pages that are held.
#[derive(Clone)]
pub(super) struct Held(Arc<Semaphore>);

impl Default for Held {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HELD)))
    }
}

/// The page that was read last, and the read of the next one.
#[derive(Default)]
pub(super) struct NextPage(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<LastPage>,
    /// Closed when the read has ended.
    reading: Option<watch::Receiver<()>>,
}

struct LastPage {
    cursor: Cursor,
    limit: usize,
    page: Result<Weak<Page>, Refusal>,
    /// While it is held. Afterwards it is there as long as somebody has it.
    _held: Option<(Arc<Page>, OwnedSemaphorePermit)>,
    read_at: Instant,
}

/// What a reader does next.
enum Turn {
    Take(Result<Arc<Page>, Refusal>),
    /// Another one reads.
    Wait(watch::Receiver<()>),
    /// Read, until this is dropped.
    Read(watch::Sender<()>),
}

impl NextPage {
    /// The page at the cursor, by `read` unless another reader has it.
    ///
    /// # Errors
    /// Those of the read; [`Gone`](Refusal::Gone) if another stream is at the path.
    pub async fn get<F>(
        self: &Arc<Self>,
        cursor: &Cursor,
        limit: usize,
        held: &Held,
        read: impl Fn() -> F,
    ) -> Result<Arc<Page>, Error>
    where
        F: Future<Output = Result<Page, Error>> + Send + 'static,
    {
        loop {
            match self.turn(cursor, limit) {
                Turn::Take(page) => return Ok(page?),
                Turn::Wait(mut reading) => _ = reading.changed().await,
                Turn::Read(reading) => {
                    let read = telemetry::spawn(Arc::clone(self).read(*cursor, limit, held.clone(), read(), reading));
                    return read.await.expect("the read neither panics nor is aborted");
                }
            }
        }
    }

    /// Forgets a page that is held for long.
    pub fn forget(&self, now: Instant) {
        self.state().last.take_if(|last| now > last.read_at + HOLD);
    }

    fn turn(&self, cursor: &Cursor, limit: usize) -> Turn {
        let mut state = self.state();
        if let Some(page) = state.last.as_ref().and_then(|last| last.shared(cursor, limit)) {
            return Turn::Take(page);
        }
        match &state.reading {
            Some(reading) if reading.has_changed().is_ok() => Turn::Wait(reading.clone()),
            _ => {
                let (sender, reading) = watch::channel(());
                state.reading = Some(reading);
                Turn::Read(sender)
            }
        }
    }

    async fn read(
        self: Arc<Self>,
        cursor: Cursor,
        limit: usize,
        held: Held,
        read: impl Future<Output = Result<Page, Error>>,
        _reading: watch::Sender<()>,
    ) -> Result<Arc<Page>, Error> {
        let page = match read.await {
            Ok(page) if page.head.incarnation == cursor.incarnation => Ok(Arc::new(page)),
            Ok(_) => Err(Refusal::Gone),
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(error),
        };
        // First, so that its memory is there for this one.
        self.state().last = None;
        self.state().last = Some(LastPage {
            cursor,
            limit,
            page: page.as_ref().map(Arc::downgrade).map_err(|refusal| *refusal),
            _held: page.as_ref().ok().and_then(|page| held.hold(page)),
            read_at: Instant::now(),
        });
        Ok(page?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Holds the page, if there is memory for it.
    fn hold(&self, page: &Arc<Page>) -> Option<(Arc<Page>, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(page.size().try_into().ok()?);
        Some((Arc::clone(page), permit.ok()?))
    }
}

impl LastPage {
    /// The page, if it is for this reader too.
    fn shared(&self, cursor: &Cursor, limit: usize) -> Option<Result<Arc<Page>, Refusal>> {
        if (&self.cursor, self.limit) != (cursor, limit) {
            return None;
        }
        match &self.page {
            Ok(page) => page.upgrade().filter(|page| page.has_news()).map(Ok),
            Err(refusal) => Some(Err(*refusal)),
        }
    }
}
