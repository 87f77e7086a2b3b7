//! stats, repair.

use super::{
    args::Global,
    failure::{Failure, Kind},
    open,
    output::{Output, count, printable},
};
use crate::{
    anchor::Outbox,
    backend::BackendError,
    config::Config,
    engine::{Access, OpenError, StorageEngine},
    sqlite::repair::{self, RepairReport},
};
use serde::Serialize;

pub(super) fn stats(global: &Global, out: &Output) -> Result<(), Failure> {
    let mut stats = open(global, Access::Read)?.dag_stats()?;
    let (anchored, finalized) = Outbox::open_to_read(&global.repo)?.anchored_sizes()?;
    (stats.blocks_anchored, stats.blocks_finalized) = (Some(anchored), Some(finalized));
    out.print(&stats, || fields_text(&stats))
}

pub(super) fn repair(global: &Global, out: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.repo, &global.overrides())?;
    let bar = out.percentage();
    let report = repair::repair(&global.repo, &config.database_options(), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| match error {
        BackendError::Damaged(what) => Failure::refused(format_args!(
            "{what}; that is beyond repair here: restore the repository's folder from a copy"
        )),
        error => error.into(),
    })?;
    out.print(&report, || repair_text(&report))?;
    if report.is_whole() { Ok(()) } else { Err(Failure { kind: Kind::Refused, message: String::new() }) }
}

fn repair_text(report: &RepairReport) -> String {
    let mut lines = vec![format!(
        "{} and {} looked at; the indexes are made anew",
        count(report.blocks, "block"),
        count(report.chunks, "chunk")
    )];
    let mut tell = |number: u64, what: &str, text: &str| {
        if number > 0 {
            lines.push(format!("{} {text}", count(number, what)));
        }
    };
    tell(report.log_nodes_restored, "node", "of the log restored");
    tell(report.rows_corrected, "row", "corrected");
    tell(report.rows_removed, "row", "that nothing names taken away, from where none can stand");
    tell(report.packs_renewed, "pack", "damaged or missing; what was whole in it was written anew");
    tell(report.dictionaries_restored, "row", "of dictionaries restored");
    tell(report.settings_corrected, "table", "of settings made anew");
    tell(report.ways_corrected, "way", "to genesis corrected");
    tell(report.counts_corrected, "count", "of references corrected");
    tell(report.marks_corrected, "mark", "of forgotten or pinned blocks corrected, as the audit trail tells");
    tell(u64::from(report.totals_corrected), "row", "of sums corrected");
    let mut name = |number: u64, what: &str, text: &str, names: Vec<String>| {
        if number > 0 {
            lines.push(format!("{} {text}", count(number, what)));
            let unnamed = number.saturating_sub(names.len() as u64);
            lines.extend(names.into_iter().map(|name| format!("  {name}")));
            lines.extend((unnamed > 0).then(|| format!("  and {unnamed} more")));
        }
    };
    name(
        report.set_aside_count,
        "chunk",
        "set aside, damaged:",
        report.set_aside.iter().map(ToString::to_string).collect(),
    );
    let contents = report.contents_lost.iter().map(ToString::to_string).collect();
    name(report.contents_lost_count, "block", "without their content; put it again to restore it:", contents);
    let blocks = report.blocks_lost.iter().map(|leaf_index| format!("leaf {leaf_index}")).collect();
    name(report.blocks_lost_count, "block", "lost, which only a backup brings back:", blocks);
    let settings = report.settings_lost.iter().map(|name| (*name).to_owned()).collect();
    let text = "that nothing bears out any more, as found or by default; `pakit status` shows what is there:";
    name(report.settings_lost.len() as u64, "setting", text, settings);
    let problems = report.remaining.iter().map(ToString::to_string).collect();
    name(report.remaining_count, "problem", "left, as `pakit check` tells:", problems);
    if report.is_whole() {
        lines.push("nothing is lost".to_owned());
    }
    lines.join("\n")
}

/// Opens with the writer's lock, since a commit in between would look like damage. Where nothing can be written, nobody
/// else writes either.
pub(super) fn open_unchanging(global: &Global) -> Result<StorageEngine, Failure> {
    match StorageEngine::open(&global.repo, Access::Write, &global.overrides()) {
        Err(OpenError::Backend(BackendError::ReadOnly(_) | BackendError::DiskFull)) => open(global, Access::Read),
        opened => Ok(opened?),
    }
}

/// The fields of a flat object, one a line; lists item by item.
fn fields_text(value: &impl Serialize) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(value) else { return String::new() };
    let lines = fields.iter().map(|(name, value)| {
        let text = match value {
            serde_json::Value::Array(items) => items.iter().map(|item| format!("\n  {item}")).collect(),
            serde_json::Value::String(text) => printable(text.as_bytes()),
            serde_json::Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        format!("{:<26} {text}", name.replace('_', " "))
    });
    lines.collect::<Vec<_>>().join("\n")
}
