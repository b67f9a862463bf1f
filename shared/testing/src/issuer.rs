//! An issuer of tokens on loopback: its document, its keys, and the ways in which both fail.

mod fault;
mod signing_key;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, task::JoinHandle};

pub use fault::Fault;
pub use signing_key::SigningKey;

/// The audience of the tokens.
const AUDIENCE: &str = "the-api";
const KEYS: &str = "/keys";
/// Where a redirect leads.
const MOVED: &str = "/moved";

/// The server ends with this.
pub struct Issuer {
    /// The claim `iss`, and the address of the server.
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    url: String,
    state: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    /// The newest is the last; tokens are signed with that one.
    keys: Vec<Arc<SigningKey>>,
    fault: Option<Fault>,
    /// How often the keys were asked for.
    fetches: usize,
}

impl Issuer {
    /// An issuer with a key for ES256.
    pub async fn start() -> Self {
        Self::with(SigningKey::es256()).await
    }

    /// An issuer with this key.
    pub async fn with(key: SigningKey) -> Self {
        let (listener, url) = crate::loopback().await;
        let state = Mutex::new(Published {
            keys: vec![Arc::new(key)],
            ..Published::default()
        });
        let shared = Arc::new(Shared {
            url: url.clone(),
            state,
        });
        let server = serve(listener, Arc::clone(&shared));
        Self { url, shared, server }
    }

    /// `TOKEN_ISSUERS` for this issuer, by discovery.
    pub fn settings(&self) -> String {
        self.settings_with(&json!({}))
    }

    /// As [`Issuer::settings`], with more members, or others.
    pub fn settings_with(&self, members: &Value) -> String {
        let entry = json!({"issuer": self.url, "audience": AUDIENCE});
        json!([merged(entry, members)]).to_string()
    }

    /// Where the keys are.
    pub fn keys_url(&self) -> String {
        format!("{}{KEYS}", self.url)
    }

    /// The key set.
    pub fn key_set(&self) -> Value {
        self.shared.key_set()
    }

    /// A token of `alice` for an hour, with these claims in addition or instead. A claim that is `null` is left out.
    pub fn token(&self, claims: &Value) -> String {
        let now = now();
        let usual = json!({"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600});
        let key = self.newest_key();
        key.sign(&key.header(), &merged(usual, claims))
    }

    /// The key that signs.
    pub fn newest_key(&self) -> Arc<SigningKey> {
        let keys = &self.shared.state().keys;
        Arc::clone(keys.last().expect("an issuer has a key"))
    }

    /// Publishes one more key, and signs with it. The keys before it are still published.
    pub fn rotate(&self) {
        self.shared.state().keys.push(Arc::new(SigningKey::es256()));
    }

    /// Publishes no key but the newest.
    pub fn withdraw_old_keys(&self) {
        let newest = self.newest_key();
        self.shared.state().keys = vec![newest];
    }

    /// From now on, answers with this fault, or without one.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.state().fault = fault;
    }

    /// How often the keys were asked for.
    pub fn fetches(&self) -> usize {
        self.shared.state().fetches
    }

    /// Stops listening, until [`Issuer::resume`].
    pub async fn stop(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Listens again, on the same port.
    pub async fn resume(&mut self) {
        let address = self.url.trim_start_matches("http://");
        let listener = TcpListener::bind(address).await.expect("the port is still free");
        self.server = serve(listener, Arc::clone(&self.shared));
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, Published> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_set(&self) -> Value {
        let keys: Vec<_> = self.state().keys.iter().map(|key| key.public()).collect();
        json!({"keys": keys})
    }
}

fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(document))
        .route(KEYS, get(keys))
        .route(MOVED, get(moved))
        .with_state(shared);
    tokio::spawn(async move {
        let _ = axum::serve(listener, routes).await;
    })
}

async fn document(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let keys_url = format!("{}{KEYS}", shared.url);
    Json(json!({"issuer": shared.url, "jwks_uri": keys_url, "subject_types_supported": ["public"]}))
}

async fn moved(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.key_set())
}

async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    let fault = {
        let mut state = shared.state();
        state.fetches += 1;
        state.fault
    };
    match fault {
        None => Json(shared.key_set()).into_response(),
        Some(fault) => fault.answer(shared.key_set()).await,
    }
}

fn merged(mut object: Value, members: &Value) -> Value {
    let object_members = object.as_object_mut().expect("an object");
    for (name, value) in members.as_object().expect("an object") {
        object_members.insert(name.clone(), value.clone());
    }
    object_members.retain(|_, value| !value.is_null());
    object
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}
