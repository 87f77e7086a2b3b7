//! The operations that are disturbed. A new command of `pakit` that changes a repository gets an entry in [`operations`] and is
//! then killed, cut off from power and refused system calls like all the others.

use crate::{
    journal::count,
    place::{Layer, Place, copy, run, start},
};
use anyhow::{Context, Result, ensure};
use offchain_store::{Config, InitOptions, StorageEngine, config::Overrides, engine::Access, walk::Source};
use pakit_primitives::{BlockHash, Head};
use pakit_tests::process::Done;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One thing that is done to a repository.
pub struct Operation {
    /// Its name in reports.
    pub name: &'static str,
    /// Makes the state before it in a place that has its files.
    pub prepare: fn(&Place) -> Result<()>,
    /// The real program, with arguments.
    pub command: fn(&Place) -> Command,
    /// A file of `source` that is its standard input.
    pub input: Option<&'static str>,
    /// What holds when it was disturbed.
    pub promise: Promise,
    /// Looks at the state before it.
    pub before: fn(&Place) -> Result<Before>,
    /// What else has to hold once it ran to its end.
    pub finally: fn(&Place) -> Result<()>,
    /// Whether it is so slow, or its repository so large, that one in so many experiments is enough.
    pub one_in: u32,
}

/// What holds when an operation was disturbed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Everything acknowledged is there, and the repository is sound.
    Acknowledged,
    /// After a power cut a beginning of what was acknowledged is there. After a kill, all.
    Beginning,
    /// The same as the first, but before the first acknowledgement there may be no repository yet, or one that says that it is not
    /// completely made.
    MaybeNone,
    /// The same as the first, but contents that were forgotten may be gone. Nothing else is.
    MayDrop,
    /// Before the first acknowledgement there may be no repository yet. One that is there is whole, with all that it is made from.
    AllOrNothing,
    /// The repository was damaged before and is sound once it ran to its end. What was whole before is there all along.
    SoundInTheEnd,
}

/// All operations.
///
/// To add one, say `pakit gc`: make the state that it needs in `prepare`, and name its arguments in `command`. If it makes a repository
/// of something else, let that be the repository of the place, and say in `before` what it has to hold.
pub fn operations() -> Vec<Operation> {
    let entry = |name, prepare, command, input, promise| Operation {
        name,
        prepare,
        command,
        input,
        promise,
        before: Before::of,
        finally: |_| Ok(()),
        one_in: 1,
    };
    let acknowledged = Promise::Acknowledged;
    vec![
        entry("init", |_| Ok(()), |place| pakit(place, &["init", "--name", "faults"]), None, Promise::MaybeNone),
        entry("put a folder", with_blocks, |place| put(place, &["folder"], &[]), None, acknowledged),
        entry("put a folder in small batches", with_blocks, |p| put(p, &["folder"], &SMALL), None, acknowledged),
        entry("put large files", with_blocks, |p| put(p, &["large", "larger"], &SMALL), None, acknowledged),
        entry("put standard input", with_blocks, |place| put(place, &["-"], &SMALL), Some("larger"), acknowledged),
        entry("put after a kill", with_log, |place| put(place, &["folder"], &SMALL), None, acknowledged),
        entry("empty the log", with_log, |place| pakit(place, &["check", "--full"]), None, acknowledged),
        entry("put with fsync normal", with_blocks, |p| put(p, &["folder"], &NORMAL), None, Promise::Beginning),
        entry("migrate", with_version_1, |place| put(place, &["folder"], &SMALL), None, acknowledged),
        entry("repair", with_damage, |place| pakit(place, &["repair"]), None, Promise::SoundInTheEnd),
        entry("repair packs", with_damaged_packs, |place| pakit(place, &["repair"]), None, Promise::SoundInTheEnd),
        entry("a handle that goes on", with_blocks, |p| p.handle(&words(&["60"])), None, acknowledged),
        Operation { finally: verify_backup, ..entry("back up", with_blocks, backup, None, acknowledged) },
        Operation {
            finally: verify_backup,
            ..entry("back up what came since", with_backup, backup, None, acknowledged)
        },
        Operation {
            before: |place| Before::of_repository(&original(place)),
            finally: untouched_backup,
            ..entry("restore", with_backup_only, restore, None, Promise::AllOrNothing)
        },
        entry("forget", with_two_folders, forget, None, acknowledged),
        entry("collect", with_forgotten, |place| pakit(place, &["gc"]), None, Promise::MayDrop),
        entry("compact", with_dropped, |place| pakit(place, &["compact"]), None, Promise::MayDrop),
        Operation {
            one_in: 60,
            ..entry("save the indexes", with_many, |p| put(p, &["folder"], &SMALL), None, acknowledged)
        },
    ]
}

