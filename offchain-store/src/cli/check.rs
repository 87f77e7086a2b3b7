//! check.

use super::{
    args::{Check, Global},
    audit::open_unchanging,
    failure::{Failure, Kind},
    output::{Output, count},
};
use crate::check::{CheckReport, Checker, Depth, ResumeError, StateError, StateFile};
use serde::Serialize;
use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How long an audit that starts over leaves the state of the one before: for whoever reads only now that there was one.
const SECOND_THOUGHTS: Duration = Duration::from_secs(10);
/// How long a step may go on after a signal. What it was doing is done again by whoever resumes.
const LAST_STEP_MAX: Duration = Duration::from_secs(2);

/// Whether a signal asked to stop.
static IS_STOPPED: AtomicBool = AtomicBool::new(false);

/// What check answers.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a CheckReport,
    /// Whether a part of it was done by one that was interrupted.
    resumed: bool,
}

pub(super) fn check(global: &Global, out: &Output, args: &Check) -> Result<(), Failure> {
    let engine = open_unchanging(global)?;
    let file = StateFile::of(&global.repo);
    let backend = engine.backend().as_ref();
    let (mut checker, keep_until) = match args.resume {
        true => {
            let state = file.read()?.ok_or_else(|| {
                Failure::usage("no check was interrupted here; start one with `pakit check` or `pakit check --full`")
            })?;
            if args.full && state.depth() != Depth::Full {
                let what =
                    "the interrupted check reads no payloads; go on without --full, or start over without --resume";
                return Err(Failure::usage(what));
            }
            (Checker::resume(backend, state)?, None)
        }
        false => {
            let depth = if args.full { Depth::Full } else { Depth::Structure };
            let keep_until = note_interrupted(out, &file).then(|| Instant::now() + SECOND_THOUGHTS);
            (Checker::new(backend, depth)?, keep_until)
        }
    };
    stop_on_signals();
    run(out, &file, &mut checker, Duration::from_millis(args.save_every), keep_until);
    let report = checker.into_report();
    if report.is_complete {
        // Where nothing can be written, nothing was.
        file.remove().unwrap_or_else(|error| out.note(&format!("the state of this check stays: {error}")));
    }
    let resumed = args.resume;
    out.print(&Answer { report: &report, resumed }, || report_text(&report))?;
    if report.is_sound() { Ok(()) } else { Err(Failure { kind: Kind::Refused, message: String::new() }) }
}

/// Goes on until the end or a signal, and writes down where it stands every now and then.
fn run(out: &Output, file: &StateFile, checker: &mut Checker<'_>, every: Duration, keep_until: Option<Instant>) {
    let bar = out.percentage();
    let mut saved = Instant::now();
    let mut is_told = false;
    loop {
        let progress = &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
            match IS_STOPPED.load(Ordering::Relaxed) || saved.elapsed() >= every {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        if checker.run(progress).is_continue() {
            break;
        }
        saved = Instant::now();
        let is_kept = keep_until.is_some_and(|until| saved < until);
        let written = match checker.state() {
            Some(state) if !is_kept => file.write(&state),
            _ => Ok(()),
        };
        if let Err(error) = &written
            && !is_told
        {
            is_told = true;
            out.note(&format!("this check cannot be resumed if it is interrupted: {error}"));
        }
        if IS_STOPPED.load(Ordering::Relaxed) {
            if written.is_ok() {
                out.note("interrupted; go on with `pakit check --resume`");
            }
            break;
        }
    }
    bar.finish_and_clear();
}

/// Says that there is something to resume, if there is.
fn note_interrupted(out: &Output, file: &StateFile) -> bool {
    match file.read() {
        Ok(None) => return false,
        Ok(Some(state)) => {
            let full = if state.depth() == Depth::Full { "a full check" } else { "a check" };
            let percent = state.percent();
            out.note(&format!(
                "{full} was interrupted at {percent} %; this one starts over, `pakit check --resume` goes on with that one"
            ));
            return true;
        }
        Err(error) => out.note(&format!("a check was interrupted and cannot be gone on with: {error}")),
    }
    false
}

/// Ends after the step that is under way, and where that takes long, within it: what was written down before is right.
fn stop_on_signals() {
    let stop = || {
        IS_STOPPED.store(true, Ordering::Relaxed);
        std::thread::sleep(LAST_STEP_MAX);
        eprintln!("pakit: interrupted; go on with `pakit check --resume`");
        std::process::exit(Kind::Refused.exit_code().into());
    };
    if let Err(error) = ctrlc::set_handler(stop) {
        // Then a signal ends the process as it does without this, and the last state that was written down is gone on with.
        tracing::debug!("signals cannot be waited for: {error}");
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error {
            error @ StateError::Io { .. } => Self::environment(error),
            error => Self::usage(format_args!("{error}; start over without --resume")),
        }
    }
}

impl From<ResumeError> for Failure {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Backend(error) => error.into(),
            error => Self::usage(format_args!("{error}; start over without --resume")),
        }
    }
}

fn report_text(report: &CheckReport) -> String {
    let problems: String = report.problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let unlisted = report.problem_count.saturating_sub(report.problems.len() as u64);
    let more = if unlisted > 0 { format!("\n  and {unlisted} more") } else { String::new() };
    let verdict = match report.problem_count {
        0 if report.is_sound() => "sound".to_owned(),
        0 => "stopped before its end".to_owned(),
        problems => count(problems, "problem"),
    };
    let (blocks, chunks) = (count(report.blocks, "block"), count(report.chunks, "chunk"));
    let removed = match report.removed_payloads {
        0 => String::new(),
        removed => format!("; {} forgotten and dropped, as `pakit audit` tells", count(removed, "content")),
    };
    format!("{verdict}: {blocks} and {chunks} checked{removed}{problems}{more}")
}
