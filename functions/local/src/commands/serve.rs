//! `local`, without arguments: every route of the bundle in one process, with a private Postgres, a bucket in a folder, and
//! pages.

use super::{dependencies::Dependencies, print::print, refuse};
use crate::{
    bundle,
    functions::{self, FUNCTIONS, Function},
    pages,
};
use shared::{
    config::Env,
    runtime::{self, App, Cors},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
};
use tokio_util::sync::CancellationToken;

/// Starts what the routes need, serves the routes on `127.0.0.1:$PORT` (9000) until SIGTERM or SIGINT, and stops
/// everything. A failed start prints one sentence and exits with 1.
pub fn run(env: &Env) -> impl Future<Output = ExitCode> + use<> {
    let port = env.parse("PORT", 9000, "a port between 0 and 65535", |text| text.parse().ok());
    let cors = cors(env);
    let mut dependencies = Dependencies::from_env(env);
    // Collects every invalid setting of a function, so that the process ends before Postgres starts.
    functions::service(env).refuse_undeclared(env);
    async move {
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "a signal belongs to no request")]
        tokio::spawn(runtime::stop_on_signal(stop.clone()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = match runtime::bind(address) {
            Ok(listener) => listener,
            Err(error) => {
                return refuse(&format!(
                    "cannot listen on http://{address}: {error}; PORT takes another port"
                ));
            }
        };
        let started = tokio::select! {
            started = dependencies.start() => started,
            () = stop.cancelled() => return refuse("stopped by a signal before it was up"),
        };
        let address = listener.local_addr().unwrap_or(address);
        let service = match started {
            Ok((env, issuer)) => functions::service(env).merge(pages::service(issuer, address, env)),
            Err(sentence) => return refuse(&sentence),
        };
        if let Err(sentence) = announce(address, &dependencies) {
            return refuse(&sentence);
        }
        let responses = service.responses();
        runtime::serve_until(stop, listener, App::new(service, &cors), responses).await;
        ExitCode::SUCCESS
    }
}

/// Cross-origin access as in a function, and a cookie also where the environment names none, so that a page of this host can
/// open an `EventSource`, which sends no header.
fn cors(env: &Env) -> Cors {
    let cookie = Env::new(|key| (key == "TOKEN_COOKIE").then(|| "__Host-token".to_owned()));
    let (set, default) = (Cors::from_env(env), Cors::from_env(&cookie));
    Cors {
        token_cookie: set.token_cookie.or(default.token_cookie),
        ..set
    }
}

fn announce(address: SocketAddr, dependencies: &Dependencies) -> Result<(), String> {
    print(format_args!("{} is lit: http://{address}", bundle::title()))?;
    for path in FUNCTIONS.iter().flat_map(Function::paths) {
        print(format_args!("  http://{address}{path}"))?;
    }
    print(format_args!("  database: {}", dependencies.database_is()))?;
    print(format_args!("  storage:  {}", dependencies.storage_is()))?;
    print(format_args!(
        "  tokens:   cargo run -- token\nTry them at http://{address}/docs. `cargo run -- help` lists what \
                        else there is, such as `new`. Ctrl-C stops it all."
    ))
}
