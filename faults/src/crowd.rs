//! Readers, writers, backups and removals at once, each of them a real process: eight loops of reading commands, two of writers that want
//! the same repository, one of backups, and one that forgets, collects and compacts. Every complaint is one of those that are known, and
//! nothing is lost that was acknowledged and not forgotten.

use crate::{
    invariant::{Known, examine, is_beginning},
    operation::{Acknowledged, Before, Promise, acknowledged, content, pakit, put},
    place::{Place, run, start},
};
use anyhow::{Context, Result, ensure};
use offchain_store::{StorageEngine, config::Overrides, engine::Access};
use pakit_primitives::Head;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Processes that read.
pub const READERS: u64 = 8;
/// Processes that want to write.
pub const WRITERS: u64 = 2;
/// Crowds that last as long have to have seen everything.
const LONG: Duration = Duration::from_secs(30);

/// What a command may say when it does not do what it was asked: its exit code, its words, and what that is called in reports.
const COMPLAINTS: [(i32, &str, &str); 2] =
    [(3, "is being written by another process", "somebody else writes"), (1, "was removed (forgotten by", FORGOTTEN)];
/// Only of what was forgotten.
const FORGOTTEN: &str = "it was forgotten";

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Crowd {
    /// How long, in seconds.
    pub lasted: u64,
    /// Commands that ended with success, by name.
    pub succeeded: BTreeMap<String, u64>,
    /// Commands that were refused, by name and complaint.
    pub refused: BTreeMap<String, u64>,
    /// Blocks acknowledged to the writers and not forgotten; all of them read and compared at the end.
    pub acknowledged: u64,
    /// Blocks that were forgotten.
    pub forgotten: u64,
    /// Of the acknowledged blocks, those in the last backup that was taken meanwhile, read and compared in what it was restored to.
    pub restored: u64,
}

/// A command that is run among others on a repository with these blocks.
type Member = fn(&Place, &[Acknowledged], &mut StdRng) -> Option<Command>;

fn of_block(place: &Place, blocks: &[Acknowledged], rng: &mut StdRng, command: &str) -> Option<Command> {
    let block = &blocks.get(rng.random_range(0..blocks.len().max(1)))?.block;
    Some(pakit(place, &[command, block]))
}

/// What readers do.
const READING: [(&str, Member); 9] = [
    ("get", |place, blocks, rng| {
        // Folders are restored by another way.
        let files: Vec<Acknowledged> = blocks.iter().filter(|said| is_file(said)).cloned().collect();
        of_block(place, &files, rng, "get")
    }),
    ("show", |place, blocks, rng| of_block(place, blocks, rng, "show")),
    ("prove", |place, blocks, rng| of_block(place, blocks, rng, "prove")),
    ("ancestors", |place, blocks, rng| of_block(place, blocks, rng, "ancestors")),
    ("query", |place, _, _| Some(pakit(place, &["query", "--limit", "50"]))),
    ("stats", |place, _, _| Some(pakit(place, &["stats"]))),
    ("log", |place, _, _| Some(pakit(place, &["log", "--limit", "200"]))),
    ("frontier", |place, _, _| Some(pakit(place, &["frontier"]))),
    ("check", |place, _, _| Some(pakit(place, &["check", "--full"]))),
];

fn is_file(said: &Acknowledged) -> bool {
    said.path.as_ref().is_some_and(|path| path.is_file())
}

/// Many transactions, many chunks, most of them in packs.
const PUT: [&str; 4] = ["--batch-blocks", "8", "--chunk-size", "4KiB"];

struct Hall {
    place: Place,
    until: Instant,
    said: Mutex<Vec<Acknowledged>>,
    /// Blocks that were forgotten, or are about to be.
    forgotten: Mutex<BTreeSet<String>>,
    figures: Mutex<Crowd>,
}

