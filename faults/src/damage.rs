//! Flipped bits: each bit of what a small repository's database and packs hold is flipped by itself, and everything is asked. No wrong
//! byte may be served. A wrong answer of another kind, such as that a block is not there, has to be found by a full check. In a pack
//! no bit is without a meaning: each flip has to be noticed, and so has each cut.

use crate::{
    operation::{content, pakit, put},
    place::{Place, run},
};
use anyhow::{Context, Result, ensure};
use offchain_store::{
    BackendError, StorageEngine,
    block::DagBlock,
    check::{self, Depth},
    config::Overrides,
    engine::{Access, OpenError},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    ops::{ControlFlow, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Damage {
    /// Bits flipped, one at a time.
    pub flips: u64,
    /// Bits that are in use in that database: page headers, cell pointers and cells of all its pages.
    pub bits_in_use: u64,
    /// Bits of its packs.
    pub bits_in_packs: u64,
    /// Packs that were cut off somewhere, each of them noticed; not among the flips.
    pub cuts: u64,
    /// How it was noticed, over all.
    pub noticed: BTreeMap<&'static str, u64>,
    /// Flips by table or index, and how many of each were noticed.
    pub by_table: BTreeMap<String, (u64, u64)>,
    /// Longest time that all questions about one damaged database took, in milliseconds.
    pub slowest_ms: u128,
}

/// How a flip was noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Noticed {
    /// The repository does not open, by a named error.
    WhenOpened,
    /// A question was refused, by a named error.
    WhenRead,
    /// A question was refused, by a named error, and a full check, which asks other questions, found nothing.
    OnlyWhenRead,
    /// A full check found it, and no answer was refused.
    ByCheck,
    /// Not at all, and the DAG's name or its parent strategy was told wrong: the row of their checksum could not be found any more.
    WrongSetting,
    /// Not at all, and all answers were right: the bit means nothing.
    Harmless,
}

impl Noticed {
    fn name(self) -> &'static str {
        match self {
            Self::WhenOpened => "when opened",
            Self::WhenRead => "when read",
            Self::OnlyWhenRead => "when read, and not by a full check",
            Self::ByCheck => "by a full check",
            Self::WrongSetting => "not at all: a setting is told wrong",
            Self::Harmless => "not at all: all answers are right",
        }
    }
}

/// Everything that a repository answers.
#[derive(PartialEq, Eq, Debug)]
struct Answers {
    blocks: Vec<(DagBlock, Vec<u8>)>,
    /// What is told of each block: children, metadata and the like, in words.
    told: Vec<String>,
    /// The DAG's name and its parent strategy, which no hash that is anchored covers.
    settings: Vec<String>,
}

/// Asks everything, and gives the answers and the refusals. `Err` where an error is no named one.
fn ask(engine: &StorageEngine, blocks: u64) -> Result<(Answers, Vec<String>), String> {
    let backend = engine.backend();
    let mut refusals: Vec<String> = Vec::new();
    let mut answers = Answers { blocks: Vec::new(), told: Vec::new(), settings: Vec::new() };
    macro_rules! told {
        ($answer:expr) => {
            match $answer {
                Ok(answer) => answers.told.push(format!("{answer:?}")),
                Err(error) => {
                    named(&error)?;
                    refusals.push(error.to_string());
                }
            }
        };
    }
    for leaf_index in 0..blocks {
        match backend.block(leaf_index) {
            Ok(Some(block)) => {
                let mut content = Vec::new();
                match engine.reader(&block, None).and_then(|mut reader| reader.copy_to(&mut content)) {
                    Ok(_) => {
                        told!(backend.find_block(&block.block_hash()));
                        told!(backend.find_key(&block.key()));
                        let hash = block.header().metadata_hash;
                        if hash.is_some() {
                            // The caller compares the map with its hash, as with a chunk.
                            match backend.metadata(&hash) {
                                Ok(Some(map)) if blake3::hash(&map).as_bytes() != hash.as_bytes() => {
                                    refusals.push(format!("metadata of block {leaf_index}"));
                                }
                                map => told!(map),
                            }
                        }
                        answers.blocks.push((block, content));
                    }
                    Err(error) => refusals.push(error.to_string()),
                }
            }
            Ok(None) => answers.told.push("a block is not there".to_owned()),
            Err(error) => {
                named(&error)?;
                refusals.push(error.to_string());
            }
        }
        told!(backend.children(leaf_index, None, 100));
        told!(backend.hop(leaf_index));
        told!(engine.log().inclusion(leaf_index, blocks).map_err(|error| match error {
            offchain_store::log::LogReadError::Backend(error) => error,
            other => BackendError::Damaged(other.to_string()),
        }));
    }
    told!(backend.totals());
    told!(backend.frontier(None, 100));
    told!(backend.by_depth(0..=u32::MAX, None, 100));
    told!(backend.by_time(0..=u64::MAX, None, 100));
    told!(backend.chunk_hashes(None, 1000));
    match engine.name() {
        Ok(name) => answers.settings.push(name),
        Err(error) => {
            named(&error)?;
            refusals.push(error.to_string());
        }
    }
    match engine.strategy() {
        Ok(strategy) => answers.settings.push(strategy.to_string()),
        Err(error) => {
            named(&error)?;
            refusals.push(error.to_string());
        }
    }
    Ok((answers, refusals))
}