/// Many transactions, many chunks.
const SMALL: [&str; 4] = ["--batch-blocks", "12", "--chunk-size", "4KiB"];
const NORMAL: [&str; 4] = ["--batch-blocks", "12", "--fsync", "normal"];

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// `pakit` with these arguments.
pub fn pakit(place: &Place, arguments: &[&str]) -> Command {
    place.pakit(&words(arguments))
}

/// `pakit put` of files of `source`.
pub fn put(place: &Place, names: &[&str], options: &[&str]) -> Command {
    let mut arguments = words(&["put"]);
    arguments.extend(names.iter().map(|name| match *name {
        "-" => "-".to_owned(),
        name => place.source().join(name).to_string_lossy().into_owned(),
    }));
    arguments.extend(words(options));
    place.pakit(&arguments)
}

/// Into a folder beside the repository, on the same disk.
fn backup(place: &Place) -> Command {
    place.pakit(&[words(&["backup"]), vec![backup_folder(place)]].concat())
}

fn backup_folder(place: &Place) -> String {
    place.disk().join("backup").to_string_lossy().into_owned()
}

fn verify_backup(place: &Place) -> Result<()> {
    run(place.pakit(&[words(&["backup", "verify"]), vec![backup_folder(place)]].concat()), None).map(|_| ())
}

fn restore(place: &Place) -> Command {
    place.pakit(&[words(&["restore"]), vec![backup_folder(place)]].concat())
}

/// Where the repository stands from which a backup was made, beside what is disturbed.
fn original(place: &Place) -> PathBuf {
    place.source().join("original")
}

/// No repository, and a backup in two parts of one with packs and a dictionary, and with contents that were forgotten and dropped.
fn with_backup_only(place: &Place) -> Result<()> {
    with_forgotten(place)?;
    run(backup(place), None)?;
    run(pakit(place, &["gc"]), None)?;
    run(put(place, &["large"], &SMALL), None)?;
    run(backup(place), None)?;
    copy(&place.repository(), &original(place))?;
    fs::remove_dir_all(place.repository())?;
    copy(&place.disk().join("backup"), &place.source().join("backup"))
}

/// That the backup is byte for byte what it was, and nothing is left of an earlier try.
fn untouched_backup(place: &Place) -> Result<()> {
    let (now, before) = (tree(&place.disk().join("backup"))?, tree(&place.source().join("backup"))?);
    ensure!(now == before, "the backup was changed: {:?} and {:?}", now.keys(), before.keys());
    let is_left = place.disk().join("repository.restoring").exists();
    ensure!(!is_left, "the place is left where the repository was put together");
    Ok(())
}

/// Files below a folder.
fn tree(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut to_come = vec![PathBuf::new()];
    while let Some(below) = to_come.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let path = below.join(entry?.file_name());
            if folder.join(&path).is_dir() {
                to_come.push(path);
            } else {
                files.insert(path.clone(), fs::read(folder.join(path))?);
            }
        }
    }
    Ok(files)
}

/// A repository with a backup of some of its blocks.
fn with_backup(place: &Place) -> Result<()> {
    with_kinds(place)?;
    run(backup(place), None)?;
    run(put(place, &["folder", "larger"], &SMALL), None).map(|_| ())
}

