//! What commands say. Standard output and standard error may be full, or closed by who has read enough: `println!` panics then.

use super::generated::FILES;
use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// Prints a line, or several, to standard output. A reader that has gone wants no more: that is no failure.
///
/// # Errors
/// A sentence: the disk is full, for example.
pub fn print(text: impl Display) -> Result<(), String> {
    let mut output = io::stdout().lock();
    // The last line may wait in a buffer, whose errors nobody would hear of.
    let printed = writeln!(output, "{text}").and_then(|()| output.flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write the output: {error}")),
        _ => Ok(()),
    }
}

/// Prints the files that `new` and `remove` change in these places, and those that they write anew.
pub fn print_changes(places: &[impl Display]) -> Result<(), String> {
    let changed = places
        .iter()
        .try_for_each(|place| print(format_args!("{place}: changed")));
    changed?;
    FILES.iter().try_for_each(|file| print(format_args!("{file}: renewed")))
}

/// Prints the result of a command, and ends it with this code.
pub fn end(text: impl Display, code: ExitCode) -> ExitCode {
    match print(text) {
        Ok(()) => code,
        Err(sentence) => refuse(&sentence),
    }
}

/// Prints a sentence to standard error. Where that fails, too, there is nobody to tell.
pub fn say(sentence: impl Display) {
    _ = writeln!(io::stderr(), "local: {sentence}");
}

/// Prints why a command ends before it has done all that it should.
pub fn refuse(sentence: &str) -> ExitCode {
    say(sentence);
    ExitCode::FAILURE
}
