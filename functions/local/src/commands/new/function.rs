//! The files of a new function: copies of those of an example.

use super::{
    arguments::{Arguments, Kind},
    copy::{Wishes, copy},
    name::{Name, camel_case},
};
use crate::checkout::Checkout;
use std::{path::PathBuf, process::Command};

/// A new function that is not written yet.
pub struct Function {
    /// Its files, by their paths.
    pub files: Vec<(String, String)>,
    /// Its block of `template.yaml`.
    pub block: String,
}

impl Function {
    /// # Errors
    /// The example is not there.
    pub fn copy(checkout: &Checkout, name: &Name, arguments: &Arguments) -> Result<Self, String> {
        let example = example(&arguments.kind);
        let (mut files, mut block) = (Vec::new(), String::new());
        for (file, text) in checkout.texts(&format!("shared/{example}"))? {
            let copied = copy(&text, &wishes(arguments));
            let copied = adapted(&renamed(&copied, example, name), arguments);
            match file.as_str() {
                "template.yaml" => block = copied,
                "src/rows.rs" if !arguments.db => {}
                "src/objects.rs" if !arguments.storage => {}
                file if file.starts_with(".sqlx/") => files.extend(arguments.db.then(|| (file.to_owned(), text))),
                file => files.push((file.to_owned(), copied)),
            }
        }
        Ok(Self { files, block })
    }
}

/// The package in `shared` that is copied.
fn example(kind: &Kind) -> &'static str {
    match kind {
        Kind::Answer(_) => "example",
        Kind::Stream(_) => "example-stream",
        Kind::Job => "example-job",
    }
}

/// What the conditions in the examples ask about.
fn wishes(arguments: &Arguments) -> Wishes {
    let body = arguments.route().is_some_and(|route| route.has_body());
    let path = arguments
        .route()
        .is_some_and(|route| route.parameters().next().is_some());
    let wishes = [
        ("db", arguments.db),
        ("storage", arguments.storage),
        ("state", arguments.db || arguments.storage),
        ("body", body),
        ("path", path),
        ("input", body || path),
        ("callers", arguments.has_callers()),
    ];
    wishes
        .into_iter()
        .filter_map(|(wish, is_there)| is_there.then_some(wish))
        .collect()
}

/// The same text about the new function. `example` by itself is also a word of utoipa.
fn renamed(text: &str, example: &str, name: &Name) -> String {
    let krate = example.replace('-', "_");
    let text = text
        .replace("example = ", "\0")
        .replace(&camel_case(example), &name.camel_case());
    let text = text
        .replace("/examples/", "\u{1}")
        .replace(&format!("{krate}::"), &format!("{}::", name.krate()));
    let text = text
        .replace(&format!("{krate}("), &format!("{}(", name.krate()))
        .replace(example, name.as_str());
    text.replace('\0', "example = ").replace('\u{1}', "/examples/")
}

/// The same text with the route and the features of the new function.
fn adapted(text: &str, arguments: &Arguments) -> String {
    let features = [
        ("callers", arguments.has_callers()),
        ("database", arguments.db),
        ("storage", arguments.storage),
    ];
    let features: Vec<&str> = features
        .into_iter()
        .filter_map(|(feature, is_on)| is_on.then_some(feature))
        .collect();
    let dependency = match features[..] {
        [] => "shared.workspace = true".to_owned(),
        _ => format!(
            "shared = {{ workspace = true, features = [\"{}\"] }}",
            features.join("\", \"")
        ),
    };
    let text = [r#""callers", "database", "storage""#, r#""database", "storage""#]
        .map(|features| format!("shared = {{ workspace = true, features = [{features}] }}"))
        .iter()
        .fold(text.to_owned(), |text, example| text.replace(example, &dependency));
    // Without state and streams, no setting is read.
    let text = if text.contains("(env)") {
        text
    } else {
        text.replace("(env: &Env)", "(_: &Env)")
    };
    let Some(route) = arguments.route() else { return text };
    let method = route.method.to_lowercase();
    let text = text
        .replace("/examples/{id}", &route.path)
        .replace("/examples/1", &route.example());
    let text = text
        .replace("POST", &route.method)
        .replace("Route::post", &format!("Route::{method}"));
    with_fields(
        &text.replace("    post, path", &format!("    {method}, path")),
        route.parameters(),
    )
}

/// A field for each parameter in place of that of the example.
fn with_fields<'a>(text: &str, parameters: impl Iterator<Item = &'a str>) -> String {
    const FIELD: &str = "    id: String,\n";
    let Some((before, after)) = text.split_once(FIELD) else {
        return text.to_owned();
    };
    let (head, about) = before.split_at(before.rfind("{\n").map_or(0, |brace| brace + 2));
    let fields: String = parameters
        .map(|name| format!("{about}{}", FIELD.replace("id", name)))
        .collect();
    format!("{head}{fields}{after}")
}

/// Formats files of Rust, in one process: rustup takes longer to start rustfmt than that works on a function.
///
/// # Errors
/// rustfmt is not there, or cannot read a file.
pub fn format(checkout: &Checkout, files: &[PathBuf]) -> Result<(), String> {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .args(["--edition", "2024", "--config-path"])
        .arg(checkout.root())
        .args(files);
    let failed = |why: &dyn std::fmt::Display| {
        format!("rustfmt cannot be run: {why}; `rustup component add rustfmt` installs it")
    };
    let output = rustfmt.output().map_err(|error| failed(&error))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(&String::from_utf8_lossy(&output.stderr)))
    }
}

#[cfg(test)]
mod tests;
