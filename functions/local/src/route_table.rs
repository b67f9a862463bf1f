//! The route table of the root manifest, in cargo-lambda's syntax, and whether functions declare the same.

use crate::functions::{FUNCTIONS, Function, JOBS};
use shared::config::Env;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// A line of the table: where requests for a path go, all of them or those with one method.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Line {
    /// The path, with `{parameters}` and perhaps a `{*rest}`.
    pub path: String,
    /// `None`: every method that the function declares there.
    pub method: Option<String>,
    /// The name of the function.
    pub function: String,
}

/// What a function answers.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Route {
    /// The path, as in [`Line`].
    pub path: String,
    /// The method; GET includes HEAD.
    pub method: String,
    /// The name of the function.
    pub function: String,
}

/// Reads the table of a manifest: a path is one function's, or a list has a function for each method.
///
/// # Errors
/// A sentence that names the line which cargo-lambda would not read, or would read otherwise.
pub fn read(manifest: &str) -> Result<Vec<Line>, String> {
    let manifest: Table = manifest.parse().map_err(|error| format!("{error}"))?;
    let mut table = &Value::Table(manifest);
    for key in ["workspace", "metadata", "lambda", "watch", "router"] {
        table = table
            .get(key)
            .ok_or("there is no [workspace.metadata.lambda.watch.router]")?;
    }
    let table = table
        .as_table()
        .ok_or("the route table is not a table from paths to functions")?;
    let mut lines = Vec::new();
    for (path, value) in table {
        let read = functions_of(value).ok_or_else(|| {
            format!("{path:?} is neither a function's name nor a list of {{ method = \"GET\", function = \"name\" }}")
        })?;
        lines.extend(read.into_iter().map(|(method, function)| Line {
            path: path.clone(),
            method,
            function,
        }));
    }
    Ok(lines)
}

/// The function of each method. `None` if the value has another form, or has a method twice or not in capitals.
fn functions_of(value: &Value) -> Option<Vec<(Option<String>, String)>> {
    let Some(list) = value.as_array() else {
        return Some(vec![(None, value.as_str()?.to_owned())]);
    };
    let (mut functions, mut methods) = (Vec::new(), BTreeSet::new());
    for item in list {
        let text = |key: &str| item.get(key).and_then(Value::as_str);
        let method =
            text("method").filter(|method| !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase()))?;
        methods.insert(method).then_some(())?;
        functions.push((Some(method.to_owned()), text("function")?.to_owned()));
    }
    (!functions.is_empty()).then_some(functions)
}

/// The routes that the functions of this binary declare, without the `GET /health` that the runtime adds to each.
pub fn declared() -> Vec<Route> {
    let env = Env::new(|_| None);
    let routes_of = |function: &Function| {
        let service = (function.service)(&env);
        let routes = service.routes().map(|route| Route {
            path: route.path.to_owned(),
            method: route.method.to_string(),
            function: function.name.to_owned(),
        });
        routes.collect::<Vec<_>>()
    };
    FUNCTIONS.iter().flat_map(routes_of).collect()
}

/// What the table and the functions of this binary do not agree about, a sentence each.
pub fn disagreements(table: &[Line], declared: &[Route]) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut routed = BTreeSet::new();
    for line in table {
        match routes_of(line, declared) {
            Ok(routes) => routed.extend(routes),
            Err(sentence) => sentences.push(sentence),
        }
    }
    let unrouted = declared.iter().filter(|route| !routed.contains(*route));
    sentences.extend(unrouted.map(|Route { path, method, function }| {
        format!("functions/{function} declares {method} {path}: no line in the route table of Cargo.toml has it")
    }));
    sentences.extend(shadows(declared));
    sentences
}

/// The routes to which a line leads.
fn routes_of(line: &Line, declared: &[Route]) -> Result<Vec<Route>, String> {
    let Line { path, method, function } = line;
    let refuse = |why: &str| {
        Err(format!(
            "the route table of Cargo.toml leads {path} to {function:?}, {why}"
        ))
    };
    if JOBS.iter().any(|(job, _)| job == function) {
        return refuse("which is a job");
    }
    if !FUNCTIONS.iter().any(|known| known.name == function) {
        return refuse("and functions/local/Cargo.toml has no such function");
    }
    // Every function answers it, whether or not it has a line.
    let health = Route {
        path: "/health".to_owned(),
        method: "GET".to_owned(),
        function: function.clone(),
    };
    let on_path = declared.iter().chain([&health]).filter(|route| route.path == *path);
    let (mut answered, others): (Vec<_>, Vec<_>) = on_path.partition(|route| route.function == *function);
    if let (None, [other, ..]) = (method, &others[..]) {
        return refuse(&format!(
            "and functions/{} declares {} there: list the methods of each",
            other.function, other.method
        ));
    }
    // cargo-lambda takes HEAD for a method of its own, a function for a GET.
    let wanted = method
        .as_deref()
        .map(|method| if method == "HEAD" { "GET" } else { method });
    answered.retain(|route| wanted.is_none_or(|method| route.method == method));
    match (answered.is_empty(), method) {
        (false, _) => Ok(answered.into_iter().cloned().collect()),
        (true, Some(method)) => refuse(&format!("which does not declare {method} there")),
        (true, None) => refuse("which does not declare that path"),
    }
}