/// A repository with chunks of all kinds: in rows, in packs, and compressed against a dictionary.
fn with_kinds(place: &Place) -> Result<()> {
    with_blocks(place)?;
    keep_dictionary(place)?;
    let alike = place.source().join("alike");
    fs::create_dir_all(&alike)?;
    for number in 0..40 {
        fs::write(alike.join(format!("{number}")), record(5_000 + number))?;
    }
    run(put(place, &["alike", "large"], &SMALL), None)?;
    has_kinds(place)
}

/// What is alike in all of them a dictionary knows.
fn record(number: u32) -> String {
    let (owner, area) = (number.wrapping_mul(2_654_435_761) % 10_007, number.wrapping_mul(40_503) % 997);
    format!(
        "parcel {number} of the land register; owner {owner}; area {area} square metres; not mortgaged; one of ten\n"
    )
}

/// Gives a repository a dictionary such as it would learn itself of its first thousand chunks, for which it is too small here.
/// docs/formats.md says how one is kept.
fn keep_dictionary(place: &Place) -> Result<()> {
    let samples: Vec<Vec<u8>> = (0..2_000).map(|number| record(number).into_bytes()).collect();
    let mut dictionary = zstd::dict::from_samples(&samples, 4 << 10)?;
    dictionary.get_mut(4..8).context("a dictionary has a number")?.copy_from_slice(&32_769u32.to_le_bytes());
    let stored = [&blake3::hash(&dictionary).as_bytes()[..], &dictionary].concat();
    let engine = StorageEngine::open(&place.repository(), Access::Write, &Overrides::default())?;
    let set = |key: &str, value: &[u8]| engine.backend().set_setting(key, value);
    set("dictionary/1", &stored)?;
    set("dictionary/1/copy", &stored)?;
    set("dictionaries", &1u32.to_le_bytes())?;
    Ok(set("dictionaries/tried", &(1u64 << 20).to_le_bytes())?)
}

