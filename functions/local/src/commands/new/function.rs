//! The files of a new function: copies of those of the example.

use super::{
    arguments::{Arguments, Kind},
    copy::{Wishes, copy},
    name::Name,
};
use crate::commands::checkout::Checkout;
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// The package that is copied.
const EXAMPLE: &str = "shared/example";

/// The files of a new function, by their paths, and its block of `template.yaml`.
pub struct Function {
    pub files: Vec<(String, String)>,
    pub block: String,
}

impl Function {
    /// # Errors
    /// The example is not there, or rustfmt is not installed.
    pub fn copy(checkout: &Checkout, name: &Name, arguments: &Arguments) -> Result<Self, String> {
        let mut function = Self {
            files: Vec::new(),
            block: String::new(),
        };
        for (file, text) in checkout.texts(EXAMPLE)? {
            let Some(place) = place(&file, arguments) else { continue };
            let copied = copy(&text, &wishes(arguments));
            let renamed = renamed(&copied, name, arguments);
            if place == "template.yaml" {
                function.block = renamed;
            } else if place.ends_with(".rs") {
                function.files.push((place, formatted(checkout, &renamed)?));
            } else {
                function.files.push((place, renamed));
            }
        }
        Ok(function)
    }
}