/// Only whole items are put in, so that a thread that panicked leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hall {
    fn said(&self) -> Vec<Acknowledged> {
        locked(&self.said).clone()
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Runs a command to its end and notes how it went; what it printed, if it succeeded.
    fn run(&self, name: &str, command: Command) -> Result<Option<Vec<u8>>> {
        let asked = command.get_args().last().map(|block| block.to_string_lossy().into_owned()).unwrap_or_default();
        let done = start(command, None)?.wait();
        let mut figures = locked(&self.figures);
        if done.code == Some(0) {
            *figures.succeeded.entry(name.to_owned()).or_default() += 1;
            return Ok(Some(done.stdout));
        }
        let known = COMPLAINTS.iter().find(|(code, text, _)| done.code == Some(*code) && done.stderr.contains(text));
        let known = known.map(|(_, _, known)| *known);
        let known = known.with_context(|| format!("{} ended with {:?}: {}", done.typed, done.code, done.stderr))?;
        let is_true = known != FORGOTTEN || (name == "get" && locked(&self.forgotten).contains(&asked));
        ensure!(is_true, "{} says what is not so: {}", done.typed, done.stderr);
        *figures.refused.entry(format!("{name}: {known}")).or_default() += 1;
        Ok(None)
    }

    /// Who is told that somebody else writes tries again, with the same; `None` once time is over.
    fn retry(&self, name: &str, rng: &mut StdRng, command: impl Fn() -> Command) -> Result<Option<Vec<u8>>> {
        while !self.is_over() {
            if let Some(printed) = self.run(name, command())? {
                return Ok(Some(printed));
            }
            thread::sleep(Duration::from_millis(rng.random_range(1..20)));
        }
        Ok(None)
    }

    fn read(&self, seed: u64) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        while !self.is_over() {
            let (name, member) = READING[rng.random_range(0..READING.len())];
            let said = self.said();
            let Some(command) = member(&self.place, &said, &mut rng) else { continue };
            let block = command.get_args().last().map(|block| block.to_string_lossy().into_owned());
            let printed = self.run(name, command)?;
            if let (Some(printed), "get") = (printed, name) {
                let said =
                    said.iter().find(|said| Some(&said.block) == block.as_ref()).context("who asked for that?")?;
                let path = said.path.as_deref().context("what was put has a path")?;
                ensure!(fs::read(path)? == printed, "get gives other bytes than were put: {said:?}");
            }
        }
        Ok(())
    }

    /// Makes a folder and puts it; what was acknowledged, the folder last. `None` once time is over.
    fn put_new(&self, name: &str, rng: &mut StdRng, with: Option<&[u8]>) -> Result<Option<Vec<Acknowledged>>> {
        let folder = self.place.source().join(name);
        fs::create_dir(&folder)?;
        for number in 0..rng.random_range(1..40) {
            let size = rng.random_range(64..20_000);
            fs::write(folder.join(format!("{number}")), content(rng, size))?;
        }
        if let Some(bytes) = with {
            fs::write(folder.join("shared"), bytes)?;
        }
        let Some(printed) = self.retry("put", rng, || put(&self.place, &[name], &PUT))? else { return Ok(None) };
        let new = acknowledged(&printed)?;
        locked(&self.said).extend(new.iter().cloned());
        Ok(Some(new))
    }

    fn write(&self, seed: u64) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0.. {
            if self.put_new(&format!("files-{seed}-{round}"), &mut rng, None)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Puts folders, forgets each a while later, collects and compacts. Each holds a file that a folder holds that stays.
    fn remove(&self, seed: u64, shared: &Shared) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut waiting = VecDeque::new();
        for round in 0.. {
            let put = self.put_new(&format!("doomed-{seed}-{round}"), &mut rng, Some(&shared.bytes))?;
            let Some(mut new) = put else { break };
            new.retain(|said| said.block != shared.block);
            waiting.push_back(new);
            if waiting.len() < 2 {
                continue;
            }
            let Some(doomed) = waiting.pop_front() else { continue };
            let listing = doomed.last().context("a put of a folder says nothing")?.block.clone();
            // Before it is true, since readers may be told at any moment from then on.
            locked(&self.forgotten).extend(doomed.iter().map(|said| said.block.clone()));
            let forget = || pakit(&self.place, &["forget", &listing, "--why", "a crowd"]);
            if self.retry("forget", &mut rng, forget)?.is_none() {
                let doomed: BTreeSet<&str> = doomed.iter().map(|said| said.block.as_str()).collect();
                locked(&self.forgotten).retain(|block| !doomed.contains(block.as_str()));
                break;
            }
            let commands: &[&str] = if round % 3 == 2 { &["gc", "compact"] } else { &["gc"] };
            for &command in commands {
                self.retry(command, &mut rng, || pakit(&self.place, &[command]))?;
            }
        }
        Ok(())
    }

    fn backup(&self) -> String {
        self.place.disk().join("backup").to_string_lossy().into_owned()
    }

    /// Takes backups, some of them from the beginning, drops old ones, reads them back and restores some. Nobody is ever in their way.
    fn back_up(&self) -> Result<()> {
        let backup = self.backup();
        let never = || "a backup has nobody to wait for";
        for round in 0.. {
            if self.is_over() {
                break;
            }
            let options: &[&str] = match round % 5 {
                4 => &["--full", "--keep-last", "2"],
                2 => &["--verify"],
                _ => &[],
            };
            let command = pakit(&self.place, &[&["backup", backup.as_str()], options].concat());
            self.run("backup", command)?.with_context(never)?;
            if round % 5 == 3 {
                self.run("backup verify", pakit(&self.place, &["backup", "verify", &backup]))?.with_context(never)?;
                let other = Place::new()?;
                self.run("restore", pakit(&other, &["restore", &backup]))?.with_context(never)?;
                self.run("check what was restored", pakit(&other, &["check", "--full"]))?.with_context(never)?;
            }
        }
        Ok(())
    }

    /// Whether everything is as it has to be once all are gone.
    fn examine(&self) -> Result<(Vec<Acknowledged>, u64)> {
        let forgotten = locked(&self.forgotten).clone();
        let (gone, kept): (Vec<_>, Vec<_>) = self.said().into_iter().partition(|said| forgotten.contains(&said.block));
        let repository = self.place.repository();
        examine(&repository, &known(&kept, Promise::Acknowledged))?;
        examine(&repository, &known(&gone, Promise::MayDrop)).context("of what was forgotten")?;
        let restored = self.restored(&kept).context("the last backup that was taken meanwhile")?;
        // And one that is taken now holds everything.
        run(pakit(&self.place, &["backup", &self.backup(), "--verify"]), None)?;
        let all = self.restored(&kept).context("a backup that was taken afterwards")?;
        ensure!(all == kept.len() as u64, "{all} of {} blocks are in a backup of all", kept.len());
        Ok((kept, restored))
    }

    /// Restores the newest backup, and compares what was acknowledged by then; how much that was.
    fn restored(&self, kept: &[Acknowledged]) -> Result<u64> {
        let other = Place::new()?;
        run(pakit(&other, &["restore", &self.backup()]), None)?;
        run(pakit(&other, &["check", "--full"]), None)?;
        let head = head(&other)?;
        let engine = StorageEngine::open(&self.place.repository(), Access::Read, &Overrides::default())?;
        is_beginning(Some(head), &engine)?;
        let is_in = |said: &&Acknowledged| said.leaf_index.is_some_and(|leaf_index| leaf_index < head.size);
        let said: Vec<Acknowledged> = kept.iter().filter(is_in).cloned().collect();
        examine(&other.repository(), &known(&said, Promise::Acknowledged))?;
        Ok(said.len() as u64)
    }
}

