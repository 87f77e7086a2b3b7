//! Readers and writers at once, each of them a real process: eight loops of reading commands, two of writers that want the same
//! repository. Every complaint is one of those that are known, and nothing that was acknowledged is lost.

use crate::{
    invariant::{Known, examine},
    operation::{Acknowledged, Before, Promise, acknowledged, content, pakit, put},
    place::{Place, run, start},
};
use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Processes that read.
pub const READERS: u64 = 8;
/// Processes that want to write.
pub const WRITERS: u64 = 2;

/// What a command may say when it does not do what it was asked, and what it is called in reports.
const COMPLAINTS: [(&str, &str); 1] = [("is being written by another process", "somebody else writes")];

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Crowd {
    /// How long, in seconds.
    pub lasted: u64,
    /// Commands that ended with success, by name.
    pub succeeded: BTreeMap<String, u64>,
    /// Commands that were refused, by name and complaint.
    pub refused: BTreeMap<String, u64>,
    /// Blocks acknowledged to the writers; all of them there at the end.
    pub acknowledged: u64,
}

/// A command that is run among others on a repository with these blocks.
type Member = fn(&Place, &[Acknowledged], &mut StdRng) -> Option<Command>;

fn of_block(place: &Place, blocks: &[Acknowledged], rng: &mut StdRng, command: &str) -> Option<Command> {
    let block = &blocks.get(rng.random_range(0..blocks.len().max(1)))?.block;
    Some(pakit(place, &[command, block]))
}

/// What readers do. Commands that maintain a repository while others use it (backups, removals) belong here too.
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

struct Hall {
    place: Place,
    until: Instant,
    said: Mutex<Vec<Acknowledged>>,
    figures: Mutex<Crowd>,
}

impl Hall {
    fn said(&self) -> Vec<Acknowledged> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a command to its end and notes how it went; what it printed, if it succeeded.
    fn run(&self, name: &str, command: Command) -> Result<Option<Vec<u8>>> {
        let done = start(command, None)?.wait();
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if done.code == Some(0) {
            *figures.succeeded.entry(name.to_owned()).or_default() += 1;
            return Ok(Some(done.stdout));
        }
        let known = COMPLAINTS.iter().find(|(text, _)| done.stderr.contains(text));
        let known = known.filter(|_| done.code == Some(3)).map(|(_, known)| known);
        let known = known.with_context(|| format!("{} ended with {:?}: {}", done.typed, done.code, done.stderr))?;
        *figures.refused.entry(format!("{name}: {known}")).or_default() += 1;
        Ok(None)
    }

    fn read(&self, seed: u64) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        while Instant::now() < self.until {
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

    fn write(&self, seed: u64) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0.. {
            if Instant::now() >= self.until {
                break;
            }
            let name = format!("written-{seed}-{round}");
            let folder = self.place.source().join(&name);
            fs::create_dir(&folder)?;
            for number in 0..rng.random_range(1..40) {
                let size = rng.random_range(1..20_000);
                fs::write(folder.join(format!("{number}")), content(&mut rng, size))?;
            }
            // Who is told that somebody else writes tries again, with the same.
            while Instant::now() < self.until {
                let command = put(&self.place, &[&name], &["--batch-blocks", "8", "--chunk-size", "4KiB"]);
                if let Some(printed) = self.run("put", command)? {
                    let mut new = acknowledged(&printed)?;
                    self.said.lock().unwrap_or_else(PoisonError::into_inner).append(&mut new);
                    break;
                }
                thread::sleep(Duration::from_millis(rng.random_range(1..20)));
            }
        }
        Ok(())
    }
}

/// A crowd for so long.
pub fn campaign(lasting: Duration, seed: u64) -> Result<Crowd> {
    let place = Place::new()?;
    run(pakit(&place, &["init"]), None)?;
    fs::write(place.source().join("first"), "first")?;
    let first = acknowledged(&run(put(&place, &["first"], &[]), None)?.stdout)?;
    let hall = Hall {
        place,
        until: Instant::now() + lasting,
        said: Mutex::new(first),
        figures: Mutex::new(Crowd { lasted: lasting.as_secs(), ..Crowd::default() }),
    };
    thread::scope(|scope| {
        let hall = &hall;
        let mut threads: Vec<_> =
            (0..READERS).map(|number| scope.spawn(move || hall.read(seed * 100 + number))).collect();
        threads.extend((0..WRITERS).map(|number| scope.spawn(move || hall.write(seed * 100 + 50 + number))));
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let said = hall.said();
    let known = Known {
        before: &Before::default(),
        said: &said,
        promise: Promise::Acknowledged,
        is_power_cut: false,
        is_finished: true,
    };
    examine(&hall.place.repository(), &known)?;
    let mut figures = hall.figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    figures.acknowledged = said.len() as u64;
    ensure!(figures.succeeded.get("put").is_some_and(|puts| *puts > 0), "nobody ever wrote: {figures:?}");
    ensure!(figures.succeeded.contains_key("get"), "nobody ever read: {figures:?}");
    Ok(figures)
}