/// Whether an error is one that says what is wrong with the repository.
fn named(error: &BackendError) -> Result<(), String> {
    match error {
        BackendError::Damaged(_) | BackendError::NewerVersion { .. } | BackendError::ReadOnly(_) => Ok(()),
        error => Err(format!("damage is called {error:?}")),
    }
}

fn look(repository: &Path, truth: &Answers) -> Result<Noticed, String> {
    let engine = match StorageEngine::open(repository, Access::Read, &Overrides::default()) {
        Ok(engine) => engine,
        Err(OpenError::Backend(error)) => return named(&error).map(|()| Noticed::WhenOpened),
        Err(OpenError::Incomplete(_)) => return Ok(Noticed::WhenOpened),
        Err(error) => return Err(format!("damage is called {error:?}")),
    };
    let (answers, refusals) = ask(&engine, truth.blocks.len() as u64)?;
    for (block, content) in &answers.blocks {
        let place = block.leaf_index() as usize;
        if truth.blocks.get(place).is_none_or(|(right, bytes)| right != block || bytes != content) {
            return Err(format!("wrong bytes are served of block {place}"));
        }
    }
    let report = check::check(engine.backend().as_ref(), Depth::Full, &mut |_, _| ControlFlow::Continue(()));
    let is_sound = match report {
        Ok(report) => report.is_sound(),
        Err(error) => {
            named(&error)?;
            false
        }
    };
    match (refusals.is_empty(), is_sound) {
        (false, false) => Ok(Noticed::WhenRead),
        (false, true) => Ok(Noticed::OnlyWhenRead),
        (true, false) => Ok(Noticed::ByCheck),
        (true, true) if answers == *truth => Ok(Noticed::Harmless),
        (true, true) if answers.told == truth.told => Ok(Noticed::WrongSetting),
        (true, true) => {
            let wrong = answers.told.iter().zip(&truth.told).find(|(told, right)| told != right);
            Err(format!("a wrong answer, and a full check finds nothing: {wrong:?}"))
        }
    }
}

/// A repository of a few blocks: small ones, one of several chunks, one in a pack by itself, one with metadata, a folder.
fn repository(place: &Place) -> Result<()> {
    run(pakit(place, &["init", "--name", "damage"]), None)?;
    let mut rng = StdRng::seed_from_u64(5);
    for number in 0..5 {
        fs::create_dir_all(place.source().join("few"))?;
        fs::write(place.source().join(format!("few/{number}")), content(&mut rng, 40 + 60 * number))?;
    }
    fs::write(place.source().join("chunks"), content(&mut rng, 12_000))?;
    fs::write(place.source().join("packed"), content(&mut rng, 6_000))?;
    fs::write(place.source().join("titled"), b"with metadata")?;
    run(put(place, &["few"], &[]), None)?;
    run(put(place, &["chunks"], &["--chunk-size", "4KiB"]), None)?;
    run(put(place, &["packed"], &[]), None)?;
    run(put(place, &["titled"], &["--meta", "parcel=12/7"]), None).map(|_| ())
}

