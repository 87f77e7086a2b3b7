//! forget, gc, compact, pin, unpin, pins, retention, audit.

use super::{
    args::{Audit, Forget, Gc, Global, Pin, Retention, Unpin},
    chain,
    declare::{self, Plan},
    failure::Failure,
    open,
    output::{Output, printable},
    time,
};
use crate::{
    anchor::StakeStanding,
    block::DagBlock,
    config::Config,
    engine::{Access, StorageEngine},
    removal::{self, Fate, ForgetOptions, forget::Foreseen, hold::Verdict},
    sqlite::compact,
};
use serde::Serialize;

/// Pins and audit blocks that are read at once.
const PAGE: usize = 1_024;

fn resolve_all(engine: &StorageEngine, texts: &[String]) -> Result<Vec<DagBlock>, Failure> {
    texts.iter().map(|text| Ok(engine.resolve(text)?)).collect()
}

fn hash_at(engine: &StorageEngine, leaf_index: u64) -> Result<String, Failure> {
    Ok(engine.dag().at(leaf_index)?.block_hash().to_string())
}

/// What becomes of a content.
#[derive(Serialize)]
struct FateLine {
    block: String,
    leaf_index: u64,
    content_hash: String,
    bytes: u64,
    /// drop, keep, wait, or gone.
    action: &'static str,
    /// The block that holds it, for what is kept by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
    /// When it can go, for what waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    why: &'static str,
}

fn fate_line(engine: &StorageEngine, block: &DagBlock, bytes: u64, fate: Option<Fate>) -> Result<FateLine, Failure> {
    let (action, why) = match fate {
        Some(Fate::Goes) => ("drop", "nothing holds it"),
        Some(Fate::HeldByBlock(_)) => ("keep", "another block of the same content is not forgotten"),
        Some(Fate::HeldByListing(_)) => ("keep", "a folder that stays leads to it"),
        Some(Fate::HeldByPin(_)) => ("keep", "a pin holds it"),
        Some(Fate::PartOfAnother) => ("keep", "a content that stays is made of it"),
        Some(Fate::Waits { .. }) => ("wait", "the retention rule keeps it"),
        Some(Fate::Undeclared(_)) => ("wait", "a stake stands for it: not declared removed, or not in effect yet"),
        None => ("gone", "it was dropped before"),
    };
    let held_by = match fate {
        Some(Fate::HeldByBlock(leaf) | Fate::HeldByListing(leaf) | Fate::HeldByPin(leaf)) => {
            Some(hash_at(engine, leaf)?)
        }
        _ => None,
    };
    let until_ms = match fate {
        Some(Fate::Waits { until_ms }) => Some(until_ms),
        _ => None,
    };
    let (leaf_index, content_hash) = (block.leaf_index(), block.header().content_hash.to_string());
    Ok(FateLine {
        block: block.block_hash().to_string(),
        leaf_index,
        content_hash,
        bytes,
        action,
        held_by,
        until_ms,
        why,
    })
}

fn print_fate(out: &Output, line: &FateLine) -> Result<(), Failure> {
    out.print(line, || {
        let by = line.held_by.as_ref().map_or_else(String::new, |block| format!(": {block}"));
        let until = line.until_ms.map_or_else(String::new, |until_ms| format!(" until {}", time::display(until_ms)));
        format!("{:<4} {} {:>12} {}{by}{until}", line.action, line.block, line.bytes, line.why)
    })
}

