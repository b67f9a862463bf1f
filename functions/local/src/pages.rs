//! The pages of `local`: the status page, durable streams, the API document and its viewer, and a page for each problem. And the
//! list of all that it answers beside the functions.

mod streams;

use crate::{
    bundle,
    issuer::{self, Issuer},
    openapi,
    problems::{self, Answered},
};
use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{Html, IntoResponse},
};
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use ring::digest::{SHA256, digest};
use shared::{
    config::Env,
    parameters::Path,
    problem::{NOT_FOUND, Problem},
    runtime::{Route, Service},
};
use std::net::{Ipv4Addr, SocketAddr};

/// Every route of `local` beside those of the functions.
pub fn service(issuer: Issuer, address: SocketAddr, env: &Env) -> Service {
    pages()
        .merge(issuer::service(&issuer, address))
        .merge(streams::service(issuer, env))
}

/// The same routes, for those who ask what there is, and not for an answer.
pub fn declared() -> Service {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    service(Issuer::of_nobody(), nowhere, &Env::new(|_| None))
}

fn pages() -> Service {
    let pages = [
        Route::get("/", async || page(include_str!("pages/status.html"))),
        Route::get("/streams", async || page(include_str!("pages/streams.html"))),
        Route::get("/docs", docs),
        Route::get("/docs/scalar.js", viewer),
        Route::get("/openapi.json", openapi::openapi_json),
        Route::get("/problems", async || page(&articles("Problems", &problems::all()))),
        Route::get("/problems/{slug}", problem),
    ];
    Service::new(pages.map(Route::public))
}

/// A page that loads nothing from elsewhere, and runs no script but the one that stands in its file: text of a stream cannot
/// become code. Its `Content-Security-Policy` makes the browser enforce that.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The viewer comes in a file, so that no script in the page runs: text of the document cannot become code.
const VIEWER_POLICY: &str = "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; style-src 'unsafe-inline'; \
                             script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn page(html: &str) -> impl IntoResponse + use<> {
    let html = filled(html);
    let policy = match script(&html) {
        Some(script) => format!("{POLICY}; script-src '{}'", hash(script)),
        None => POLICY.to_owned(),
    };
    with_policy(&policy, html)
}

async fn docs() -> impl IntoResponse {
    with_policy(VIEWER_POLICY, filled(include_str!("pages/docs.html")))
}

fn filled(html: &str) -> String {
    html.replace("{icon}", include_str!("pages/icon.html").trim_end())
        .replace("{style}", include_str!("pages/style.css").trim_end())
        .replace("{title}", &bundle::title())
}

/// The text of a page's script.
fn script(html: &str) -> Option<&str> {
    let (_, script) = html.split_once("<script type=\"module\">")?;
    Some(script.split_once("</script>")?.0)
}

/// The source of a script as a policy has it (Content Security Policy Level 3, section 2.3.1).
fn hash(script: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, script.as_bytes())))
}

fn with_policy(policy: &str, html: String) -> impl IntoResponse + use<> {
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_SECURITY_POLICY, policy.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Html(html))
}

/// Scalar, as its package has it: 4.9 MB, which a browser need not ask for again at each reload.
async fn viewer() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript")),
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
    ];
    (
        headers,
        scalar_api_reference::get_asset("scalar.js").unwrap_or_default(),
    )
}

async fn problem(Path(slug): Path<String>) -> Result<impl IntoResponse, Problem> {
    let mut problems = problems::all();
    problems.retain(|problem| problem.kind.slug == slug);
    let problem = problems.first().ok_or(Problem::new(&NOT_FOUND))?;
    Ok(page(&articles(problem.kind.title, &problems)))
}

fn articles(heading: &str, problems: &[Answered]) -> String {
    let articles: Vec<String> = problems.iter().map(article).collect();
    include_str!("pages/problems.html")
        .replace("{heading}", &escaped(heading))
        .replace("{articles}", &articles.join("\n"))
}

fn article(Answered { kind, routes }: &Answered) -> String {
    let (slug, status, title, detail) = (kind.slug, kind.status, escaped(kind.title), escaped(kind.detail));
    let answered_by = if routes.is_empty() {
        "<p>Any route answers it.</p>".to_owned()
    } else {
        let routes = routes
            .iter()
            .map(|route| format!("<li><code>{}</code></li>", escaped(route)));
        format!("<p>Answered by</p><ul>{}</ul>", routes.collect::<String>())
    };
    format!(
        "  <article id=\"{slug}\"><h2>{title}</h2><p>Status {status}, type <a href=\"/problems/{slug}\">\
         <code>/problems/{slug}</code></a></p><p>{detail}</p>{answered_by}</article>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
