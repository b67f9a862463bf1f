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
use crate::{checkout::Checkout, openapi, pages, route_table};
use arguments::{Arguments, Kind};
use function::Function;
pub use name::{Name, camel_case};
pub use route::Route;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// What may follow the name of the command.
pub const ARGUMENTS: &str =
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

/// No other function and no page of `local` answers these requests, and no other operation has the name.
fn check_is_free(name: &Name, new: &Route) -> Result<(), String> {
    let pages = pages::declared();
    let local = pages.routes().map(|route| (route.path, "`local` answers"));
    let mut taken = local.chain([("/health", "every function answers")]);
    if let Some((path, whose)) = taken.find(|(path, _)| route_table::overlap(path, &new.path)) {
        return Err(format!("{} is not free: {whose} on {path}", new.path));
    }
    if openapi::document().contains(&format!("\"operationId\": \"{}\"", name.as_str())) {
        return Err(format!(
            "{:?} is the name of an operation in the API document",
            name.as_str()
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(arguments: &[&str]) -> String {
        let arguments = Arguments::parse(arguments).unwrap();
        try_it(
            &Name::parse(&arguments.name, &Checkout::of_build()).unwrap(),
            &arguments,
        )
    }

    fn checked(name: &str, route: &str) -> Result<(), String> {
        check_is_free(&Name::for_test(name), &Route::parse(route).unwrap())
    }

    #[tokio::test]
    async fn what_local_itself_answers_is_not_free_whatever_the_method() {
        let local = pages::declared();
        let paths: Vec<&str> = local
            .routes()
            .map(|route| route.path)
            .filter(|path| *path != "/")
            .collect();
        for one in [
            "/docs",
            "/.well-known/jwks.json",
            "/streams/token",
            "/streams/model/{*path}",
        ] {
            assert!(paths.contains(&one), "{one}: {paths:?}");
        }
        for path in paths {
            for method in ["GET", "POST"] {
                let refused = checked("orders", &format!("{method} {path}")).unwrap_err();
                assert!(refused.contains("`local` answers"), "{refused}");
            }
        }
        assert_eq!(checked("orders", "POST /orders"), Ok(()));
    }

    #[tokio::test]
    async fn the_name_of_an_operation_is_not_free() {
        for operation in ["health", "readStreams"] {
            let is_there = openapi::document().contains(&format!("\"{operation}\""));
            assert_eq!(checked(operation, "POST /orders").is_err(), is_there, "{operation}");
        }
    }

    #[test]
    fn a_new_job_is_run_by_a_command_and_nothing_else_until_it_has_a_schedule() {
        let said = lines(&["nightly", "--job", "--db"]);
        let run = "  cargo test -p nightly\n  cargo run -- job nightly\n\nNothing runs it by itself yet: ";
        assert!(said.starts_with(run), "{said}");
        for (place, file, line) in [
            ("template.yaml", "shared/example-job/template.yaml", "Type: Schedule"),
            (
                ".github/deploy/README.md has `every`",
                ".github/deploy/README.md",
                "\nevery ",
            ),
        ] {
            assert!(said.contains(place), "{said}");
            assert!(Checkout::of_build().text(file).unwrap().contains(line), "{file}");
        }
    }

    #[test]
    fn a_new_route_is_asked_with_a_token_unless_it_is_public() {
        let answer = lines(&["orders", "--route", "GET /orders/{id}"]);
        assert!(
            answer.ends_with(&format!(
                "  cargo run\n  curl{TOKEN} http://127.0.0.1:${{PORT:-9000}}/orders/1"
            )),
            "{answer}"
        );
        let stream = lines(&["orders", "--route", "GET /orders", "--stream", "--public"]);
        assert!(
            stream.ends_with("  curl --no-buffer http://127.0.0.1:${PORT:-9000}/orders"),
            "{stream}"
        );
    }
}
