//! stats, check.

use super::{
    args::{Check, Global},
    failure::{Failure, Kind},
    open,
    output::Output,
};
use crate::{
    anchor::Outbox,
    backend::BackendError,
    check::{self, CheckReport, Depth},
    engine::{Access, OpenError, StorageEngine},
};
use serde::Serialize;
use std::ops::ControlFlow;

pub(super) fn stats(global: &Global, out: &Output) -> Result<(), Failure> {
    let mut stats = open(global, Access::Read)?.dag_stats()?;
    let (anchored, finalized) = Outbox::open_to_read(&global.repo)?.anchored_sizes()?;
    (stats.blocks_anchored, stats.blocks_finalized) = (Some(anchored), Some(finalized));
    out.print(&stats, || fields_text(&stats))
}

pub(super) fn check(global: &Global, out: &Output, args: &Check) -> Result<(), Failure> {
    let engine = open_unchanging(global)?;
    let depth = if args.full { Depth::Full } else { Depth::Structure };
    let bar = out.progress(None);
    let report = check::check(engine.backend().as_ref(), depth, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let report = report?;
    out.print(&report, || report_text(&report))?;
    if report.is_sound() { Ok(()) } else { Err(Failure { kind: Kind::Refused, message: String::new() }) }
}

/// Opens with the writer's lock, since a commit in between would look like damage. Where nothing can be written, nobody
/// else writes either.
fn open_unchanging(global: &Global) -> Result<StorageEngine, Failure> {
    match StorageEngine::open(&global.repo, Access::Write, &global.overrides()) {
        Err(OpenError::Backend(BackendError::ReadOnly(_))) => open(global, Access::Read),
        opened => Ok(opened?),
    }
}

/// The fields of a flat object, one a line; lists item by item.
fn fields_text(value: &impl Serialize) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(value) else { return String::new() };
    let lines = fields.iter().map(|(name, value)| {
        let text = match value {
            serde_json::Value::Array(items) => items.iter().map(|item| format!("\n  {item}")).collect(),
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        format!("{:<26} {text}", name.replace('_', " "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn report_text(report: &CheckReport) -> String {
    let problems: String = report.problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let unlisted = report.problem_count.saturating_sub(report.problems.len() as u64);
    let more = if unlisted > 0 { format!("\n  and {unlisted} more") } else { String::new() };
    let verdict = match report.problem_count {
        0 if report.is_sound() => "sound".to_owned(),
        0 => "stopped before its end".to_owned(),
        count => format!("{count} problems"),
    };
    format!("{verdict}: {} blocks and {} chunks checked{problems}{more}", report.blocks, report.chunks)
}
