//! Names of functions: each is a folder, a package, a crate, a binary, a service and an account.

use crate::checkout::Checkout;
use shared::BUNDLE;

/// A valid name: lower-case words with hyphens, such as `order-items`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

/// The longest id of a service account on Google Cloud, which is the bundle's name, a hyphen and the function's.
const ACCOUNT: usize = 30;

/// Keywords of Rust, also those of the future.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Crates of the toolchain, folders in which Cargo builds, accounts of the deployment, and modules that are imported where a
/// function is named.
const RESERVED: &[&str] = &[
    "alloc",
    "core",
    "proc-macro",
    "std",
    "test",
    "build",
    "deps",
    "examples",
    "incremental",
    "openapi",
    "runtime",
    "scheduler",
    "smoke",
];

/// How the names end that the deployment to Cloud Run makes of the name of a function, and what has them.
const DERIVED: &[(&str, &str)] = &[("-check", "the check"), ("-candidate", "the first candidate")];

/// Whether it is a keyword of Rust.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

impl Name {
    /// # Errors
    /// Why there can be no function of this name.
    pub fn parse(text: &str, checkout: &Checkout) -> Result<Self, String> {
        let longest = ACCOUNT - BUNDLE.len() - 1;
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let refused = |why: String| Err(format!("{text:?} is not a name for a function: {why}"));
        if !text.split('-').all(is_word) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return refused("lower-case words with hyphens are, such as order-items".to_owned());
        }
        if text.len() > longest {
            return refused(format!(
                "it is longer than {longest} characters, so that an account would have more than {ACCOUNT}"
            ));
        }
        if RESERVED.contains(&text) || is_keyword(text) {
            return refused("Rust, Cargo or the deployment uses it".to_owned());
        }
        let derived = DERIVED
            .iter()
            .find_map(|(end, what)| Some((text.strip_suffix(end)?, what)));
        if let Some((function, what)) = derived {
            return refused(format!(
                "{what} of a function {function} has it on Cloud Run, where one would replace the other"
            ));
        }
        if text.contains(BUNDLE) {
            return refused("it repeats the name of the bundle".to_owned());
        }
        if checkout
            .packages()?
            .iter()
            .any(|package| package.replace('_', "-") == text)
        {
            return refused("a package of this workspace, or one that it depends on, has it".to_owned());
        }
        if checkout.path("functions").join(text).symlink_metadata().is_ok() {
            return refused(format!("functions/{text} exists"));
        }
        Ok(Self(text.to_owned()))
    }

    #[cfg(test)]
    pub fn for_test(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// As folders and packages have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As Rust has it: `order_items`.
    pub fn krate(&self) -> String {
        self.0.replace('-', "_")
    }

    /// As types and resources have it: `OrderItems`.
    pub fn camel_case(&self) -> String {
        camel_case(&self.0)
    }
}

/// `OrderItems` for `order-items`.
pub fn camel_case(name: &str) -> String {
    name.split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_something_else_has_or_that_a_platform_refuses_is_refused() {
        let checkout = Checkout::of_build();
        for (name, why) in [
            ("", "lower-case words"),
            ("Orders", "lower-case words"),
            ("order_items", "lower-case words"),
            ("1st", "lower-case words"),
            ("-a", "lower-case words"),
            ("a--b", "lower-case words"),
            ("a-", "lower-case words"),
            ("../x", "lower-case words"),
            ("bücher", "lower-case words"),
            ("async", "uses it"),
            ("core", "uses it"),
            ("proc-macro", "uses it"),
            ("test", "uses it"),
            ("deps", "uses it"),
            ("openapi", "uses it"),
            ("runtime", "uses it"),
            ("smoke", "uses it"),
            ("health-check", "the check of a function health has it"),
            ("orders-candidate", "the first candidate of a function orders has it"),
            ("axum", "a package"),
            ("http-body-util", "a package"),
            ("tracing-core", "a package"),
            ("shared", "a package"),
            ("testing", "a package"),
            ("local", "a package"),
            ("migrate", "a package"),
        ] {
            let refused = Name::parse(name, &checkout).unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
        }
        let long = "a".repeat(ACCOUNT - BUNDLE.len());
        for (name, why) in [(&*long, "longer than"), (BUNDLE, "the name of the bundle")] {
            let refused = Name::parse(name, &checkout).unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
        }
        for name in ["orders", "order-items", "a", "v2", "a-1", "check", "check-in"] {
            assert!(Name::parse(name, &checkout).is_ok(), "{name}");
        }
        assert_eq!(Name::for_test("a-1b").camel_case(), "A1b");
    }
}