pub(super) fn forget(global: &Global, out: &Output, args: &Forget) -> Result<(), Failure> {
    let engine = open(global, Access::Write)?;
    let standing = match args.undeclared {
        true => declare::warn(global, out)?,
        false => declare::ask(global, &engine, chain::named_url(&args.chain.signing))?,
    };
    let blocks = resolve_all(&engine, &args.blocks)?;
    let options = ForgetOptions { why: args.why.clone().unwrap_or_default(), only_listing: args.only_listing };
    let plan = match standing {
        Some(standing) => {
            let (declared, ranges_max) = (standing.declared(), usize::from(args.max_ranges));
            let leaves: Result<_, Failure> =
                engine.removal(|removal| Ok(removal.to_declare(&blocks, &options, &declared, ranges_max)?));
            Some(Plan { standing, leaves: leaves? })
        }
        None => None,
    };
    if args.dry_run {
        foresee(out, &engine, &blocks, &options)?;
        return plan.map_or(Ok(()), |plan| plan.print_foreseen(out));
    }
    // Whatever is known to fail is told before anything is changed.
    if let Some(plan) = plan.as_ref().filter(|plan| !plan.leaves.is_empty()) {
        plan.check(chain::signing_key(&args.chain.signing)?.account())?;
        out.note(&plan.foreseen());
    }
    match args.resume {
        true if plan.is_none() => out.note("nothing to declare: no stake stands behind a DAG of this repository"),
        true => {}
        false => mark_forgotten(out, &engine, &blocks, &options)?,
    }
    // Others may write while the chain is waited for: what is forgotten stands in the repository.
    drop(engine);
    plan.map_or(Ok(()), |plan| plan.carry_out(global, out, &args.chain))
}

fn foresee(out: &Output, engine: &StorageEngine, blocks: &[DagBlock], options: &ForgetOptions) -> Result<(), Failure> {
    let mut print = |Foreseen { block, fate }: Foreseen| {
        print_fate(out, &fate_line(engine, &block, block.header().original_size, fate)?)
    };
    let sums: removal::Forgotten = engine.removal(|removal| removal.foresee::<Failure>(blocks, options, &mut print))?;
    out.note(&format!(
        "{} blocks would be forgotten, {} are already, {} stay because a pin holds them; nothing was changed",
        sums.blocks, sums.already, sums.pinned,
    ));
    Ok(())
}

fn mark_forgotten(
    out: &Output,
    engine: &StorageEngine,
    blocks: &[DagBlock],
    options: &ForgetOptions,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        forgotten: u64,
        bytes: u64,
        already: u64,
        pinned: u64,
        audit_blocks: Vec<String>,
    }
    let done = engine.removal(|mut removal| removal.forget(blocks, options))?;
    let audit_blocks = done.audits.iter().map(ToString::to_string).collect();
    let line =
        Line { forgotten: done.blocks, bytes: done.bytes, already: done.already, pinned: done.pinned, audit_blocks };
    out.print(&line, || {
        let audits: String = line.audit_blocks.iter().map(|block| format!("\naudit block {block}")).collect();
        format!(
            "{} blocks forgotten, {} were already, {} stay because a pin holds them; `pakit gc` drops what nothing holds{audits}",
            line.forgotten, line.already, line.pinned,
        )
    })
}

pub(super) fn gc(global: &Global, out: &Output, args: &Gc) -> Result<(), Failure> {
    let engine = open(global, Access::Write)?;
    let standing = match args.undeclared {
        true => declare::warn(global, out)?,
        // Where nothing is forgotten, nothing goes.
        false if engine.backend().forgotten(None, 1)?.is_empty() => None,
        false => declare::ask(global, &engine, args.url.clone().filter(|url| !url.is_empty()))?,
    };
    let declared = standing.as_ref().map(StakeStanding::in_effect);
    if args.dry_run {
        let mut print = |verdict: Verdict| {
            let block = engine.dag().at(verdict.leaf_index)?;
            print_fate(out, &fate_line(&engine, &block, verdict.bytes, Some(verdict.fate))?)
        };
        let summary = engine.removal(|removal| removal.declared(declared.clone()).gc_foresee::<Failure>(&mut print))?;
        out.note(&format!("{}; nothing was changed", gc_text(&summary, "would be dropped", standing.as_ref())));
        return Ok(());
    }
    let bar = out.progress(None);
    let summary = engine.removal(|removal| {
        removal.declared(declared.clone()).gc(&args.why, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })
    });
    bar.finish_and_clear();
    let summary = summary?;
    #[derive(Serialize)]
    struct Line {
        #[serde(flatten)]
        summary: removal::GcSummary,
        /// From which block of the chain on all that is declared may go.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_effect_from: Option<u64>,
    }
    let line = Line { summary, in_effect_from: standing.as_ref().and_then(StakeStanding::awaited_block) };
    out.print(&line, || {
        format!(
            "{}; {} stored bytes are free now",
            gc_text(&summary, "dropped", standing.as_ref()),
            summary.freed_bytes
        )
    })
}

