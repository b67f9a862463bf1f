//! When keys are fetched, over hours: by a source that counts, because real time does not pass that fast.

mod failures;

use super::{known::SEARCH_INTERVAL, *};
use crate::callers::{fetch::Fetch, key::Key, key_set::KeySet, problem::TOKEN_MALFORMED};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{BoxFuture, join_all};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use std::sync::Mutex;
use tokio::time::{advance, sleep};

const AGE: Duration = Duration::from_secs(15 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// An issuer whose keys are the numbers in `published`.
#[derive(Default)]
struct Issuer {
    published: Mutex<Vec<u8>>,
    is_down: Mutex<bool>,
    takes: Mutex<Duration>,
    fetches: Arc<Mutex<u32>>,
}

fn pair(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()
}

fn public(number: u8) -> Key {
    let x = URL_SAFE_NO_PAD.encode(pair(number).public_key().as_ref());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": number.to_string()});
    Key::from_json(&key).unwrap()
}

/// A token with a key id, signed by that key.
fn token(number: u8) -> String {
    signed(number, &json!({"alg": "EdDSA", "kid": number.to_string()}))
}

fn signed(number: u8, header: &serde_json::Value) -> String {
    let message = format!("{}.e30", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(pair(number).sign(message.as_bytes()));
    format!("{message}.{signature}")
}

impl Fetch for Issuer {
    fn fetch(&self, _: Option<Uri>) -> BoxFuture<'static, Result<Fetched, BoxError>> {
        *self.fetches.lock().unwrap() += 1;
        let takes = *self.takes.lock().unwrap();
        let keys = self
            .published
            .lock()
            .unwrap()
            .iter()
            .copied()
            .map(public)
            .collect::<KeySet>();
        let result = if *self.is_down.lock().unwrap() {
            None
        } else {
            Some(Arc::new(keys))
        };
        Box::pin(async move {
            sleep(takes).await;
            let url = Some(Uri::from_static("https://issuer/keys"));
            let max_age = AGE;
            result
                .map(|keys| Fetched { keys, url, max_age })
                .ok_or("it is down".into())
        })
    }
}

impl Issuer {
    fn with(published: &[u8]) -> (Arc<Self>, Keys) {
        let issuer = Arc::new(Self {
            published: Mutex::new(published.to_vec()),
            takes: Mutex::new(SECOND / 10),
            ..Self::default()
        });
        let keys = Keys::new("https://issuer".into(), Arc::clone(&issuer) as Arc<dyn Fetch>);
        (issuer, keys)
    }

    fn fetches(&self) -> u32 {
        *self.fetches.lock().unwrap()
    }

    fn set_down(&self, is_down: bool) {
        *self.is_down.lock().unwrap() = is_down;
    }
}

/// What a token is answered: `ok`, a slug, or `unavailable`.
async fn ask(keys: &Keys, token: &str) -> &'static str {
    ask_within(keys, token, &Deadline::default()).await
}

