//! Durable streams: the protocol (<https://github.com/durable-streams/durable-streams>, PROTOCOL.md) over a log in Postgres.
//! An event stream survives its connection: it is appended to, and read from any offset, at once or live, by any instance.

mod access;
mod append;
mod body;
mod check;
mod create;
mod cursor;
mod delete;
mod expiry;
mod fork;
mod header;
mod json;
mod media_type;
mod offset;
mod path;
mod problem;
mod producer;
mod read;
mod settings;

use access::{READ, WRITE};
use read::{frames::Frames, memory::PageMemory};
use settings::Settings;
use shared::{
    body::stream,
    callers::{Caller, Callers},
    config::Env,
    database::Database,
    runtime::{Route, Service},
    streams::Streams,
};

const PATH: &str = "/v1/stream/{*path}";
const MANY: &str = "/v1/streams";

/// What handlers need. A clone shares the connections.
#[derive(Clone)]
struct Log {
    streams: Streams,
    settings: Settings,
    memory: PageMemory,
    frames: Frames,
}

impl Log {
    /// The same for a request of this caller, whose pages have its share of the memory.
    fn of(&self, caller: &Caller) -> Self {
        let memory = self.memory.of(caller);
        Self { memory, ..self.clone() }
    }

    /// How many bytes a page of at most `limit` may have: an append is never divided.
    fn largest_page(&self, limit: usize) -> usize {
        limit.max(self.settings.max_append as usize)
    }
}

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let (settings, callers) = (Settings::from_env(env), Callers::from_env(env));
    let streams = Streams::from_env(env, Database::from_env(env));
    let check = check::run(streams.clone());
    let memory = PageMemory::new();
    let log = Log {
        streams,
        settings,
        memory,
        frames: Frames::default(),
    };
    let body = stream(settings.max_append);
    let routes = [
        Route::put(PATH, create::create)
            .scopes(&callers, WRITE)
            .takes(body)
            .problems(create::PROBLEMS),
        Route::post(PATH, append::append)
            .scopes(&callers, WRITE)
            .takes(body)
            .problems(append::PROBLEMS),
        Route::get(PATH, read::read)
            .scopes(&callers, READ)
            .problems(read::PROBLEMS),
        Route::get(MANY, read::many::read)
            .callers(&callers)
            .problems(read::PROBLEMS),
        Route::delete(PATH, delete::delete)
            .scopes(&callers, WRITE)
            .problems(delete::PROBLEMS),
    ];
    let routes = routes.map(|route| route.with_state(log.clone()));
    Service::new(routes).streamed(settings.sse.heartbeat).check(check)
}

/// This function's part of the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(create::create, append::append, read::read, read::many::read, delete::delete))]
pub struct Api;