/// Whether chunks stand in packs, and others are compressed against a dictionary.
fn has_kinds(place: &Place) -> Result<()> {
    let database = rusqlite::Connection::open(place.repository().join("pakit.db"))?;
    let mut rows = database.prepare("SELECT compression, bytes FROM payloads WHERE kind = 0")?;
    let rows = rows.query_map((), |row| Ok((row.get::<_, u8>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let (mut in_packs, mut against) = (0, 0);
    for row in rows {
        let (code, bytes) = row?;
        in_packs += u32::from(code >= 16);
        against += u32::from(code < 16 && zstd::zstd_safe::get_dict_id_from_frame(&bytes).is_some());
    }
    ensure!(in_packs >= 20 && against >= 20, "{in_packs} chunks in packs, {against} compressed against a dictionary");
    Ok(())
}

/// A repository with a second folder, and the name of its listing in a file of `source`.
fn with_two_folders(place: &Place) -> Result<()> {
    with_kinds(place)?;
    let done = run(put(place, &["larger", "folder"], &SMALL), None)?;
    let listing = acknowledged(&done.stdout)?.pop().context("a put of a folder says nothing")?;
    Ok(fs::write(place.source().join(FORGOTTEN), listing.block)?)
}

/// The file that names what is forgotten.
const FORGOTTEN: &str = "forgotten";

/// The second folder.
fn forget(place: &Place) -> Command {
    // Without the file the program refuses the empty name.
    let listing = fs::read_to_string(place.source().join(FORGOTTEN)).unwrap_or_default();
    place.pakit(&words(&["forget", &listing, "--why", "an experiment"]))
}

/// The same, forgotten and still there.
fn with_forgotten(place: &Place) -> Result<()> {
    with_two_folders(place)?;
    run(forget(place), None).map(|_| ())
}

/// The same, dropped, with the space still taken.
fn with_dropped(place: &Place) -> Result<()> {
    with_forgotten(place)?;
    run(pakit(place, &["gc"]), None).map(|_| ())
}

/// The files that are put: `folder` with 150 small and a few larger ones, and two large ones by themselves.
pub fn write_sources(place: &Place, seed: u64) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    for number in 0..150 {
        let folder = place.source().join(format!("folder/{}", number % 7));
        fs::create_dir_all(&folder)?;
        let size = if number % 25 == 0 { rng.random_range(20_000..60_000) } else { rng.random_range(1..3_000) };
        fs::write(folder.join(format!("{number}")), content(&mut rng, size))?;
    }
    for (name, size) in [("large", 150_000), ("larger", 400_000), ("before", 30_000)] {
        fs::write(place.source().join(name), content(&mut rng, size))?;
    }
    Ok(())
}

/// Half of it is text that compresses, half is not.
pub fn content(rng: &mut impl Rng, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 64);
    while bytes.len() < size {
        if rng.random_bool(0.5) {
            bytes.extend_from_slice(format!("parcel {} belongs to nobody; ", rng.random_range(0..1000)).as_bytes());
        } else {
            bytes.extend((0..16).map(|_| rng.random::<u8>()));
        }
    }
    bytes.truncate(size);
    bytes
}

/// A repository with some blocks.
fn with_blocks(place: &Place) -> Result<()> {
    run(pakit(place, &["init"]), None)?;
    let before = place.source().join("before-folder");
    for number in 0..40 {
        fs::create_dir_all(&before)?;
        fs::write(before.join(format!("{number}")), format!("before {number}").repeat(number))?;
    }
    run(put(place, &["before-folder", "before"], &SMALL), None).map(|_| ())
}

/// The same, left by a writer that was killed: what it committed stands in the write-ahead log only.
fn with_log(place: &Place) -> Result<()> {
    with_blocks(place)?;
    let undisturbed = Place::new()?;
    undisturbed.take_disk_of(place)?;
    let large = || place.source().join("large").to_string_lossy().into_owned();
    let put_large = |place: &Place| place.pakit(&[words(&["put"]), vec![large()], words(&SMALL)].concat());
    let journal = Layer { journal: true, fail: None };
    run(undisturbed.with_layer(put_large(&undisturbed), &journal)?, None)?;
    let changes = count(&undisturbed.events()?, "change");
    let before = Place::new()?;
    before.take_disk_of(place)?;
    // From the end back, where the log is copied into the database, to where it is not yet.
    for number in (1..changes).rev().step_by(3) {
        let fail = Some(format!("change:{number}:kill:once"));
        start(place.with_layer(put_large(place), &Layer { journal: false, fail })?, None)?.wait();
        let log = fs::metadata(place.repository().join("pakit.db-wal"));
        if log.is_ok_and(|log| log.len() > 50_000) {
            return Ok(());
        }
        place.take_disk_of(&before)?;
    }
    anyhow::bail!("no kill left a log")
}

/// A repository of schema 1, with 600 blocks; the first program that writes brings it up to date.
fn with_version_1(place: &Place) -> Result<()> {
    let packed = include_bytes!("../../offchain-store/tests/data/version-1.db.zst");
    fs::create_dir(place.repository())?;
    fs::write(place.repository().join("pakit.db"), zstd::decode_all(&packed[..])?)?;
    Ok(())
}

/// A repository with two packs, records of which are damaged in parts that are no chunk's.
fn with_damaged_packs(place: &Place) -> Result<()> {
    with_kinds(place)?;
    let pack = place.repository().join("packs/00000001.pack");
    let mut bytes = fs::read(&pack)?;
    // The number of the pack; and the length of the first record, from which the way to all others leads.
    bytes[8] ^= 2;
    bytes[24] ^= 1;
    Ok(fs::write(pack, bytes)?)
}

/// A repository of which everything that is damaged follows from the rest.
fn with_damage(place: &Place) -> Result<()> {
    with_kinds(place)?;
    run(put(place, &["folder"], &SMALL), None)?;
    run(put(place, &["larger"], &SMALL), None)?;
    let database = rusqlite::Connection::open(place.repository().join("pakit.db"))?;
    database.execute_batch(
        "PRAGMA foreign_keys = OFF;
        UPDATE payloads SET stored_size = stored_size + 1 WHERE payload_id % 3 = 0;
        UPDATE payloads SET refs = 7 WHERE payload_id % 5 = 0;
        UPDATE blocks SET way = 0 WHERE leaf_index % 2 = 0;
        UPDATE totals SET edges = 2, frontier = 5, stored_bytes = 0;",
    )?;
    Ok(())
}

/// A repository just before its indexes are saved: at 65,536 blocks.
fn with_many(place: &Place) -> Result<()> {
    let (engine, _) = StorageEngine::init(&place.repository(), &InitOptions::default(), Config::default())?;
    let source = |number: u32| Source::Bytes(format!("{number}").into(), number.to_le_bytes().to_vec());
    engine.put((0..65_450).map(source).collect(), None, &mut |_| ())?;
    Ok(())
}

/// What a program acknowledged: whole lines of its output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acknowledged {
    /// The block.
    pub block: String,
    /// Its place in the log, where that was said.
    pub leaf_index: Option<u64>,
    /// What it was made of, where that was said.
    pub path: Option<PathBuf>,
}