fn gc_text(summary: &removal::GcSummary, dropped: &str, standing: Option<&StakeStanding>) -> String {
    let waiting = match summary.waiting_until_ms {
        Some(until_ms) => {
            format!("; {} wait for the retention rule, the first until {}", summary.waiting, time::display(until_ms))
        }
        None => String::new(),
    };
    let undeclared = match (summary.undeclared, standing.and_then(StakeStanding::awaited_block)) {
        (0, _) => String::new(),
        (number, None) => {
            format!("; a stake stands for {number} that are not declared removed: run `pakit forget --resume`")
        }
        (number, Some(block)) => format!(
            "; a stake stands for {number}: what is declared may go from block {block} on, when the round under way is over, \
             and `pakit forget --resume` declares what is not"
        ),
    };
    format!(
        "{} contents of {} bytes {dropped}, {} stay because something holds them{waiting}{undeclared}",
        summary.dropped, summary.dropped_bytes, summary.held,
    )
}

pub(super) fn compact(global: &Global, out: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.repo, &global.overrides())?;
    let bar = out.progress(Some(0));
    let done = compact::compact(&global.repo, &config.database_options(), &|written, all| {
        bar.set_length(all);
        bar.set_position(written);
    });
    bar.finish_and_clear();
    let done = done?;
    out.print(&done, || {
        let log = if done.is_log_empty { "" } else { "; a reader is in the way, the next writer returns the rest" };
        format!("{} bytes before, {} after{log}", done.bytes_before, done.bytes_after)
    })
}

/// What a decision says.
#[derive(Serialize)]
struct DecidedLine {
    audit_block: String,
    blocks: Vec<String>,
}

fn print_decided(out: &Output, audit: &DagBlock, blocks: &[DagBlock], what: &str) -> Result<(), Failure> {
    let blocks: Vec<String> = blocks.iter().map(|block| block.block_hash().to_string()).collect();
    let line = DecidedLine { audit_block: audit.block_hash().to_string(), blocks };
    out.print(&line, || {
        let blocks: String = line.blocks.iter().map(|block| format!("{what} {block}\n")).collect();
        format!("{blocks}audit block {}", line.audit_block)
    })
}

pub(super) fn pin(global: &Global, out: &Output, args: &Pin) -> Result<(), Failure> {
    let engine = open(global, Access::Write)?;
    let blocks = resolve_all(&engine, &args.blocks)?;
    let audit = engine.removal(|mut removal| removal.pin(&blocks, args.until, &args.why))?;
    print_decided(out, &audit, &blocks, "pinned")
}

pub(super) fn unpin(global: &Global, out: &Output, args: &Unpin) -> Result<(), Failure> {
    let engine = open(global, Access::Write)?;
    let blocks = resolve_all(&engine, &args.blocks)?;
    let audit = engine.removal(|mut removal| removal.unpin(&blocks, &args.why))?;
    print_decided(out, &audit, &blocks, "unpinned")
}

#[derive(Serialize)]
struct PinLine {
    block: String,
    leaf_index: u64,
    until_ms: Option<u64>,
    /// Whether it holds now.
    holds: bool,
    audit_block: String,
    time_ms: u64,
    who: String,
    why: String,
}

