//! A function with the HTTPS client. With the feature `callers`, its route is for callers alone.

use bytes::Bytes;
use hyper::Request;
#[cfg(feature = "callers")]
use shared::callers::Callers;
use shared::{
    config::Env,
    https::Client,
    problem::Problem,
    runtime::{self, Route, Service},
};
use std::process::ExitCode;

/// The longest answer that is taken, in bytes.
const LONGEST: usize = 256 * 1024;

fn main() -> ExitCode {
    runtime::serve(service)
}

#[cfg(feature = "callers")]
fn service(env: &Env) -> Service {
    Service::new([Route::get("/", fetch).callers(&Callers::from_env(env))])
}

#[cfg(not(feature = "callers"))]
fn service(_: &Env) -> Service {
    Service::new([Route::get("/", fetch).public()])
}

async fn fetch() -> Result<Bytes, Problem> {
    let request = Request::get("https://example.com/").body(Bytes::new());
    let request = request.map_err(Problem::internal)?;
    let answer = Client::default().fetch(request, LONGEST).await;
    Ok(answer.map_err(Problem::internal)?.into_body())
}
