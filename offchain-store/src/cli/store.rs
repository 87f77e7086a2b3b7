//! init, put, get, ls.

use super::{
    args::{Block, Get, Global, Init, Put},
    failure::Failure,
    open,
    output::{Output, output_failure, printable, printable_path},
    time,
};
use crate::{
    block::DagBlock,
    cid,
    config::Config,
    engine::{Access, InitOptions, StorageEngine},
    metadata::Metadata,
    put::{PutEvent, PutItem, PutSummary},
    tree::{Entry, Node},
    walk::Source,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

pub(super) fn init(global: &Global, out: &Output, args: &Init) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Made {
        genesis: String,
        repository: String,
    }
    let config = Config::load(&global.repo, &global.overrides())?;
    let options = InitOptions { name: args.name.clone(), strategy: args.strategy, seed: None };
    let (_, genesis) = StorageEngine::init(&global.repo, &options, config)?;
    let made = Made { genesis: genesis.block_hash().to_string(), repository: global.repo.display().to_string() };
    out.print(&made, || format!("made a repository in {}\ngenesis {}", made.repository, made.genesis))
}

/// What put says of an item.
#[derive(Serialize)]
struct ItemLine {
    path: String,
    /// The path's bytes in hex, where they are not UTF-8 and `path` cannot give them.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    block: String,
    cid: String,
    content_hash: String,
    size: u64,
    /// Bytes added to the store for it.
    stored: u64,
    leaf_index: u64,
    deduplicated: bool,
}

impl From<&PutItem> for ItemLine {
    fn from(item: &PutItem) -> Self {
        let header = item.block.header();
        let bytes = item.path.as_os_str().as_bytes();
        Self {
            path: item.path.to_string_lossy().into_owned(),
            path_bytes: std::str::from_utf8(bytes).is_err().then(|| hex::encode(bytes)),
            block: item.block.block_hash().to_string(),
            cid: item.block.cid().to_string(),
            content_hash: header.content_hash.to_string(),
            size: header.original_size,
            stored: item.new_bytes,
            leaf_index: header.leaf_index,
            deduplicated: item.is_deduplicated,
        }
    }
}

pub(super) fn put(global: &Global, out: &Output, args: Put) -> Result<(), Failure> {
    let metadata = match args.metadata.is_empty() {
        true => None,
        false => {
            let map: BTreeMap<String, String> = args.metadata.into_iter().collect();
            Some(Metadata::from_texts(&map).map_err(Failure::usage)?)
        }
    };
    if args.paths.iter().filter(|path| is_standard_input(path)).count() > 1 {
        return Err(Failure::usage("standard input can be put once"));
    }
    let engine = open(global, Access::Write)?;
    let sources = args.paths.into_iter().map(source).collect();
    let bar = out.progress(None);
    let mut printed = Ok(());
    let summary = engine.put(sources, metadata.as_ref(), &mut |event| match event {
        PutEvent::Progress { bytes_read } => bar.set_position(bytes_read),
        PutEvent::Stored(item) => {
            // What is stored stays stored, whether or not somebody still reads about it.
            if printed.is_ok() {
                printed = bar.suspend(|| item_line(out, &item));
            }
        }
        PutEvent::Failed { path, error } => bar.suspend(|| eprintln!("pakit: {}: {error}", printable_path(&path))),
    });
    bar.finish_and_clear();
    let summary = summary?;
    printed?;
    out.note(&summary_text(&summary));
    match summary.failed {
        0 => Ok(()),
        failed => Err(Failure::refused(format_args!("{failed} items could not be stored; the others are"))),
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn source(path: PathBuf) -> Source {
    if is_standard_input(&path) { Source::Stream(path, Box::new(io::stdin())) } else { Source::Path(path) }
}

fn item_line(out: &Output, item: &PutItem) -> Result<(), Failure> {
    let line = ItemLine::from(item);
    out.print(&line, || {
        let mark = if line.deduplicated { "kept " } else { "new  " };
        format!("{mark} {} {:>12} {}", line.block, line.size, printable_path(&item.path))
    })
}

fn summary_text(summary: &PutSummary) -> String {
    format!(
        "{} items, {} of them there before; {} bytes, {} newly stored",
        summary.items, summary.deduplicated, summary.original_bytes, summary.new_bytes,
    )
}

pub(super) fn get(global: &Global, out: &Output, args: &Get) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    if block.header().codec == cid::DAG_CBOR && args.range.is_none() {
        return get_folder(&engine, out, &block, args.output.as_deref());
    }
    let size = block.header().original_size;
    let range = args.range.map(|(start, end)| byte_range(start, end, size));
    let mut reader = engine.reader(&block, range)?;
    let Some(path) = &args.output else {
        return match reader.copy_to(&mut io::stdout().lock()) {
            Err(crate::get::GetError::Write(error)) => Err(output_failure(error)),
            copied => copied.map(|_| ()).map_err(Failure::from),
        };
    };
    let bar = out.progress(Some(size));
    let bytes = write_atomically(path, |file| Ok(reader.copy_to(&mut bar.wrap_write(file))?))?;
    bar.finish_and_clear();
    #[derive(Serialize)]
    struct Written<'a> {
        path: &'a Path,
        block: String,
        bytes: u64,
    }
    let written = Written { path, block: block.block_hash().to_string(), bytes };
    if out.json { out.print(&written, String::new) } else { Ok(()) }
}

