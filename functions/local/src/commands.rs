//! The command line. Each run executes one command; without arguments, `local` serves.

mod dependencies;
mod doctor;
mod edit;
mod folder;
mod generated;
mod job;
mod migrate;
mod migration;
mod nearest;
mod new;
mod openapi;
mod places;
mod print;
mod remove;
mod reset;
mod serve;
mod token;

use crate::checkout::Checkout;
pub use folder::LocalFolder;
use futures_util::future::LocalBoxFuture;
use nearest::nearest;
use print::{end, refuse, say};
use shared::{
    config::Env,
    runtime::{self, EXIT_USAGE},
    telemetry,
};
use std::{env::args_os, ffi::OsString, fmt::Write, future::ready, path::Path, process::ExitCode};
use tokio_util::sync::CancellationToken;

/// A command of `cargo run -- NAME`.
struct Command {
    name: &'static str,
    /// What may follow the name.
    arguments: &'static str,
    /// What it does.
    about: &'static str,
    /// Starts it; `None` where its arguments are not valid.
    run: fn(&Env, &[&str]) -> Option<Run>,
}

impl Command {
    /// What it prints where one of these arguments asks for help. Those after the name of a job are for the job.
    fn help(&self, arguments: &[&str]) -> Option<String> {
        let own = match self.name {
            "job" => arguments.get(..1).unwrap_or_default(),
            _ => arguments,
        };
        let is_asked = own.iter().any(|argument| is_help(argument));
        is_asked.then(|| match self.name {
            "migrate" => ::migrate::USAGE.to_owned(),
            _ => self.text(),
        })
    }

    fn text(&self) -> String {
        let call = format!("{} {}", self.name, self.arguments);
        format!("cargo run -- {}\n\n{}", call.trim_end(), self.about)
    }
}

/// A command that runs, and its exit code.
type Run = LocalBoxFuture<'static, ExitCode>;

type Change = fn(&Checkout, &[&str], &CancellationToken) -> Result<(), String>;

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
        name: "job",
        arguments: "NAME [ARGUMENTS]",
        about: "runs a job on the database and the bucket of `serve`",
        run: |env, arguments| {
            let (name, arguments) = arguments.split_first()?;
            Some(job::run(env, name, arguments))
        },
    },
    Command {
        name: "reset",
        arguments: "",
        about: "empties the private database and bucket in .local",
        run: |env, arguments| none(arguments).map(|()| done(reset::run(env))),
    },
    Command {
        name: "token",
        arguments: token::ARGUMENTS,
        about: "prints a token that the functions take, or the settings with which one by itself takes it",
        run: |env, arguments| Some(Box::pin(token::run(env, arguments))),
    },
    Command {
        name: "new",
        arguments: new::ARGUMENTS,
        about: "adds a function; --stream answers events, which end with the connection",
        run: |env, arguments| Some(change(env, arguments, new::run)),
    },
    Command {
        name: "remove",
        arguments: remove::ARGUMENTS,
        about: "deletes a function; with --force also what was changed and is not committed",
        run: |env, arguments| Some(change(env, arguments, remove::run)),
    },
    Command {
        name: "migration",
        arguments: migration::ARGUMENTS,
        about: "begins a migration: a pair of files",
        run: |env, arguments| {
            Some(change(env, arguments, |checkout, arguments, _| {
                migration::run(checkout, arguments)
            }))
        },
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

/// Runs the command that this process was started with. An unknown command and invalid arguments print the list of commands;
/// these, and an argument that is not UTF-8, exit with 64.
pub fn run(env: &Env) -> Run {
    let arguments: Result<Vec<String>, _> = args_os().skip(1).map(OsString::into_string).collect();
    let Ok(arguments) = arguments else {
        say("an argument is not UTF-8");
        return done(ExitCode::from(EXIT_USAGE));
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, rest) = arguments.split_first().unwrap_or((&COMMANDS[0].name, &[]));
    let of_name = |name: &str| COMMANDS.iter().find(|command| command.name == name);
    if is_help(name) || *name == "help" {
        let asked = rest.first().and_then(|name| of_name(name));
        return done(end(asked.map_or_else(usage, Command::text), ExitCode::SUCCESS));
    }
    let command = of_name(name);
    if let Some(help) = command.and_then(|command| command.help(rest)) {
        return done(end(help, ExitCode::SUCCESS));
    }
    command.and_then(|command| (command.run)(env, rest)).unwrap_or_else(|| {
        say(format_args!("{}\n\n{}", not_run(name, command), usage()));
        done(ExitCode::from(EXIT_USAGE))
    })
}

/// Whether an argument asks for help.
fn is_help(argument: &str) -> bool {
    ["--help", "-h"].contains(&argument)
}

/// Why a command of this name does not run.
fn not_run(name: &str, command: Option<&Command>) -> String {
    match command {
        Some(command) if command.arguments.is_empty() => format!("{name} takes no arguments"),
        Some(command) => format!("{name} takes other arguments: {}", command.arguments),
        None => match nearest(name, COMMANDS.iter().map(|command| command.name)) {
            Some(meant) => format!("{name:?} is not a command, but {meant} is"),
            None => format!("{name:?} is not a command"),
        },
    }
}

fn usage() -> String {
    let mut usage = "cargo run -- [COMMAND]\n\n".to_owned();
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.arguments);
        let column = match call.len() {
            ..=22 => format!("{call:<22}"),
            _ => format!("{call}\n  {:22}", ""),
        };
        let _ = writeln!(usage, "  {column} {}", command.about);
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

/// Runs a command that changes the checkout. It hears of signals by a token, so that they cannot end it halfway.
fn change(env: &Env, arguments: &[&str], command: Change) -> Run {
    let checkout = Checkout::find(env);
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let stop = CancellationToken::new();
    let stopped = runtime::stop_on_signal(stop.clone());
    let work = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        command(&checkout?, &arguments, &stop)
    };
    Box::pin(async {
        telemetry::spawn(stopped);
        match telemetry::spawn_blocking(work).await {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(sentence)) => refuse(&sentence),
            Err(panic) => refuse(&panic.to_string()),
        }
    })
}
