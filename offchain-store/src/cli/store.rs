//! init, put, get, ls.

use super::{
    args::{Get, Global, Init, Ls, Put},
    failure::Failure,
    open,
    output::{Output, count, one_line, output_failure, printable, printable_path, write_line},
    time,
};
use crate::{
    block::DagBlock,
    cid,
    config::Config,
    engine::{Access, InitOptions, StorageEngine},
    json::StoredJson,
    metadata::Metadata,
    put::{PutEvent, PutItem, PutSummary},
    restore::{RestoreEvent, RestoreOptions, Restored},
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
    out.print(&made, || format!("made a repository in {}\ngenesis {}", printable_path(&global.repo), made.genesis))
}

/// What put says of an item.
#[derive(Serialize)]
struct ItemLine {
    path: String,
    /// The path's bytes in hex, where they are not UTF-8 and `path` cannot give them.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(flatten)]
    stored: StoredJson,
}

impl From<&PutItem> for ItemLine {
    fn from(item: &PutItem) -> Self {
        let bytes = item.path.as_os_str().as_bytes();
        Self {
            path: item.path.to_string_lossy().into_owned(),
            path_bytes: std::str::from_utf8(bytes).is_err().then(|| hex::encode(bytes)),
            stored: StoredJson::new(&item.block, item.new_bytes, item.is_deduplicated),
        }
    }
}

pub(super) fn put(global: &Global, out: &Output, args: Put) -> Result<(), Failure> {
    let metadata = metadata_of(args.metadata)?;
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
        PutEvent::Failed { path, error } => {
            bar.suspend(|| eprintln!("pakit: {}: {}", printable_path(&path), one_line(&error.to_string())))
        }
    });
    bar.finish_and_clear();
    let summary = summary?;
    printed?;
    out.note(&summary_text(&summary));
    match summary.failed {
        0 => Ok(()),
        failed => Err(Failure::refused(format_args!("{} could not be stored; the others are", count(failed, "item")))),
    }
}

/// A key that stands twice has no one value; to take either would lose the other.
fn metadata_of(pairs: Vec<(String, String)>) -> Result<Option<Metadata>, Failure> {
    if pairs.is_empty() {
        return Ok(None);
    }
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.contains_key(&key) {
            return Err(Failure::usage(format_args!("the metadata has the key {key:?} twice")));
        }
        map.insert(key, value);
    }
    Ok(Some(Metadata::from_texts(&map).map_err(Failure::usage)?))
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn source(path: PathBuf) -> Source {
    if is_standard_input(&path) { Source::Stream(path, Box::new(io::stdin())) } else { Source::Path(path) }
}

fn item_line(out: &Output, item: &PutItem) -> Result<(), Failure> {
    if out.json {
        return out.print(&ItemLine::from(item), String::new);
    }
    let mark = if item.is_deduplicated { "kept " } else { "new  " };
    let (block, size) = (item.block.block_hash(), item.block.header().original_size);
    write_line(&format!("{mark} {block} {size:>12} {}", printable_path(&item.path)))
}

fn summary_text(summary: &PutSummary) -> String {
    format!(
        "{}, {} of them there before; {}, {} newly stored",
        count(summary.items, "item"),
        summary.deduplicated,
        count(summary.original_bytes, "byte"),
        summary.new_bytes,
    )
}

pub(super) fn get(global: &Global, out: &Output, args: &Get) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    if block.header().codec == cid::DAG_CBOR {
        return get_folder(&engine, out, &block, args);
    }
    let size = block.header().original_size;
    let range = args.range.map(|(start, end)| byte_range(start, end, &block)).transpose()?;
    let mut reader = engine.reader(&block, range)?;
    let Some(path) = &args.output else {
        return match reader.copy_to(&mut io::stdout().lock()) {
            Err(crate::get::GetError::Write(error)) => Err(output_failure(error)),
            copied => copied.map(|_| ()).map_err(Failure::from),
        };
    };
    let bar = out.progress(Some(size));
    let bytes = write_atomically(path, args.force, |file| {
        reader.copy_to(&mut bar.wrap_write(file)).map_err(|error| match error {
            crate::get::GetError::Write(error) => Failure::io(path, &error),
            error => error.into(),
        })
    })?;
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
fn byte_range(start: u64, end: Option<u64>, block: &DagBlock) -> Result<Range<u64>, Failure> {
    let size = block.header().original_size;
    if start > size {
        let bytes = count(size, "byte");
        return Err(Failure::usage(format_args!("a range cannot start at byte {start} of a content of {bytes}")));
    }
    let end = end.map_or(size, |end| end.saturating_add(1).min(size));
    Ok(start..end.max(start))
}

/// Writes beside the path, then puts the file in its place: what stands there is whole, old or new. What stands there is only
/// replaced if that was asked for.
pub(super) fn write_atomically<T>(
    path: &Path,
    may_replace: bool,
    write: impl FnOnce(&mut File) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let io_failure = |error| Failure::io(path, &error);
    let is_there = || {
        let path = path.display();
        Failure::usage(format_args!("{path} is there already; name another file, or replace it with --force"))
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(Failure::usage(format_args!("{} is a folder; name a file in it", path.display())));
        }
        // A device or a pipe such as /dev/null cannot be replaced, only written to.
        Ok(metadata) if !metadata.is_file() => {
            return write(&mut File::options().write(true).open(path).map_err(io_failure)?);
        }
        _ => {}
    }
    // Also a symlink that leads nowhere.
    if !may_replace && path.symlink_metadata().is_ok() {
        return Err(is_there());
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
    let placed = if may_replace { file.persist(path) } else { file.persist_noclobber(path) };
    placed.map_err(|error| match error.error {
        error if error.kind() == io::ErrorKind::AlreadyExists => is_there(),
        error => io_failure(error),
    })?;
    Ok(written)
}