/// Routes of two functions between which only the order of a router decides: each function by itself answers both.
pub fn shadows(declared: &[Route]) -> Vec<String> {
    let mut sentences = BTreeSet::new();
    for (index, one) in declared.iter().enumerate() {
        for other in declared[index + 1..]
            .iter()
            .filter(|other| other.function != one.function)
        {
            let is_same = one.path == other.path;
            if is_same && one.method != other.method || !overlap(&one.path, &other.path) {
                continue;
            }
            let named = |Route { path, method, function }: &Route| {
                if is_same {
                    format!("functions/{function} declares {method} {path}")
                } else {
                    format!("functions/{function} declares {path}")
                }
            };
            sentences.insert(format!(
                "{}, and {}: both answer the same requests",
                named(one),
                named(other)
            ));
        }
    }
    sentences.into_iter().collect()
}

/// Whether a path exists that both of these match.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(rest), Some(_)) | (Some(_), Some(rest)) if rest.starts_with("{*") => return true,
            (Some(one), Some(other)) if one == other || one.starts_with('{') || other.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str, function: &str) -> Route {
        Route {
            path: path.to_owned(),
            method: method.to_owned(),
            function: function.to_owned(),
        }
    }

    fn table(lines: &str) -> Result<Vec<Line>, String> {
        read(&format!("[workspace.metadata.lambda.watch.router]\n{lines}"))
    }

    fn found(lines: &str, declared: &[Route]) -> Vec<String> {
        disagreements(&table(lines).unwrap(), declared)
    }

    #[test]
    fn a_line_that_cargo_lambda_would_not_read_is_named() {
        for line in [
            r#""/a" = 1"#,
            r#""/a" = []"#,
            r#""/a" = ["sse"]"#,
            r#""/a" = [{ function = "sse" }]"#,
            r#""/a" = [{ method = "get", function = "sse" }]"#,
            r#""/a" = [{ method = "GET" }]"#,
            r#""/a" = [{ method = "GET", function = "sse" }, { method = "GET", function = "health" }]"#,
        ] {
            assert!(table(line).unwrap_err().starts_with("\"/a\" is neither"), "{line}");
        }
        assert!(read("").unwrap_err().contains("watch.router"));
        assert!(read("[").is_err());
    }

    #[test]
    fn several_routes_of_a_function_and_several_functions_of_a_path_agree() {
        let declared = [
            route("GET", "/a/{id}", "sse"),
            route("POST", "/a/{id}", "sse"),
            route("GET", "/b/{*rest}", "sse"),
        ];
        let lines = "'/a/{id}' = 'sse'\n'/b/{*rest}' = 'sse'\n'/health' = 'health'";
        assert_eq!(found(lines, &declared), [""; 0]);
        let declared = [route("GET", "/a/{id}", "sse"), route("POST", "/a/{id}", "health-db")];
        let lines = "'/a/{id}' = [{ method = 'GET', function = 'sse' }, { method = 'HEAD', function = 'sse' }, \
                     { method = 'POST', function = 'health-db' }]";
        assert_eq!(found(lines, &declared), [""; 0]);
    }

    #[test]
    fn each_disagreement_names_its_place() {
        let declared = [route("GET", "/a", "sse"), route("POST", "/a", "health-db")];
        let both = "'/a' = [{ method = 'GET', function = 'sse' }, { method = 'POST', function = 'health-db' }]";
        for (lines, named) in [
            (
                "'/a' = 'sse'",
                "and functions/health-db declares POST there: list the methods of each",
            ),
            (
                "'/a' = [{ method = 'GET', function = 'sse' }]",
                "functions/health-db declares POST /a: no line",
            ),
            (
                &format!("{both}\n'/b' = 'sse'"),
                "leads /b to \"sse\", which does not declare that path",
            ),
            (
                &format!("{both}\n'/c' = [{{ method = 'PUT', function = 'sse' }}]"),
                "which does not declare PUT there",
            ),
            (
                &format!("{both}\n'/d' = 'gone'"),
                "leads /d to \"gone\", and functions/local/Cargo.toml has no such function",
            ),
            (
                &format!("{both}\n'/e' = 'migrate'"),
                "leads /e to \"migrate\", which is a job",
            ),
        ] {
            let found = found(lines, &declared);
            assert!(
                found.iter().any(|sentence| sentence.contains(named)),
                "{lines}: {found:#?}"
            );
        }
    }

    #[test]
    fn a_path_that_another_function_shadows_is_named() {
        for (one, other, is_named) in [
            ("/a/{id}", "/a/latest", true),
            ("/a/{id}", "/a/{name}", true),
            ("/a/{*rest}", "/a/b/c", true),
            ("/{*rest}", "/a", true),
            ("/a/{*rest}", "/a", false),
            ("/a/{id}", "/a/{id}/b", false),
            ("/a/{id}", "/b/{id}", false),
        ] {
            let found = shadows(&[route("GET", one, "sse"), route("POST", other, "health-db")]);
            assert_eq!(found.len(), usize::from(is_named), "{one} {other}: {found:?}");
            let alone = shadows(&[route("GET", one, "sse"), route("POST", other, "sse")]);
            assert_eq!(
                alone, [""; 0],
                "the router of one function decides everywhere in the same way"
            );
        }
        let same = shadows(&[route("GET", "/a", "sse"), route("GET", "/a", "health-db")]);
        assert_eq!(
            same,
            ["functions/sse declares GET /a, and functions/health-db declares GET /a: both answer the same requests"]
        );
    }
}
