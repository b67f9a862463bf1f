//! The command line. Each run executes one command; without arguments, `local` serves.

mod dependencies;
mod doctor;
mod folder;
mod migrate;
mod openapi;
mod reset;
mod serve;

use futures_util::future::LocalBoxFuture;
use shared::{
    config::Env,
    runtime::{self, EXIT_USAGE},
};
use std::{fmt::Write, future::ready, path::Path, process::ExitCode};

/// A command of `cargo run -- NAME`.
struct Command {
    name: &'static str,
    /// What may follow the name.
    arguments: &'static str,
    /// What it does, for `help`.
    about: &'static str,
    /// Starts it; `None` where its arguments are not valid.
    run: fn(&Env, &[&str]) -> Option<Run>,
}

/// A command that runs, and its exit code.
type Run = LocalBoxFuture<'static, ExitCode>;

/// Every command, as `help` lists them. The first one needs no name.
const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        arguments: "",
        about: "serves every function; the name may be left out",
        run: |env, arguments| none(arguments).map(|()| Box::pin(serve::run(env)) as Run),
    },
    Command {
        name: "migrate",
        arguments: "[COMMAND]",
        about: "runs the migration job on the database of `serve`: up, down, status, plan, stamp, history",
        run: |env, arguments| Some(Box::pin(migrate::run(env, arguments))),
    },
    Command {
        name: "reset",
        arguments: "",
        about: "empties the private database and bucket in .local",
        run: |env, arguments| none(arguments).map(|()| done(reset::run(env))),
    },
    Command {
        name: "doctor",
        arguments: "[FOLDER]",
        about: "finds what is unsafe in the deployment files",
        run: |env, arguments| match arguments {
            [] => Some(done(doctor::run(env, Path::new(".")))),
            [folder] => Some(done(doctor::run(env, Path::new(folder)))),
            _ => None,
        },
    },
    Command {
        name: "openapi",
        arguments: "",
        about: "prints the API document",
        run: |_, arguments| none(arguments).map(|()| done(openapi::run())),
    },
];

/// Runs the command in the arguments of this process. A command that does not exist, or arguments that are not valid, print
/// the list of commands and exit with 64.
pub fn run(env: &Env) -> Run {
    let arguments = runtime::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, rest) = arguments.split_first().unwrap_or((&COMMANDS[0].name, &[]));
    if matches!(*name, "help" | "--help" | "-h") {
        println!("{}", usage());
        return done(ExitCode::SUCCESS);
    }
    let command = COMMANDS.iter().find(|command| command.name == *name);
    command.and_then(|command| (command.run)(env, rest)).unwrap_or_else(|| {
        eprintln!("{}", usage());
        done(ExitCode::from(EXIT_USAGE))
    })
}

fn usage() -> String {
    let mut usage = "cargo run -- [COMMAND]\n\n".to_owned();
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.arguments);
        let _ = writeln!(usage, "  {call:<20} {}", command.about);
    }
    usage + "\nEverything else is a setting in the environment."
}

/// The arguments of a command that takes none.
fn none(arguments: &[&str]) -> Option<()> {
    arguments.is_empty().then_some(())
}

/// A command that has ended.
fn done(code: ExitCode) -> Run {
    Box::pin(ready(code))
}

/// Prints why a command ends before it has done anything.
fn refuse(sentence: &str) -> ExitCode {
    eprintln!("local: {sentence}");
    ExitCode::FAILURE
}