/// Reads what was acknowledged. A line without its end was not said completely, and counts for nothing.
pub fn acknowledged(stdout: &[u8]) -> Result<Vec<Acknowledged>> {
    let whole = stdout.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut found = Vec::new();
    for line in String::from_utf8(stdout[..whole].to_vec())?.lines() {
        let value: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        // A repository that was restored is named by its last block.
        let size = value["size"].as_u64().filter(|_| value["repository"].is_string());
        let restored = || Some(format!("@{}", size?.checked_sub(1)?));
        let block = value["block"].as_str().or_else(|| value["genesis"].as_str()).map(ToOwned::to_owned);
        if let Some(block) = block.or_else(restored) {
            let path = value["path"].as_str().map(PathBuf::from);
            found.push(Acknowledged { block, leaf_index: value["leaf_index"].as_u64(), path });
        }
    }
    Ok(found)
}

/// Whether a program ended as one may that met a fault: with success, or with an exit code and a line that says why.
pub fn ended_well(done: &Done) -> Result<()> {
    let said = &done.stderr;
    ensure!(done.signal.is_none(), "{} was ended by signal {:?}: {said}", done.typed, done.signal);
    ensure!(!said.contains("panicked"), "{} panicked: {said}", done.typed);
    match done.code {
        Some(0) => Ok(()),
        Some(1 | 3) => {
            // A check that found something says so on its standard output.
            let is_named = said.lines().any(|line| line.starts_with("pakit: ")) || !done.stdout.is_empty();
            ensure!(is_named, "{} says nothing of why it ended with {:?}: {said}", done.typed, done.code);
            Ok(())
        }
        code => anyhow::bail!("{} ended with {code:?}: {said}", done.typed),
    }
}

/// What a repository held before it was disturbed.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// The log's head.
    pub head: Option<Head>,
    /// Blocks whose content was whole.
    pub blocks: Vec<BlockHash>,
}

impl Before {
    /// Looks at the repository in a place, if there is one. It is opened for writing, and so is best a copy.
    pub fn of(place: &Place) -> Result<Self> {
        if !place.repository().join("pakit.db").exists() {
            return Ok(Self::default());
        }
        Self::of_repository(&place.repository())
    }

    /// Looks at a repository that is there.
    pub fn of_repository(repository: &Path) -> Result<Self> {
        let engine = StorageEngine::open(repository, Access::Write, &Overrides::default())?;
        let head = engine.head()?;
        let mut blocks = Vec::new();
        // A few hundred, from both ends, stand for all of a large one.
        let some = (0..head.size).filter(|at| *at < 300 || *at + 300 > head.size);
        for leaf_index in some {
            let block = engine.backend().block(leaf_index)?.context("a block is missing before anything was done")?;
            let read = engine.reader(&block, None).and_then(|mut reader| reader.copy_to(&mut std::io::sink()));
            if read.is_ok() {
                blocks.push(block.block_hash());
            }
        }
        Ok(Self { head: Some(head), blocks })
    }
}
