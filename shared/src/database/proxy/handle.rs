//! How the owner of a session controls what the proxy does with it.

use super::{prefix::Prefix, relay::Progress};
use crate::random;
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// What the owner of a session wants of the proxy.
#[derive(Default)]
pub(super) struct Orders {
    pub prefix: Prefix,
    /// Whether prepared statements may have names in the server.
    pub has_names: bool,
}

impl Orders {
    /// What the request that is sent now begins with, and whether statements have names.
    pub fn next(&mut self) -> (Prefix, bool) {
        let prefix = self.prefix;
        if let Prefix::Begin { .. } = prefix {
            self.prefix = Prefix::None;
        }
        (prefix, self.has_names)
    }
}

/// Orders that both sides read and change.
#[derive(Clone, Default)]
pub(super) struct SharedOrders(Arc<Mutex<Orders>>);

impl SharedOrders {
    pub fn lock(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The relay's side of a session.
pub(super) struct RelayEnd {
    pub progress: watch::Sender<Progress>,
    pub orders: SharedOrders,
}

impl Default for RelayEnd {
    fn default() -> Self {
        Self {
            progress: watch::channel(Progress::login()).0,
            orders: SharedOrders::default(),
        }
    }
}

/// The relays' sides of sessions that are being opened. sqlx passes a number on in its `options`, which go no further.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<String, RelayEnd>>>);

/// A session that is being opened.
pub(super) struct Ticket {
    waiting: Waiting,
    number: String,
}

/// The parameter in the `options`.
const PARAMETER: &str = "pilotlight.session";

impl Waiting {
    /// Two ends of a session, and the options with which sqlx has to open it.
    pub fn add(&self, options: PgConnectOptions) -> (Ticket, Handle, PgConnectOptions) {
        let end = RelayEnd::default();
        let handle = Handle {
            progress: end.progress.subscribe(),
            orders: end.orders.clone(),
        };
        let number = format!("{:032x}", random::u128());
        self.lock().insert(number.clone(), end);
        let options = options.options([(PARAMETER, &number)]);
        let waiting = self.clone();
        (Ticket { waiting, number }, handle, options)
    }

    /// The relay's side of the session with this startup message.
    pub fn take(&self, startup: &[u8]) -> RelayEnd {
        let mut words = startup.split(|byte| *byte == 0);
        let number = words.find_map(|word| {
            let (name, number) = std::str::from_utf8(word).ok()?.rsplit_once('=')?;
            name.ends_with(PARAMETER).then(|| self.lock().remove(number))?
        });
        number.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RelayEnd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.number);
    }
}

/// The owner's side of a session.
pub(in crate::database) struct Handle {
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) orders: SharedOrders,
}

impl Handle {
    /// What the next request begins with.
    pub fn prefix(&self, prefix: Prefix) {
        self.orders.lock().prefix = prefix;
    }

    /// Takes back a `BEGIN` that no request has sent. `false` if there was none.
    pub fn has_not_begun(&self) -> bool {
        let mut orders = self.orders.lock();
        let has_not_begun = matches!(orders.prefix, Prefix::Begin { .. });
        orders.prefix = Prefix::None;
        has_not_begun
    }

    /// Gives prepared statements names in the server from now on, if it is the process `id`: behind a pooler, which sends
    /// another id, the next request may go to a session that does not know them.
    pub fn keep_names(&self, id: i32) {
        let is_direct = self.is_direct(id);
        self.orders.lock().has_names = is_direct;
    }

    /// Whether the server's process `id` itself has opened the session. A pooler sends another id.
    pub fn is_direct(&self, id: i32) -> bool {
        let key = &self.progress.borrow().key;
        key.as_ref().is_some_and(|key| key.starts_with(&id.to_be_bytes()))
    }

    /// Whether the session has ended.
    pub fn has_ended(&self) -> bool {
        self.progress.is_closed()
    }

    /// Whether the server has answered everything just now.
    pub fn is_fresh(&self) -> bool {
        self.progress.borrow().is_fresh()
    }

    /// Returns when the server has answered everything, or the session has ended.
    pub async fn settled(&self) {
        let mut progress = self.progress.clone();
        let _ = progress.wait_for(|progress| progress.unanswered == 0).await;
    }

    /// Whether the server has answered everything, and is in no transaction.
    pub fn is_idle(&self) -> bool {
        let progress = self.progress.borrow();
        progress.unanswered == 0 && progress.status == b'I'
    }
}
