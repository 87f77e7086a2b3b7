//! The program `pakit`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done; 1 a proof was refused, a check
//! failed, what is stored is damaged, or not every item was stored or restored; 2 wrong use; 3 files, network or chain do not
//! allow it.

mod args;
mod audit;
mod backup;
mod chain;
mod check;
mod declare;
mod failure;
mod look;
mod output;
mod prove;
mod removal;
mod serve;
mod store;
mod time;

use self::{
    args::{Cli, Command, Global},
    failure::Failure,
    output::Output,
};
use crate::engine::{Access, StorageEngine};
use clap::{CommandFactory, Parser};
use std::{
    ffi::OsStr,
    io::{IsTerminal, Write},
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Environment variable that says what is logged.
const LOG_VARIABLE: &str = "PAKIT_LOG";

/// Runs the command that the process's arguments name.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let _ = error.print();
            return if error.use_stderr() { failure::Kind::Usage.exit_code().into() } else { ExitCode::SUCCESS };
        }
    };
    let done = init_log(cli.command.log_default()).and_then(|()| dispatch(&cli.global, cli.command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("pakit: {}", output::message(&failure.message));
            }
            failure.kind.exit_code().into()
        }
    }
}

/// Reads arguments and does nothing else; the exit code where they are no command, or one for help. A door for the crate `faults`, and
/// no part of the interface.
#[doc(hidden)]
pub fn read_arguments(arguments: &[&OsStr]) -> Result<(), i32> {
    let arguments = std::iter::once(OsStr::new("pakit")).chain(arguments.iter().copied());
    Cli::try_parse_from(arguments).map(|_| ()).map_err(|error| error.exit_code())
}

/// `PAKIT_LOG=debug pakit ...` shows what libraries say; otherwise what the command has to say of itself, if anything.
fn init_log(default: Option<&str>) -> Result<(), Failure> {
    let filter = match std::env::var_os(LOG_VARIABLE).filter(|value| !value.is_empty()) {
        Some(value) => Some(log_filter(&value)?),
        None => default.map(EnvFilter::new),
    };
    if let Some(filter) = filter {
        // Colours are for terminals; in a file they are noise, and NO_COLOR is the reader's wish.
        let is_coloured =
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_coloured);
        log.with_writer(std::io::stderr).init();
    }
    Ok(())
}

fn log_filter(value: &OsStr) -> Result<EnvFilter, Failure> {
    let wanted = "; it has to be a level such as debug, or levels of modules such as offchain_store=debug";
    let not_text = || Failure::usage(format_args!("{LOG_VARIABLE} in the environment is not text{wanted}"));
    let text = value.to_str().ok_or_else(not_text)?;
    EnvFilter::try_new(text)
        .map_err(|error| Failure::usage(format_args!("{LOG_VARIABLE} in the environment: {error}{wanted}")))
}

fn dispatch(global: &Global, command: Command) -> Result<(), Failure> {
    let out = &Output::new(global);
    match command {
        Command::Init(args) => store::init(global, out, &args),
        Command::Put(args) => store::put(global, out, args),
        Command::Get(args) => store::get(global, out, &args),
        Command::Ls(args) => store::ls(global, out, &args),
        Command::Show(args) => look::show(global, out, &args),
        Command::Query(args) => look::query(global, out, &args),
        Command::Parents(args) => look::parents(global, out, &args),
        Command::Children(args) => look::children(global, out, &args),
        Command::Ancestors(args) => look::ancestors(global, out, &args),
        Command::Descendants(args) => look::descendants(global, out, &args),
        Command::Common(args) => look::common(global, out, &args),
        Command::Frontier(args) => look::frontier(global, out, &args),
        Command::Head => look::head(global, out),
        Command::Log(args) => look::log(global, out, &args),
        Command::Prove(args) => prove::prove(global, out, &args),
        Command::Verify(args) => prove::verify(out, &args),
        Command::Dag(command) => chain::dag(global, out, command),
        Command::Anchor(args) => chain::anchor(global, out, &args),
        Command::Record(args) => chain::record(global, out, &args),
        Command::Status(args) => chain::status(global, out, &args),
        Command::Stats => audit::stats(global, out),
        Command::Check(args) => check::check(global, out, &args),
        Command::Repair => audit::repair(global, out),
        Command::Backup(args) => backup::backup(global, out, args),
        Command::Serve(args) => serve::serve(global, out, args),
        Command::Restore(args) => backup::restore(global, out, &args),
        Command::Forget(args) => removal::forget(global, out, &args),
        Command::Gc(args) => removal::gc(global, out, &args),
        Command::Compact => removal::compact(global, out),
        Command::Pin(args) => removal::pin(global, out, &args),
        Command::Unpin(args) => removal::unpin(global, out, &args),
        Command::Pins => removal::pins(global, out),
        Command::Retention(args) => removal::retention(global, out, &args),
        Command::Audit(args) => removal::audit(global, out, &args),
        Command::Completions(args) => {
            // Into memory first: the generator panics where standard output has been closed.
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "pakit", &mut script);
            std::io::stdout().write_all(&script).map_err(output::output_failure)
        }
    }
}

/// Opens the repository that the global flags name.
fn open(global: &Global, access: Access) -> Result<StorageEngine, Failure> {
    let engine = StorageEngine::open(&global.repo, access, &global.overrides())?;
    match &global.who {
        Some(who) => engine.decided_by(who).map_err(Failure::usage),
        None => Ok(engine),
    }
}