/// What get and ls say of an item that is damaged.
#[derive(Serialize)]
struct FailedLine {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    error: String,
}

/// Names an item that failed on standard error, and with `--json` among the results too.
fn failed_line(out: &Output, path: &Path, error: &impl std::fmt::Display) -> Result<(), Failure> {
    let error = error.to_string();
    eprintln!("pakit: {}", one_line(&error));
    let (path, path_bytes) = path_texts(path);
    if out.json { out.print(&FailedLine { path, path_bytes, error }, String::new) } else { Ok(()) }
}

/// A path as text, and its bytes in hex where the text cannot give them.
pub(super) fn path_texts(path: &Path) -> (String, Option<String>) {
    let bytes = path.as_os_str().as_bytes();
    (path.to_string_lossy().into_owned(), std::str::from_utf8(bytes).is_err().then(|| hex::encode(bytes)))
}

fn get_folder(engine: &StorageEngine, out: &Output, block: &DagBlock, args: &Get) -> Result<(), Failure> {
    if args.range.is_some() {
        return Err(Failure::usage("this block is a folder; --range takes bytes of a file, such as FOLDER:PATH names"));
    }
    let Some(target) = args.output.as_deref() else {
        return Err(Failure::usage("this block is a folder; name a new or empty folder to restore to with -o"));
    };
    let bar = out.progress(None);
    let mut printed = Ok(());
    let options = RestoreOptions { repeats_max: args.max_repeats };
    let restored = engine.restore(block, target, &options, &mut |event| match event {
        RestoreEvent::Progress { bytes } => bar.inc(bytes),
        RestoreEvent::Failed { path, error } => {
            // What can be restored is, whether or not somebody still reads about the rest.
            let told = bar.suspend(|| failed_line(out, &path, &error));
            printed = std::mem::replace(&mut printed, Ok(())).and(told);
        }
    });
    bar.finish_and_clear();
    let restored = restored?;
    printed?;
    #[derive(Serialize)]
    struct Line<'a> {
        path: &'a Path,
        block: String,
        files: u64,
        folders: u64,
        symlinks: u64,
        bytes: u64,
        failed: u64,
    }
    let Restored { files, folders, symlinks, bytes, failed } = restored;
    let line = Line { path: target, block: block.block_hash().to_string(), files, folders, symlinks, bytes, failed };
    out.print(&line, || {
        format!(
            "restored {}, {} and {}, {}, to {}",
            count(files, "file"),
            count(folders, "folder"),
            count(symlinks, "symlink"),
            count(bytes, "byte"),
            printable_path(target),
        )
    })?;
    match failed {
        0 => Ok(()),
        failed => {
            Err(Failure::refused(format_args!("{} could not be restored; the others are", count(failed, "item"))))
        }
    }
}

/// What ls says of an entry.
#[derive(Serialize)]
struct EntryLine {
    name: String,
    /// The name's bytes in hex, where they are not UTF-8 and `name` cannot give them.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    /// From the folder that was asked for.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
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

impl EntryLine {
    fn new(path: &Path, entry: &Entry) -> Self {
        let (cid, target) = match &entry.node {
            Node::File(cid) | Node::Folder(cid) => (Some(cid.to_string()), None),
            Node::Symlink(target) => (None, Some(String::from_utf8_lossy(target).into_owned())),
        };
        let (path, path_bytes) = path_texts(path);
        Self {
            name: String::from_utf8_lossy(&entry.name).into_owned(),
            name_bytes: std::str::from_utf8(&entry.name).is_err().then(|| hex::encode(&entry.name)),
            path,
            path_bytes,
            kind: entry.node.kind_name(),
            mode: entry.mode,
            mtime_ns: entry.mtime_ns,
            size: entry.size,
            cid,
            target,
        }
    }
}

pub(super) fn ls(global: &Global, out: &Output, args: &Ls) -> Result<(), Failure> {
    let engine = open(global, Access::Read)?;
    let block = engine.resolve(&args.block)?;
    let mut walk = engine.walk(&block, Path::new(""))?;
    let mut failed = 0;
    while let Some((path, entry)) = walk.next() {
        entry_line(out, &path, &entry)?;
        if let (true, Node::Folder(cid)) = (args.recursive, &entry.node)
            && let Err(error) = walk.enter(&path, *cid)
        {
            failed += 1;
            failed_line(out, &path, &error)?;
        }
    }
    match failed {
        0 => Ok(()),
        failed => {
            Err(Failure::refused(format_args!("{} could not be listed; the others are", count(failed, "folder"))))
        }
    }
}

fn entry_line(out: &Output, path: &Path, entry: &Entry) -> Result<(), Failure> {
    let line = EntryLine::new(path, entry);
    out.print(&line, || {
        let modified = u64::try_from(line.mtime_ns / 1_000_000).unwrap_or(0);
        let reference = match (&line.cid, &line.target) {
            (Some(cid), _) => cid.clone(),
            (None, target) => format!("-> {}", printable(target.as_deref().unwrap_or_default().as_bytes())),
        };
        format!(
            "{:<7} {:04o} {:>12} {} {} {reference}",
            line.kind,
            line.mode,
            line.size,
            time::display(modified),
            printable_path(path),
        )
    })
}