/// The bytes of a database that mean something, with the table or index that they belong to.
fn bytes_in_use(path: &Path) -> Result<Vec<(String, Range<usize>)>> {
    let bytes = fs::read(path)?;
    let database = rusqlite::Connection::open(path)?;
    let mut pages = database.prepare("SELECT name, pageno, pagetype FROM dbstat ORDER BY pageno")?;
    let pages = pages.query_map((), |row| Ok((row.get(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?)))?;
    let mut found = vec![("the file's header".to_owned(), 0..100)];
    for page in pages {
        let (name, number, kind): (String, u32, String) = page?;
        let number = number as usize;
        let (start, end) = ((number - 1) * 8192, number * 8192);
        let header = if number == 1 { start + 100 } else { start };
        if kind == "overflow" {
            found.push((name, start..end));
            continue;
        }
        let two = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let header_bytes = if kind == "internal" { 12 } else { 8 };
        let cells = match two(header + 5) {
            0 => 65536,
            cells => cells,
        };
        found.push((name.clone(), header..header + header_bytes + 2 * two(header + 3)));
        found.push((name, start + cells..end));
    }
    Ok(found.into_iter().filter(|(_, range)| !range.is_empty()).collect())
}

/// The bytes of a pack that counts up to its end, by what they are. docs/formats.md tells how a pack is made.
fn bytes_of_pack(repository: &Path) -> Result<Vec<(String, Range<usize>)>> {
    let bytes = fs::read(repository.join(PACK))?;
    let database = rusqlite::Connection::open(repository.join("pakit.db"))?;
    let mut chunks = database.prepare("SELECT bytes FROM payloads WHERE kind = 0 AND compression >= 16")?;
    let places = chunks.query_map((), |row| row.get::<_, [u8; 16]>(0))?;
    let mut stored = BTreeMap::new();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
    for place in places {
        let place = place?;
        ensure!(number(&place[..4]) == 1, "there is one pack");
        stored.insert(number(&place[8..]), number(&place[4..8]));
    }
    let mut found = vec![("a pack: its header".to_owned(), 0..16)];
    let mut at = 16;
    while at < bytes.len() {
        let (body, end) = (at + 20, at + 20 + number(&bytes[at + 8..at + 12]));
        let (first, _) = stored.range(body..end).next().context("a record without a chunk")?;
        found.push(("a pack: the headers of records".to_owned(), at..body));
        found.push(("a pack: what records say of their chunks".to_owned(), body..*first));
        found.push(("a pack: stored bytes".to_owned(), *first..end));
        at = end;
    }
    ensure!(at == bytes.len() && found.len() > 3, "the pack does not end with a record");
    Ok(found)
}

/// The only pack of the repository.
const PACK: &str = "packs/00000001.pack";
const DATABASE: &str = "pakit.db";

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Change {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
}

/// A repository that is damaged again and again, and what it answers while it is whole.
struct Patient {
    place: Place,
    files: [(&'static str, Vec<u8>); 2],
    truth: Answers,
}

impl Patient {
    fn new() -> Result<Self> {
        let place = Place::new()?;
        repository(&place)?;
        let read = |name| fs::read(place.repository().join(name)).map(|bytes| (name, bytes));
        let files = [read(DATABASE)?, read(PACK)?];
        let mut patient =
            Self { place, files, truth: Answers { blocks: Vec::new(), told: Vec::new(), settings: Vec::new() } };
        patient.heal()?;
        let engine = StorageEngine::open(&patient.place.repository(), Access::Read, &Overrides::default())?;
        let blocks = engine.head()?.size;
        let (truth, refusals) = ask(&engine, blocks).map_err(anyhow::Error::msg)?;
        ensure!(refusals.is_empty() && truth.blocks.len() as u64 == blocks, "it is not whole before any damage");
        drop(engine);
        patient.truth = truth;
        Ok(patient)
    }

    fn heal(&self) -> Result<()> {
        for name in ["pakit.db-wal", "pakit.db-shm"] {
            let path = self.place.repository().join(name);
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        for (name, bytes) in &self.files {
            fs::write(self.place.repository().join(name), bytes)?;
        }
        Ok(())
    }

    /// Damages a file, looks, and heals it; how it was noticed and how long that took.
    fn try_out(&self, file: &str, change: Change) -> Result<(Noticed, Duration)> {
        let (name, whole) = self.files.iter().find(|(name, _)| *name == file).context("no such file")?;
        let mut bytes = whole.clone();
        match change {
            Change::Flip { at, bit } => bytes[at] ^= bit,
            Change::Cut { at } => bytes.truncate(at),
        }
        fs::write(self.place.repository().join(name), &bytes)?;
        let start = Instant::now();
        let looked = catch_unwind(AssertUnwindSafe(|| look(&self.place.repository(), &self.truth)));
        let elapsed = start.elapsed();
        let noticed = looked.map_err(|_| anyhow::anyhow!("a panic"))?.map_err(anyhow::Error::msg)?;
        ensure!(elapsed < Duration::from_secs(30), "it took {elapsed:?}");
        ensure!(file != PACK || noticed != Noticed::Harmless, "it was not noticed");
        self.heal()?;
        Ok((noticed, elapsed))
    }
}

/// So many of all the bits of these bytes, evenly spread; all, if there are not as many.
fn bits(ranges: &[(String, Range<usize>)], count: u64, rng: &mut StdRng) -> Vec<(usize, u8, String)> {
    let total: u64 = ranges.iter().map(|(_, range)| 8 * range.len() as u64).sum();
    let count = count.min(total);
    let mut chosen = (0..count).map(|number| rng.random_range(total * number / count..total * (number + 1) / count));
    let (mut bits, mut next, mut before) = (Vec::new(), chosen.next(), 0);
    for (name, range) in ranges {
        let end = before + 8 * range.len() as u64;
        while let Some(bit) = next.filter(|bit| *bit < end) {
            let within = bit - before;
            bits.push((range.start + (within / 8) as usize, 1 << (within % 8), name.clone()));
            next = chosen.next();
        }
        before = end;
    }
    bits
}

/// Flips `count` bits: six of ten in the database, two in what packs say of themselves, two in stored bytes, each evenly spread; and cuts
/// the pack off for each hundredth of them.
pub fn campaign(count: u64, seed: u64) -> Result<Damage> {
    let patient = Patient::new()?;
    let mut rng = StdRng::seed_from_u64(seed);
    let in_use = bytes_in_use(&patient.place.repository().join(DATABASE))?;
    let of_pack = bytes_of_pack(&patient.place.repository())?;
    patient.heal()?;
    let size = |ranges: &[(String, Range<usize>)]| ranges.iter().map(|(_, range)| 8 * range.len() as u64).sum::<u64>();
    let mut figures = Damage { bits_in_use: size(&in_use), bits_in_packs: size(&of_pack), ..Damage::default() };
    let (stored, said): (Vec<_>, Vec<_>) = of_pack.into_iter().partition(|(name, _)| name.ends_with("stored bytes"));
    for (file, ranges, tenths) in [(DATABASE, in_use, 6), (PACK, said, 2), (PACK, stored, 2)] {
        for (at, bit, table) in bits(&ranges, count * tenths / 10, &mut rng) {
            let tried = patient.try_out(file, Change::Flip { at, bit });
            let (noticed, elapsed) = tried.with_context(|| format!("byte {at} ^ {bit:#04x} of {table}"))?;
            figures.flips += 1;
            figures.slowest_ms = figures.slowest_ms.max(elapsed.as_millis());
            *figures.noticed.entry(noticed.name()).or_default() += 1;
            let (flips, seen) = figures.by_table.entry(table).or_default();
            *flips += 1;
            *seen += u64::from(noticed != Noticed::Harmless);
        }
    }
    let end = patient.files[1].1.len();
    for _ in 0..count / 100 {
        let at = rng.random_range(0..end);
        patient.try_out(PACK, Change::Cut { at }).with_context(|| format!("a pack cut off at {at}"))?;
        figures.cuts += 1;
    }
    Ok(figures)
}
