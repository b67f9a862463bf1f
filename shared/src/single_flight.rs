//! One flight for all that ask at once, and its result for those that ask later.

use crate::telemetry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Work that is done once for any number of tasks that ask for its result at the same time. Clones share the flight.
pub(crate) struct SingleFlight<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    landed: Option<T>,
    flight: Option<watch::Receiver<Option<T>>>,
}

impl<T> Clone for SingleFlight<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        let (landed, flight) = (None, None);
        Self(Arc::new(Mutex::new(State { landed, flight })))
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// The last result if it is fresh, else that of the flight in progress, else of a new one: `work` gets the last result.
    ///
    /// The flight is a separate task: an asker that hangs up does not cancel it for the others.
    ///
    /// # Panics
    /// The work panicked. The next asker starts anew.
    pub async fn get<F>(&self, is_fresh: impl FnOnce(&T) -> bool, work: impl FnOnce(Option<T>) -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flight = match self.join_or_start(is_fresh, work) {
            Ok(fresh) => return fresh,
            Err(flight) => flight,
        };
        let landed = flight.wait_for(Option::is_some).await.map(|landed| landed.clone());
        landed
            .ok()
            .flatten()
            .expect("work that panicked fails those who wait for it, too")
    }

    /// The last result.
    #[cfg(feature = "callers")]
    pub fn last(&self) -> Option<T> {
        self.state().landed.clone()
    }

    fn join_or_start<F>(
        &self,
        is_fresh: impl FnOnce(&T) -> bool,
        work: impl FnOnce(Option<T>) -> F,
    ) -> Result<T, watch::Receiver<Option<T>>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut state = self.state();
        if let Some(landed) = state.landed.as_ref().filter(|landed| is_fresh(landed)) {
            return Ok(landed.clone());
        }
        // Fails if the sender was dropped: the work has panicked.
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Err(flight.clone());
        }
        let (landing, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        telemetry::spawn(self.clone().fly(work(state.landed.clone()), landing));
        Err(flight)
    }

    async fn fly(self, work: impl Future<Output = T>, landing: watch::Sender<Option<T>>) {
        let result = work.await;
        *self.state() = State {
            landed: Some(result.clone()),
            flight: None,
        };
        landing.send_replace(Some(result));
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
