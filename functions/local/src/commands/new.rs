//! `new`: adds a function to the bundle, by copying an example.

mod arguments;
mod copy;
mod function;
mod name;
pub mod record;
mod route;

use super::{
    edit::Edit,
    generated, places,
    print::{print, print_changes},
};
use crate::{checkout::Checkout, issuer, pages, route_table};
use arguments::{Arguments, Kind};
use function::Function;
pub use name::{Name, camel_case};
pub use route::Route;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

const ARGUMENTS: &str =
    "NAME --route 'POST /greetings/{id}' [--public] [--db] [--storage] [--stream] | NAME --job [--db] [--storage]";

/// Adds a function: its folder, and a line in each place that lists functions.
///
/// # Errors
/// Why there can be no such function, or what failed. Nothing has changed then.
pub fn run(checkout: &Checkout, arguments: &[&str], stop: &CancellationToken) -> Result<(), String> {
    let arguments = Arguments::parse(arguments)?;
    let mut edit = Edit::begin(checkout)?;
    let name = Name::parse(&arguments.name, checkout)?;
    if let Some(route) = arguments.route() {
        check_is_free(&name, route)?;
    }
    let function = Function::copy(checkout, &name, &arguments)?;
    let staged = edit.add_folder(&format!("functions/{}", name.as_str()), &function.files)?;
    function::format(checkout, &rust(checkout, &staged)?)?;
    record::write(checkout, name.as_str(), &checkout.texts(&staged)?)?;
    let places = places::add(&mut edit, checkout, &name, arguments.route(), &function.block)?;
    edit.apply(generated::FILES, || generated::renew(checkout, stop))?;
    print(format_args!("functions/{}: new", name.as_str()))?;
    print_changes(&places)?;
    print(format_args!("\nTry it:\n{}", try_it(&name, &arguments)))
}

/// The files of Rust in a folder.
fn rust(checkout: &Checkout, folder: &str) -> Result<Vec<PathBuf>, String> {
    let files = checkout.texts(folder)?.into_iter().map(|(file, _)| file);
    let files = files.filter(|file| file.ends_with(".rs"));
    Ok(files.map(|file| checkout.path(folder).join(file)).collect())
}

/// No other function and no page of `local` answers these requests.
fn check_is_free(name: &Name, new: &Route) -> Result<(), String> {
    let pages = pages::service();
    let local = pages.routes().map(|page| (page.path, "`local` has a page"));
    let keys = issuer::PATHS.iter().map(|path| (*path, "`local` answers"));
    let mut taken = local.chain(keys).chain([("/health", "every function answers")]);
    if let Some((path, whose)) = taken.find(|(path, _)| route_table::overlap(path, &new.path)) {
        return Err(format!("{} is not free: {whose} on {path}", new.path));
    }
    let new = route_table::Route {
        path: new.path.clone(),
        method: new.method.clone(),
        function: name.as_str().to_owned(),
    };
    let routes: Vec<_> = route_table::declared().into_iter().chain([new]).collect();
    route_table::shadows(&routes).into_iter().next().map_or(Ok(()), Err)
}

/// What sends a token of `local`.
const TOKEN: &str = " -H \"Authorization: Bearer $(cargo run -q -- token)\"";

const SCHEDULE: &str = "Nothing runs it by itself yet: its block in template.yaml has a line for a schedule on Lambda, and \
                        .github/deploy/README.md has `every` for Cloud Run.";

/// The lines to try it.
fn try_it(name: &Name, arguments: &Arguments) -> String {
    let name = name.as_str();
    let test = format!("  cargo test -p {name}\n");
    let token = if arguments.has_callers() { TOKEN } else { "" };
    match &arguments.kind {
        Kind::Job => format!("{test}  cargo run -- job {name}\n\n{SCHEDULE}"),
        Kind::Answer(route) => format!("{test}  cargo run\n  {}", route.curl(&format!("curl{token}"))),
        Kind::Stream(route) => format!(
            "{test}  cargo run\n  {}",
            route.curl(&format!("curl --no-buffer{token}"))
        ),
    }
}
