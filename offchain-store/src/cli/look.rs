//! show, query, parents, children, ancestors, descendants, common, frontier, head, log.

use super::{
    args::{Block, Common, Frontier, Global, Log, Query, Walk},
    failure::Failure,
    open,
    output::{Output, count, header_text, one_line},
};
use crate::{anchor::Outbox, dag::WalkLimits, engine::Access, index, json::BlockJson, removal};
use serde::Serialize;

/// Children that show and children list at most.
const CHILDREN_MAX: usize = 10_000;

/// Blocks that common prints at most.
const COMMON_MAX: usize = 1_000;

/// Log entries that are read at once.
const LOG_PAGE: u64 = 1_024;

/// Who forgot a block.
#[derive(Serialize)]
struct ForgottenLine {
    audit_block: String,
    time_ms: u64,
    who: String,
    why: String,
}

/// Every header field, and what follows from it.
#[derive(Serialize)]
struct ShowLine {
    #[serde(flatten)]
    block: BlockJson,
    /// Who gave the content up, when and why; what was not dropped yet is still kept.
    forgotten: Option<ForgottenLine>,
    /// Whether a pin of this block holds.
    pinned: bool,
    /// Whether it is an audit block.
    audit: bool,
    children: Vec<String>,
    children_truncated: bool,
}

pub(super) fn show(global: &Global, out: &Output, args: &Block) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    let info = engine.info(&block, CHILDREN_MAX)?;
    let dag = engine.dag();
    let children = info
        .children
        .iter()
        .map(|leaf_index| Ok(dag.at(*leaf_index)?.block_hash().to_string()))
        .collect::<Result<Vec<_>, Failure>>()?;
    let line = ShowLine {
        block: BlockJson::new(&block, info.is_kept),
        forgotten: info.forgotten.clone().map(|told| ForgottenLine {
            audit_block: told.audit_block.to_string(),
            time_ms: told.time_ms,
            who: told.who,
            why: told.why,
        }),
        pinned: info.mark.pin.is_some_and(|pin| pin.holds(removal::now_ms())),
        audit: info.mark.is_audit,
        children,
        children_truncated: info.children_truncated,
    };
    out.print(&line, || {
        let kept = if info.is_kept { "kept" } else { "removed" };
        let told =
            info.forgotten.as_ref().map_or_else(String::new, |told| format!(" ({})", one_line(&told.to_string())));
        let pinned = if line.pinned { "\npinned" } else { "" };
        let audit = if line.audit { "\naudit block" } else { "" };
        let children: String = line.children.iter().map(|child| format!("\n               {child}")).collect();
        let more = if line.children_truncated { "\n               (truncated)" } else { "" };
        format!(
            "{}\ncontent        {kept}{told}{pinned}{audit}\nchildren       {}{children}{more}",
            header_text(&block),
            line.children.len()
        )
    })
}

pub(super) fn query(global: &Global, out: &Output, args: &Query) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let times_ms = match (args.since, args.until) {
        (None, None) => None,
        (since, until) => Some(since.unwrap_or(0)..=until.unwrap_or(u64::MAX)),
    };
    let below = covered_size(global, args)?;
    let mut query = index::Query { depths: args.depth.clone(), times_ms, below, ..Default::default() };
    let mut left = args.limit;
    while left > 0 {
        query.limit = usize::try_from(left).unwrap_or(usize::MAX).min(index::PAGE_BLOCKS_MAX);
        let page = engine.index().query(&query)?;
        page.blocks.iter().try_for_each(|block| out.block_line(block))?;
        left -= (page.blocks.len() as u64).min(left);
        query.after = page.next;
        if query.after.is_none() {
            return Ok(());
        }
    }
    if !out.json {
        out.note("truncated: there may be more; raise --limit");
    }
    Ok(())
}

/// Size of the log that the anchors cover which were asked for, as far as this repository has seen them.
fn covered_size(global: &Global, args: &Query) -> Result<Option<u64>, Failure> {
    if !args.anchored && !args.finalized {
        return Ok(None);
    }
    let (anchored, finalized) = Outbox::open_to_read(&global.repo)?.anchored_sizes()?;
    Ok(Some(if args.finalized { finalized } else { anchored }))
}

pub(super) fn parents(global: &Global, out: &Output, args: &Block) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    out.block_list(&engine.dag().parents(&block.block_hash())?, false)
}

pub(super) fn children(global: &Global, out: &Output, args: &Block) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    let mut children = engine.dag().children(&block.block_hash(), None, CHILDREN_MAX + 1)?;
    let truncated = children.len() > CHILDREN_MAX;
    children.truncate(CHILDREN_MAX);
    out.block_list(&children, truncated)
}

fn limits(args: &Walk) -> WalkLimits {
    WalkLimits { steps_max: args.max_depth.unwrap_or(u32::MAX), blocks_max: args.limit }
}

pub(super) fn ancestors(global: &Global, out: &Output, args: &Walk) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    let walk = engine.dag().ancestors(&block.block_hash(), limits(args))?;
    out.block_list(&walk.blocks, walk.truncated)
}

pub(super) fn descendants(global: &Global, out: &Output, args: &Walk) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    let walk = engine.dag().descendants(&block.block_hash(), limits(args))?;
    out.block_list(&walk.blocks, walk.truncated)
}

pub(super) fn common(global: &Global, out: &Output, args: &Common) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let (a, b) = (engine.resolve(&args.a)?, engine.resolve(&args.b)?);
    let walk = engine.dag().common_ancestors(&a.block_hash(), &b.block_hash(), COMMON_MAX)?;
    out.block_list(&walk.blocks, walk.truncated)
}

pub(super) fn frontier(global: &Global, out: &Output, args: &Frontier) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let mut blocks = engine.dag().frontier(None, args.limit.saturating_add(1))?;
    let truncated = blocks.len() > args.limit;
    blocks.truncate(args.limit);
    out.block_list(&blocks, truncated)
}

#[derive(Serialize)]
struct HeadLine {
    size: u64,
    root: String,
}

pub(super) fn head(global: &Global, out: &Output) -> Result<(), Failure> {
    let head = open(global, Access::Read)?.head()?;
    let line = HeadLine { size: head.size, root: head.root.to_string() };
    out.print(&line, || format!("size {}\nroot {}", line.size, line.root))
}

pub(super) fn log(global: &Global, out: &Output, args: &Log) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let size = engine.backend().totals()?.blocks;
    if args.from > size {
        let blocks = count(size, "block");
        return Err(Failure::usage(format_args!("--from {} is beyond the log, which has {blocks}", args.from)));
    }
    let end = args.from.saturating_add(args.limit).min(size);
    let dag = engine.dag();
    let mut from = args.from;
    while from < end {
        let page_end = (from + LOG_PAGE).min(end);
        (from..page_end).try_for_each(|leaf_index| out.block_line(&dag.at(leaf_index)?))?;
        from = page_end;
    }
    Ok(())
}