async fn ask_within(keys: &Keys, text: &str, deadline: &Deadline) -> &'static str {
    let token = Token::parse(text).unwrap();
    match keys.verify(&token, Algorithm::EdDsa, deadline).await {
        Ok(()) => "ok",
        Err(Refusal::Token(kind)) => kind.slug,
        Err(Refusal::Unavailable(_)) => "unavailable",
        Err(Refusal::Time(..)) => TOKEN_MALFORMED.slug,
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_the_first_token_and_a_thousand_at_once_share_one_fetch() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(issuer.fetches(), 0);
    let token = token(1);
    let answers = join_all((0..1000).map(|_| ask(&keys, &token))).await;
    assert!(answers.iter().all(|answer| *answer == "ok"));
    assert_eq!(issuer.fetches(), 1);
    advance(AGE - SECOND).await;
    assert_eq!((ask(&keys, &token).await, issuer.fetches()), ("ok", 1));
    advance(2 * SECOND).await;
    assert_eq!((ask(&keys, &token).await, issuer.fetches()), ("ok", 2));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tokens_with_unknown_keys_cause_two_fetches_a_minute() {
    let (issuer, keys) = Issuer::with(&[1]);
    let start = Instant::now();
    let mut fetches = Vec::new();
    for minute in 1..=5 {
        for _ in 0..2000 {
            let random = signed(9, &json!({"alg": "EdDSA", "kid": crate::random::u64().to_string()}));
            assert_eq!(ask(&keys, &random).await, "key-unknown");
        }
        assert_eq!(ask(&keys, &token(1)).await, "ok");
        fetches.push(issuer.fetches());
        advance((start + minute * SEARCH_INTERVAL).duration_since(Instant::now()) + SECOND).await;
    }
    assert_eq!(fetches, [2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_request_has_waited_for_are_not_fetched_again_for_it() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(2)).await, "key-unknown");
    assert_eq!(issuer.fetches(), 1);
    advance(AGE).await;
    assert_eq!(ask(&keys, &token(2)).await, "key-unknown");
    assert_eq!(issuer.fetches(), 2);
    issuer.published.lock().unwrap().push(2);
    assert_eq!(ask(&keys, &token(2)).await, "ok", "the search is still to be had");
    assert_eq!(issuer.fetches(), 3);
}

/// The control: a search for each token that asks for one.
#[tokio::test(start_paused = true)]
async fn without_the_interval_each_unknown_key_would_be_a_fetch() {
    let (issuer, keys) = Issuer::with(&[1]);
    for _ in 0..100 {
        let search = keys.flight.get(|_| false, |last| keys.fetched(last, true));
        search.await;
    }
    assert_eq!(issuer.fetches(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_at_once_and_the_old_one_is_good_while_it_is_published() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    *issuer.published.lock().unwrap() = vec![1, 2];
    for number in [2, 1, 2] {
        assert_eq!(ask(&keys, &token(number)).await, "ok");
    }
    assert_eq!(issuer.fetches(), 2);
    *issuer.published.lock().unwrap() = vec![2];
    advance(AGE).await;
    assert_eq!(ask(&keys, &token(1)).await, "key-unknown");
    assert_eq!(ask(&keys, &token(2)).await, "ok");
}

/// A key that is published a minute before it signs is found whenever its first token comes: the last search is over a minute
/// ago, or has found it.
#[tokio::test(start_paused = true)]
async fn no_valid_token_is_refused_while_keys_rotate_and_others_search() {
    let (issuer, keys) = Issuer::with(&[1]);
    for number in 1..10 {
        issuer.published.lock().unwrap().push(number + 1);
        for _ in 0..61 {
            assert_eq!(ask(&keys, &token(200)).await, "key-unknown");
            assert_eq!(ask(&keys, &token(number)).await, "ok");
            advance(SECOND).await;
        }
    }
    assert!(issuer.fetches() <= 2 * 10, "{}", issuer.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_names_no_key_is_tried_with_those_that_fit() {
    let (issuer, keys) = Issuer::with(&[1, 2]);
    let header = json!({"alg": "EdDSA"});
    assert_eq!(ask(&keys, &signed(2, &header)).await, "ok");
    assert_eq!(ask(&keys, &signed(3, &header)).await, "signature-wrong");
    issuer.published.lock().unwrap().push(3);
    assert_eq!(issuer.fetches(), 2);
    advance(SEARCH_INTERVAL).await;
    assert_eq!(ask(&keys, &signed(3, &header)).await, "ok");
    *issuer.published.lock().unwrap() = (1..=40).collect();
    advance(AGE).await;
    assert_eq!(ask(&keys, &signed(32, &header)).await, "ok");
    assert_eq!(
        ask(&keys, &signed(33, &header)).await,
        "signature-wrong",
        "behind the bound"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_has_not_signed_with_is_not_searched_for() {
    let (issuer, keys) = Issuer::with(&[1, 2]);
    let forged = signed(2, &json!({"alg": "EdDSA", "kid": "1"}));
    for _ in 0..10 {
        assert_eq!(ask(&keys, &forged).await, "signature-wrong");
    }
    assert_eq!(issuer.fetches(), 1);
}
