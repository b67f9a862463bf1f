//! `Idempotency-Key`: a request that a client repeats has one effect and one answer
//! (draft-ietf-httpapi-idempotency-key-header-07).

mod answer;
mod fingerprint;
mod key;
mod store;

use crate::{
    config::Env,
    database::{Database, Transaction},
    deadline::Deadline,
    problem::Problem,
    problem_types,
};
use answer::Answer;
use axum::{
    extract::{FromRequestParts, Request},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse, Response},
};
use fingerprint::Fingerprint;
use std::time::Duration;
use store::Claim;
pub use store::delete_expired;

problem_types! {
    /// What a route that asks for a key answers besides its handler's problems.
    PROBLEMS:
    KEY_MISSING = BAD_REQUEST, "idempotency-key-missing", "Idempotency-Key Missing",
        "This path takes requests with an Idempotency-Key only: a new one for each operation, the same for its repetitions.";
    KEY_INVALID = BAD_REQUEST, "idempotency-key-invalid", "Idempotency-Key Invalid",
        "An Idempotency-Key is one string of 1 to 255 printable ASCII characters, such as a UUID.";
    KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "Idempotency-Key Reused",
        "This Idempotency-Key came with another request before. Take a new key for a new request.";
    IN_PROGRESS = CONFLICT, "request-in-progress", "Request in Progress",
        "A request with this Idempotency-Key is being worked on. Try again after Retry-After.";
}

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Reads `IDEMPOTENCY_MAX_AGE` (24 h): the age at which an answer is deleted.
pub fn max_age(env: &Env) -> Duration {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let expected = "a duration between 1s and 365d, such as 24h or 7d";
    env.parse("IDEMPOTENCY_MAX_AGE", DAY, expected, |text| {
        let age = humantime::parse_duration(text).ok();
        age.filter(|age| (Duration::from_secs(1)..=365 * DAY).contains(age))
    })
}

/// The key of this request: an argument of handlers whose route declares [`once`](crate::runtime::Route::once).
#[derive(Clone)]
pub struct Once {
    /// Empty where it is not known. Keys of different callers never meet.
    caller: String,
    key: String,
    fingerprint: Fingerprint,
}

impl Once {
    /// Runs `work` as [`Database::transaction`] does, and stores its answer under the key of the request in the same
    /// transaction. A request with a stored answer gets that one, with `Idempotent-Replayed: true`, and `work` does not run.
    ///
    /// An answer is stored together with its effect, or neither is: an error of `work`, or an answer of 500 and above, rolls
    /// back, and the next request with the key runs `work` anew.
    ///
    /// # Errors
    /// What `work` returns; [`KEY_REUSED`]; [`IN_PROGRESS`]; [`INTERNAL`](crate::problem::INTERNAL) if the handler has not read
    /// the body to its end, or if the answer cannot be stored: it is a stream, or larger than 256 KiB.
    pub async fn transaction<T: IntoResponse, E: From<sqlx::Error> + Into<Problem>>(
        &self,
        database: &Database,
        deadline: &Deadline,
        mut work: impl AsyncFnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<Response, Problem> {
        let Some(fingerprint) = self.fingerprint.finish() else {
            return Err(Problem::internal("the body is read before the transaction begins"));
        };
        let claim = Claim {
            caller: self.caller.clone(),
            key: self.key.clone(),
            fingerprint,
        };
        let done = database.transaction(deadline, async move |transaction| {
            if !claim.take(transaction).await? {
                return replayed(&claim, transaction).await;
            }
            let answer = work(transaction).await.map_err(Failed::Work)?.into_response();
            if answer.status().is_server_error() {
                return Err(Failed::Answer(Box::new(answer)));
            }
            let (stored, answer) = Answer::read(answer).await.map_err(Failed::Problem)?;
            claim.store(transaction, &stored).await?;
            Ok(answer)
        });
        done.await.or_else(Failed::answer)
    }
}

async fn replayed<E: From<sqlx::Error>>(claim: &Claim, transaction: &mut Transaction) -> Result<Response, Failed<E>> {
    let refused = match claim.stored(transaction).await? {
        Some(stored) if stored.fingerprint == claim.fingerprint => return Ok(stored.answer.replayed()),
        Some(_) => Problem::new(&KEY_REUSED),
        None => Problem::new(&IN_PROGRESS).retry_after(RETRY_AFTER),
    };
    Err(Failed::Problem(refused))
}

/// Why nothing is stored.
enum Failed<E> {
    Work(E),
    Problem(Problem),
    Answer(Box<Response>),
}

impl<E: From<sqlx::Error>> From<sqlx::Error> for Failed<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Work(error.into())
    }
}

impl<E: Into<Problem>> Failed<E> {
    fn answer(self) -> Result<Response, Problem> {
        match self {
            Self::Work(error) => Err(error.into()),
            Self::Problem(problem) => Err(problem),
            Self::Answer(answer) => Ok(*answer),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let once = parts.extensions.get().cloned();
        once.ok_or_else(|| Problem::internal("the route of this handler does not declare `once`"))
    }
}

#[cfg(feature = "callers")]
fn caller(parts: &Parts) -> String {
    let caller: Option<&crate::callers::Caller> = parts.extensions.get();
    caller.map_or_else(String::new, fingerprint::of_caller)
}

#[cfg(not(feature = "callers"))]
fn caller(_: &Parts) -> String {
    String::new()
}

/// Surrounds the handler of a route that asks for a key.
pub(crate) async fn admit(request: Request, next: Next) -> Result<Response, Problem> {
    let key = key::key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let (fingerprint, body) = Fingerprint::of(&parts, body);
    let caller = caller(&parts);
    parts.extensions.insert(Once {
        caller,
        key,
        fingerprint,
    });
    Ok(next.run(Request::from_parts(parts, body)).await)
}
