//! Flipped bits: each bit of what a small repository's database holds is flipped by itself, and everything is asked. No wrong byte
//! may be served. A wrong answer of another kind, such as that a block is not there, has to be found by a full check.

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
    answers.settings.push(engine.strategy().to_string());
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
        Err(OpenError::Incomplete(_) | OpenError::Strategy(_)) => return Ok(Noticed::WhenOpened),
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

/// A repository of a few blocks: small ones, one of several chunks, one with metadata, a folder.
fn repository(place: &Place) -> Result<()> {
    run(pakit(place, &["init", "--name", "damage"]), None)?;
    let mut rng = StdRng::seed_from_u64(5);
    for number in 0..5 {
        fs::create_dir_all(place.source().join("few"))?;
        fs::write(place.source().join(format!("few/{number}")), content(&mut rng, 40 + 60 * number))?;
    }
    fs::write(place.source().join("chunks"), content(&mut rng, 12_000))?;
    fs::write(place.source().join("titled"), b"with metadata")?;
    run(put(place, &["few"], &[]), None)?;
    run(put(place, &["chunks"], &["--chunk-size", "4KiB"]), None)?;
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

/// Flips `count` of the bits in use, evenly spread; all of them, if there are not as many.
pub fn campaign(count: u64, seed: u64) -> Result<Damage> {
    let place = Place::new()?;
    repository(&place)?;
    let database = place.repository().join("pakit.db");
    let whole = fs::read(&database)?;
    let in_use = bytes_in_use(&database)?;
    let bits: Vec<(usize, u8, &str)> = in_use
        .iter()
        .flat_map(|(name, range)| {
            range.clone().flat_map(move |at| (0..8).map(move |bit| (at, 1 << bit, name.as_str())))
        })
        .collect();
    let clear = || -> Result<()> {
        for name in ["pakit.db-wal", "pakit.db-shm"] {
            let path = place.repository().join(name);
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    };
    clear()?;
    let truth = {
        let engine = StorageEngine::open(&place.repository(), Access::Read, &Overrides::default())?;
        let blocks = engine.head()?.size;
        let (truth, refusals) = ask(&engine, blocks).map_err(anyhow::Error::msg)?;
        ensure!(refusals.is_empty() && truth.blocks.len() as u64 == blocks, "it is not whole before any damage");
        truth
    };
    let mut rng = StdRng::seed_from_u64(seed);
    let mut figures = Damage { bits_in_use: bits.len() as u64, ..Damage::default() };
    let count = count.min(bits.len() as u64);
    for number in 0..count {
        let total = bits.len() as u64;
        let chosen = rng.random_range(total * number / count..total * (number + 1) / count);
        let (at, bit, table) = bits[chosen as usize];
        clear()?;
        let mut bytes = whole.clone();
        bytes[at] ^= bit;
        fs::write(&database, &bytes)?;
        let start = Instant::now();
        let looked = catch_unwind(AssertUnwindSafe(|| look(&place.repository(), &truth)));
        let elapsed = start.elapsed();
        let what = || format!("byte {at} ^ {bit:#04x} of {table}");
        let noticed = looked.map_err(|_| anyhow::anyhow!("a panic")).with_context(what)?;
        let noticed = noticed.map_err(anyhow::Error::msg).with_context(what)?;
        ensure!(elapsed < Duration::from_secs(30), "{}: it took {elapsed:?}", what());
        figures.flips += 1;
        figures.slowest_ms = figures.slowest_ms.max(elapsed.as_millis());
        *figures.noticed.entry(noticed.name()).or_default() += 1;
        let (flips, seen) = figures.by_table.entry(table.to_owned()).or_default();
        *flips += 1;
        *seen += u64::from(noticed != Noticed::Harmless);
    }
    Ok(figures)
}