pub(super) fn pins(global: &Global, out: &Output) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let (now_ms, mut after) = (removal::now_ms(), None);
    loop {
        let page = engine.backend().pins(after, PAGE)?;
        for pin in &page {
            let audit = removal::audit_at(engine.backend(), pin.audit)?;
            let line = PinLine {
                block: hash_at(&engine, pin.leaf_index)?,
                leaf_index: pin.leaf_index,
                until_ms: pin.until_ms,
                holds: pin.holds(now_ms),
                audit_block: audit.block.block_hash().to_string(),
                time_ms: audit.record.time_ms,
                who: audit.record.who,
                why: audit.record.why,
            };
            out.print(&line, || {
                let until =
                    line.until_ms.map_or_else(|| "for good".to_owned(), |ms| format!("until {}", time::display(ms)));
                let state = if line.holds { "holds" } else { "over " };
                let (who, why) = (printable(line.who.as_bytes()), printable(line.why.as_bytes()));
                format!("{state} {} {until}, by {who} on {}: {why}", line.block, time::display(line.time_ms))
            })?;
        }
        after = page.last().map(|pin| pin.leaf_index);
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

pub(super) fn retention(global: &Global, out: &Output, args: &Retention) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        keep_for_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        audit_block: Option<String>,
    }
    let is_set = args.keep_for.is_some() || args.none;
    let engine = open(global, if is_set { Access::Write } else { Access::Read })?;
    let audit_block = match is_set {
        true => {
            let rule = removal::Retention { keep_for_ms: args.keep_for };
            let audit = engine.removal(|mut removal| removal.retain(rule, &args.why))?;
            Some(audit.block_hash().to_string())
        }
        false => None,
    };
    let line = Line { keep_for_ms: engine.retention()?.keep_for_ms, audit_block };
    out.print(&line, || {
        let rule = match line.keep_for_ms {
            Some(ms) => format!("contents stay for {} s ({} days) after they were put", ms / 1_000, ms / 86_400_000),
            None => "no rule: contents stay until they are forgotten and dropped".to_owned(),
        };
        let audit = line.audit_block.as_ref().map_or_else(String::new, |block| format!("\naudit block {block}"));
        format!("{rule}{audit}")
    })
}

#[derive(Serialize)]
struct AuditedLine {
    leaf_index: u64,
    block: String,
    content_hash: String,
}

#[derive(Serialize)]
struct AuditLine {
    block: String,
    leaf_index: u64,
    sequence: u64,
    action: &'static str,
    time_ms: u64,
    who: String,
    why: String,
    term_ms: Option<u64>,
    blocks: Vec<AuditedLine>,
}

pub(super) fn audit(global: &Global, out: &Output, args: &Audit) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let (mut after, mut left) = (args.from.checked_sub(1), args.limit);
    while left > 0 {
        // Records are up to 90 KB each.
        let page = engine.audits(after, left.min(64))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.block.leaf_index());
        left -= page.len();
        page.into_iter().try_for_each(|audit| print_audit(out, audit))?;
    }
    if !engine.audits(after, 1)?.is_empty() {
        out.note("truncated: there are more; raise --limit");
    }
    Ok(())
}

fn print_audit(out: &Output, removal::Audit { block, record }: removal::Audit) -> Result<(), Failure> {
    let line = AuditLine {
        block: block.block_hash().to_string(),
        leaf_index: block.leaf_index(),
        sequence: record.sequence,
        action: record.action.name(),
        time_ms: record.time_ms,
        who: record.who,
        why: record.why,
        term_ms: record.term_ms,
        blocks: record
            .blocks
            .iter()
            .map(|block| AuditedLine {
                leaf_index: block.leaf_index,
                block: block.block_hash.to_string(),
                content_hash: block.content_hash.to_string(),
            })
            .collect(),
    };
    out.print(&line, || {
        let blocks: String =
            line.blocks.iter().map(|block| format!("\n  {} at {}", block.block, block.leaf_index)).collect();
        let (who, why) = (printable(line.who.as_bytes()), printable(line.why.as_bytes()));
        let (time, action) = (time::display(line.time_ms), line.action);
        format!("{} {action} by {who} on {time}: {why}{blocks}", line.block)
    })
}