fn head(place: &Place) -> Result<Head> {
    Ok(StorageEngine::open(&place.repository(), Access::Read, &Overrides::default())?.head()?)
}

fn known<'a>(said: &'a [Acknowledged], promise: Promise) -> Known<'a> {
    static NOTHING: Before = Before { head: None, blocks: Vec::new() };
    Known { before: &NOTHING, said, promise, is_power_cut: false, is_finished: true }
}

/// A file that a folder holds that stays, and other folders that do not.
struct Shared {
    bytes: Vec<u8>,
    block: String,
}

/// A repository with one folder in it.
fn hall(lasting: Duration, seed: u64) -> Result<(Hall, Shared)> {
    let place = Place::new()?;
    run(pakit(&place, &["init"]), None)?;
    let bytes = content(&mut StdRng::seed_from_u64(seed), 60_000);
    fs::create_dir(place.source().join("stays"))?;
    fs::write(place.source().join("stays/shared"), &bytes)?;
    let first = acknowledged(&run(put(&place, &["stays"], &PUT), None)?.stdout)?;
    let block = first.iter().find(|said| is_file(said)).context("a file was put")?.block.clone();
    let hall = Hall {
        place,
        until: Instant::now() + lasting,
        said: Mutex::new(first),
        forgotten: Mutex::default(),
        figures: Mutex::new(Crowd { lasted: lasting.as_secs(), ..Crowd::default() }),
    };
    Ok((hall, Shared { bytes, block }))
}

/// A crowd for so long.
pub fn campaign(lasting: Duration, seed: u64) -> Result<Crowd> {
    let (mut hall, shared) = hall(lasting, seed)?;
    let ran: Result<()> = thread::scope(|scope| {
        let (hall, shared) = (&hall, &shared);
        let mut threads: Vec<_> =
            (0..READERS).map(|number| scope.spawn(move || hall.read(seed * 100 + number))).collect();
        threads.extend((0..WRITERS).map(|number| scope.spawn(move || hall.write(seed * 100 + 50 + number))));
        threads.push(scope.spawn(move || hall.remove(seed * 100 + 60, shared)));
        threads.push(scope.spawn(move || hall.back_up()));
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    });
    let examined = ran.and_then(|()| hall.examine());
    let (kept, restored) = examined.with_context(|| hall.place.kept_for(format!("a crowd, seed {seed}")))?;
    let forgotten = locked(&hall.forgotten).len() as u64;
    let figures = hall.figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let figures = Crowd { acknowledged: kept.len() as u64, forgotten, restored, ..figures };
    let wanted: &[&str] = match lasting >= LONG {
        true => &["put", "get", "backup", "backup verify", "restore", "forget", "gc", "compact", "check"],
        false => &["put", "get", "backup"],
    };
    for name in wanted {
        ensure!(figures.succeeded.contains_key(*name), "never once {name}: {figures:?}");
    }
    Ok(figures)
}