/// Both ends included, and an end beyond the content means the content's.
fn byte_range(start: u64, end: Option<u64>, size: u64) -> Range<u64> {
    let end = end.map_or(size, |end| end.saturating_add(1).min(size));
    // A start beyond the content stays what it is, and is refused with its numbers.
    start..end.max(start)
}

/// Writes beside the path, then puts the file in its place: what stands there is whole, old or new.
pub(super) fn write_atomically<T>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let io_failure = |error| Failure::io(path, &error);
    let is_special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    if is_special {
        // A device or a pipe such as /dev/null cannot be replaced, only written to; a folder neither.
        return write(&mut File::options().write(true).open(path).map_err(io_failure)?);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Opened here and not by tempfile, so that it has the mode of any new file and an error does not name another path.
    let create = |path: &Path| File::options().write(true).create_new(true).open(path);
    let mut file = tempfile::Builder::new().prefix(".pakit-").make_in(folder, create).map_err(io_failure)?;
    let written = write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(io_failure)?;
    file.persist(path).map_err(|error| io_failure(error.error))?;
    Ok(written)
}

fn get_folder(engine: &StorageEngine, out: &Output, block: &DagBlock, target: Option<&Path>) -> Result<(), Failure> {
    let Some(target) = target else {
        return Err(Failure::usage("this block is a folder; name a new or empty folder to restore to with -o"));
    };
    let bar = out.progress(None);
    let restored = engine.restore(block, target, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let restored = restored?;
    #[derive(Serialize)]
    struct Line<'a> {
        path: &'a Path,
        block: String,
        files: u64,
        folders: u64,
        symlinks: u64,
        bytes: u64,
    }
    let line = Line {
        path: target,
        block: block.block_hash().to_string(),
        files: restored.files,
        folders: restored.folders,
        symlinks: restored.symlinks,
        bytes: restored.bytes,
    };
    out.print(&line, || {
        format!(
            "restored {} files, {} folders and {} symlinks, {} bytes, to {}",
            line.files,
            line.folders,
            line.symlinks,
            line.bytes,
            target.display(),
        )
    })
}

/// What ls says of an entry.
#[derive(Serialize)]
struct EntryLine {
    name: String,
    /// The name's bytes in hex, where they are not UTF-8 and `name` cannot give them.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    kind: &'static str,
    mode: u32,
    mtime_ns: i64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// Where a symlink points.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl From<&Entry> for EntryLine {
    fn from(entry: &Entry) -> Self {
        let (cid, target) = match &entry.node {
            Node::File(cid) | Node::Folder(cid) => (Some(cid.to_string()), None),
            Node::Symlink(target) => (None, Some(String::from_utf8_lossy(target).into_owned())),
        };
        Self {
            name: String::from_utf8_lossy(&entry.name).into_owned(),
            name_bytes: std::str::from_utf8(&entry.name).is_err().then(|| hex::encode(&entry.name)),
            kind: entry.node.kind_name(),
            mode: entry.mode,
            mtime_ns: entry.mtime_ns,
            size: entry.size,
            cid,
            target,
        }
    }
}

pub(super) fn ls(global: &Global, out: &Output, args: &Block) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    for entry in engine.listing(&block)? {
        let line = EntryLine::from(&entry);
        out.print(&line, || {
            let modified = u64::try_from(line.mtime_ns / 1_000_000).unwrap_or(0);
            let reference = match (&line.cid, &line.target) {
                (Some(cid), _) => cid.clone(),
                (None, target) => format!("-> {}", target.as_deref().unwrap_or_default()),
            };
            format!(
                "{:<7} {:04o} {:>12} {} {} {reference}",
                line.kind,
                line.mode,
                line.size,
                time::display(modified),
                printable(&entry.name),
            )
        })?;
    }
    Ok(())
}
