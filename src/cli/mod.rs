//! The commands of the binary: one file for each. They parse arguments, call the engine and say what came of it.
//!
//! Standard output carries the answer and, with `--json`, nothing but one JSON object; standard error carries progress,
//! warnings and errors. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 waiting for an operator.

mod args;
mod audit;
mod backup;
mod catalog;
mod context;
mod doctor;
mod drive;
mod drive_health;
mod error;
mod find;
mod interrupt;
mod key;
mod library;
mod ls;
mod monitor;
mod numbers;
mod output;
mod remote;
mod restore;
mod serve;
mod table;
mod tape;
mod text;
mod try_run;
mod user;
mod verify;
mod virtual_library;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use context::Context;
use error::CliError;
use output::Output;

/// How a command ended that did not meet an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything asked for was done. Warnings may have been told.
    Done,
    /// The answer is that something is wrong: files not restored, a volume not as it should be.
    Faulty,
    /// A volume must be put in before the rest can be done.
    Waiting,
}

impl Outcome {
    fn from_fault(faulty: bool) -> Outcome {
        if faulty { Outcome::Faulty } else { Outcome::Done }
    }
}

/// Runs one command line, program name first, and returns the exit code of the process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(told) => return told_by_parser(&told, &args),
    };
    let output = Output::new(cli.global.json, cli.global.quiet);
    let context = Context::new(output, cli.global);
    match dispatch(&context, cli.command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Faulty) => ExitCode::FAILURE,
        Ok(Outcome::Waiting) => ExitCode::from(error::WAITING),
        Err(error) => failed(output, &error),
    }
}

fn dispatch(context: &Context, command: Command) -> Result<Outcome, CliError> {
    match command {
        Command::Try(args) => try_run::run(context, &args),
        Command::Backup(args) => backup::run(context, args),
        Command::Restore(args) => restore::run(context, args),
        Command::Ls(args) => ls::run(context, &args),
        Command::Find(args) => find::run(context, &args),
        Command::Verify(args) => verify::run(context, args),
        Command::Tape { command } => tape::run(context, command),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Drive { command } => drive::run(context, command),
        Command::Library { command } => library::run(context, command),
        Command::Catalog { command } => catalog::run(context, command),
        Command::Serve(args) => serve::run(context, args),
        Command::Key { command } => key::run(context, command),
        Command::User { command } => user::run(context, command),
        Command::Audit { command } => audit::run(context, command),
        Command::Virtual { command } => virtual_library::run(context, command),
    }
}

/// Tells why a command failed: a line on standard error, with `--json` also an object on standard output.
fn failed(output: Output, error: &CliError) -> ExitCode {
    let message = error.message();
    let code = error.exit_code();
    output.error(&message);
    if output.is_json() {
        output.json(&serde_json::json!({ "error": { "message": message, "exit_code": code } }));
    }
    ExitCode::from(code)
}

/// Help and version end well; anything else the parser says is wrong usage.
fn told_by_parser(told: &clap::Error, args: &[OsString]) -> ExitCode {
    // Nothing can be done about a closed standard error.
    let _ = told.print();
    if !told.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--json") {
        let text = told.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Output::new(true, true).json(&serde_json::json!({ "error": { "message": message, "exit_code": 2 } }));
    }
    ExitCode::from(error::USAGE)
}
