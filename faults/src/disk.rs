//! A model of a disk below a file system, and what a power cut may leave on it.
//!
//! It is as strict as POSIX lets a file system be, with one mercy. What was written to a file since its last sync may be
//! lost, any part of it, whatever came before or after; a write may be torn at sectors; sectors that were being written may hold
//! anything. The name of a file is there for certain once its folder was synced, and not because the file was. A sync that
//! failed takes back all claims on what was written before it, also where a later one succeeds. The mercy: names change in
//! the order in which they were changed, as in every file system with a journal. Bytes that nobody wrote to keep their
//! values, also those that share a sector with others, which SQLite relies on too (its "powersafe overwrite").

use crate::journal::{Event, Kind};
use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What happened to the writes that no sync had covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Nothing: the program died, the system lived on.
    None,
    /// All of them are lost.
    All,
    /// Each file has those up to some moment, which is another one for each.
    Suffix,
    /// Some are lost, whichever; some are torn at sectors of that many bytes.
    Some(u64),
    /// The same, and what is lost of a sector holds what was not there before.
    Garbage(u64),
}

/// All of them.
pub const LOSSES: [Loss; 8] = [
    Loss::None,
    Loss::All,
    Loss::Suffix,
    Loss::Some(512),
    Loss::Some(4096),
    Loss::Garbage(512),
    Loss::Garbage(4096),
    Loss::Suffix,
];

/// What is on a disk: files with their bytes, and folders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    /// Files by path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Folders.
    pub folders: Vec<PathBuf>,
}

impl Image {
    /// Writes it out as if what was below `from` stood below `to`, which is new.
    pub fn write(&self, from: &Path, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        let at = |path: &Path| path.strip_prefix(from).map(|path| to.join(path));
        for folder in &self.folders {
            fs::create_dir_all(at(folder)?)?;
        }
        for (path, bytes) in &self.files {
            fs::write(at(path)?, bytes).with_context(|| format!("{} has no folder", path.display()))?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    SetLength(u64),
}

#[derive(Clone, Debug)]
struct Pending {
    change: Change,
    /// A sync that covered it failed: no later one brings it back.
    is_forsaken: bool,
    /// A later sync covered it, but could not be folded into what is kept because of a forsaken change before it.
    is_kept: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// As it is for programs.
    seen: Vec<u8>,
    /// As of the last sync.
    kept: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Clone, Debug)]
enum NameChange {
    Make(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Make(path, _) | Self::Remove(path) | Self::Rename(_, path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Make(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                let moved: Vec<PathBuf> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    if let (Some(node), Ok(rest)) = (names.remove(&path), path.strip_prefix(from)) {
                        names.insert(if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) }, node);
                    }
                }
            }
        }
    }
}

/// A disk with what is on its way to it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// The folder of it all, whose own name is safe.
    root: PathBuf,
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    names: BTreeMap<PathBuf, Node>,
    kept_names: BTreeMap<PathBuf, Node>,
    pending_names: Vec<NameChange>,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(data);
        }
        Change::SetLength(length) => bytes.resize(*length as usize, 0),
    }
}

impl Disk {
    /// All that is below a folder, and everything of it safe.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let mut disk = Self { root: folder.to_owned(), ..Self::default() };
        let mut to_come = vec![folder.to_owned()];
        while let Some(folder) = to_come.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    disk.names.insert(path.clone(), Node::Folder);
                    to_come.push(path);
                } else {
                    let bytes = fs::read(&path)?;
                    disk.by_inode.insert(entry.metadata()?.ino(), disk.files.len());
                    disk.names.insert(path, Node::File(disk.files.len()));
                    disk.files.push(File { seen: bytes.clone(), kept: bytes, pending: Vec::new() });
                }
            }
        }
        disk.kept_names = disk.names.clone();
        Ok(disk)
    }

    fn file(&mut self, event: &Event) -> Result<&mut File> {
        let id = *self.by_inode.get(&event.inode).with_context(|| format!("a file that nobody made: {event:?}"))?;
        Ok(&mut self.files[id])
    }

    fn change(&mut self, event: &Event, change: Change) -> Result<()> {
        let file = self.file(event)?;
        apply(&mut file.seen, &change);
        file.pending.push(Pending { change, is_forsaken: false, is_kept: false });
        Ok(())
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// Follows what a program did.
    pub fn follow(&mut self, event: &Event) -> Result<()> {
        match event.kind {
            Kind::Create => {
                self.by_inode.insert(event.inode, self.files.len());
                self.rename(NameChange::Make(event.path.clone(), Node::File(self.files.len())));
                self.files.push(File::default());
            }
            Kind::Write => self.change(event, Change::Write(event.offset, event.data.clone()))?,
            Kind::SetLength => self.change(event, Change::SetLength(event.offset))?,
            Kind::Sync => {
                let file = self.file(event)?;
                if file.pending.iter().any(|pending| pending.is_forsaken) {
                    file.pending.iter_mut().for_each(|pending| pending.is_kept = !pending.is_forsaken);
                } else {
                    let pending = std::mem::take(&mut file.pending);
                    pending.iter().for_each(|pending| apply(&mut file.kept, &pending.change));
                }
            }
            Kind::SyncFailed => {
                let pending = self.file(event)?.pending.iter_mut();
                pending.filter(|pending| !pending.is_kept).for_each(|pending| pending.is_forsaken = true);
            }
            Kind::SyncFolder => {
                let (kept, pending) = std::mem::take(&mut self.pending_names)
                    .into_iter()
                    .partition::<Vec<_>, _>(|change| change.folder() == Some(&event.path));
                kept.iter().for_each(|change| change.apply(&mut self.kept_names));
                self.pending_names = pending;
            }
            Kind::Remove | Kind::RemoveFolder => self.rename(NameChange::Remove(event.path.clone())),
            Kind::Rename => {
                let to = PathBuf::from(String::from_utf8(event.data.clone())?);
                self.rename(NameChange::Rename(event.path.clone(), to));
            }
            Kind::CreateFolder => self.rename(NameChange::Make(event.path.clone(), Node::Folder)),
            Kind::Said | Kind::Read | Kind::Unknown => {}
        }
        Ok(())
    }

    /// Whether this is what is below a folder: what the layer did not see would show. A map of shared memory is written past
    /// it, and is made anew after each crash; the names of such files are told by their ends.
    pub fn is_of_folder(&self, folder: &Path) -> Result<()> {
        let there = Self::of_folder(folder)?;
        ensure!(there.names.keys().eq(self.names.keys()), "names: {:?} and {:?}", there.names, self.names);
        for (path, node) in there.names.iter().filter(|(path, _)| !is_shared_memory(path)) {
            let (Node::File(id), Some(Node::File(ours))) = (node, self.names.get(path)) else { continue };
            ensure!(there.files[*id].seen == self.files[*ours].seen, "{} was changed unseen", path.display());
        }
        Ok(())
    }

    /// Whether an image holds what programs saw at this moment.
    pub fn is_image(&self, image: &Image) -> bool {
        let files = self.names.iter().filter_map(|(path, node)| match node {
            Node::File(id) if !is_shared_memory(path) => Some((path, &self.files[*id].seen)),
            _ => None,
        });
        files.eq(image.files.iter().filter(|(path, _)| !is_shared_memory(path)))
    }

    /// What a power cut at this moment may leave. `rng` chooses, within what `loss` allows.
    pub fn image(&self, loss: Loss, rng: &mut impl Rng) -> Image {
        let mut names = self.kept_names.clone();
        let kept = match loss {
            Loss::None => self.pending_names.len(),
            Loss::All => 0,
            _ => rng.random_range(0..=self.pending_names.len()),
        };
        self.pending_names[..kept].iter().for_each(|change| change.apply(&mut names));
        let mut image = Image::default();
        for (path, node) in names {
            // Without its folder it is nowhere to be found.
            let is_reachable = path
                .parent()
                .is_none_or(|parent| parent == self.root || image.folders.iter().any(|folder| folder == parent));
            match node {
                Node::Folder if is_reachable => image.folders.push(path),
                Node::File(_) if is_reachable && is_shared_memory(&path) => {
                    // It survives no power cut with a meaning, and may be there all the same.
                    let is_there = rng.random_bool(0.3);
                    let byte = if rng.random_bool(0.5) { 0 } else { rng.random() };
                    image.files.extend(is_there.then(|| (path, vec![byte; 32 << 10])));
                }
                Node::File(id) if is_reachable => {
                    image.files.insert(path, self.files[id].image(loss, rng));
                }
                _ => {}
            }
        }
        image
    }
}

fn is_shared_memory(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

impl File {
    fn image(&self, loss: Loss, rng: &mut impl Rng) -> Vec<u8> {
        if loss == Loss::None {
            return self.seen.clone();
        }
        let mut bytes = self.kept.clone();
        let end = rng.random_range(0..=self.pending.len());
        // Some files lose much, some little.
        let survives = [0.1, 0.5, 0.9][rng.random_range(0..3)];
        for (at, pending) in self.pending.iter().enumerate() {
            let is_there = pending.is_kept
                || match loss {
                    Loss::None => true,
                    Loss::All => false,
                    Loss::Suffix => at < end,
                    Loss::Some(_) | Loss::Garbage(_) => rng.random_bool(survives),
                };
            match (&pending.change, loss) {
                (change, _) if pending.is_kept => apply(&mut bytes, change),
                (Change::Write(offset, data), Loss::Some(sector) | Loss::Garbage(sector)) => {
                    let is_torn = rng.random_bool(0.3);
                    for (start, part) in sectors(*offset, data, sector) {
                        let survives = if is_torn { rng.random_bool(0.5) } else { is_there };
                        if survives {
                            apply(&mut bytes, &Change::Write(start, part.to_vec()));
                        } else if matches!(loss, Loss::Garbage(_)) && rng.random_bool(0.5) {
                            let garbage = (0..part.len()).map(|_| rng.random()).collect();
                            apply(&mut bytes, &Change::Write(start, garbage));
                        }
                    }
                }
                (change, _) if is_there => apply(&mut bytes, change),
                _ => {}
            }
        }
        bytes
    }
}

/// A write cut at the ends of sectors.
fn sectors(offset: u64, data: &[u8], sector: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = offset;
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let count = rest.len().min((sector - at % sector) as usize);
        let (part, more) = rest.split_at(count);
        let found = (at, part);
        (at, rest) = (at + count as u64, more);
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn event(kind: Kind, path: &str, offset: u64, data: &[u8]) -> Event {
        Event { kind, inode: 7, offset, path: path.into(), data: data.to_vec() }
    }

    fn disk(events: &[Event]) -> Disk {
        let mut disk = Disk { root: "/d".into(), ..Disk::default() };
        events.iter().for_each(|event| disk.follow(event).unwrap());
        disk
    }

    fn images(disk: &Disk) -> Vec<Image> {
        let mut rng = StdRng::seed_from_u64(1);
        (0..400).map(|at| disk.image(LOSSES[at % LOSSES.len()], &mut rng)).collect()
    }

    #[test]
    fn what_was_synced_is_in_every_image_and_what_was_not_in_some() {
        let (old, new) = (vec![b'o'; 2000], vec![b'n'; 2000]);
        let disk = disk(&[
            event(Kind::Create, "/d/f", 0, b""),
            event(Kind::Write, "", 0, &old),
            event(Kind::Sync, "", 0, b""),
            event(Kind::SyncFolder, "/d", 0, b""),
            event(Kind::Write, "", 1000, &new),
        ]);
        let images = images(&disk);
        let files: Vec<&Vec<u8>> = images.iter().map(|image| &image.files[Path::new("/d/f")]).collect();
        assert!(files.iter().all(|file| file[..1000] == old[..1000]), "what nobody wrote to again");
        assert!(files.iter().any(|file| **file == old) && files.iter().any(|file| file.ends_with(&new)));
        let is_torn = |file: &&&Vec<u8>| file.len() == 3000 && file[1000..1024] != file[1024..1048];
        assert!(files.iter().filter(is_torn).count() > 5, "torn at the sector's end, which is byte 1024");
    }

    #[test]
    fn a_name_is_certain_once_its_folder_was_synced() {
        let mut events = vec![event(Kind::Create, "/d/f", 0, b""), event(Kind::Sync, "", 0, b"")];
        let without = |events: &[Event]| images(&disk(events)).iter().filter(|image| image.files.is_empty()).count();
        assert!(without(&events) > 50, "the file's sync says nothing of its name");
        events.push(event(Kind::SyncFolder, "/d", 0, b""));
        assert_eq!(without(&events), 0);
        events.push(event(Kind::Rename, "/d/f", 0, b"/d/g"));
        let images = images(&disk(&events));
        assert!(images.iter().all(|image| image.files.len() == 1), "one name or the other");
        assert!(["/d/f", "/d/g"].iter().all(|name| images.iter().any(|i| i.files.contains_key(Path::new(name)))));
    }

    #[test]
    fn what_is_in_a_folder_goes_where_the_folder_goes_and_is_nowhere_without_it() {
        let mut events = vec![
            event(Kind::CreateFolder, "/d/new", 0, b""),
            event(Kind::Create, "/d/new/f", 0, b""),
            event(Kind::SyncFolder, "/d/new", 0, b""),
            event(Kind::Rename, "/d/new", 0, b"/d/there"),
        ];
        let names = |events: &[Event]| -> Vec<Vec<PathBuf>> {
            images(&disk(events)).into_iter().map(|image| image.files.into_keys().collect()).collect()
        };
        let [nowhere, new, there] = [vec![], vec!["/d/new/f".into()], vec!["/d/there/f".into()]];
        let found = names(&events);
        assert!([&nowhere, &new, &there].iter().all(|one| found.contains(one)), "{found:?}");
        events.push(event(Kind::SyncFolder, "/d", 0, b""));
        assert!(names(&events).iter().all(|names| *names == there));
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next_one() {
        let mut events = vec![
            event(Kind::Create, "/d/f", 0, b""),
            event(Kind::SyncFolder, "/d", 0, b""),
            event(Kind::Write, "", 0, b"first"),
            event(Kind::SyncFailed, "", 0, b""),
            event(Kind::Write, "", 10, b"second"),
            event(Kind::Sync, "", 0, b""),
        ];
        let files = |events: &[Event]| -> Vec<Vec<u8>> {
            images(&disk(events)).iter().map(|image| image.files[Path::new("/d/f")].clone()).collect()
        };
        assert!(files(&events).iter().all(|file| file.ends_with(b"second")));
        assert!(files(&events).iter().any(|file| !file.starts_with(b"first")));
        events.extend([event(Kind::Write, "", 0, b"first"), event(Kind::Sync, "", 0, b"")]);
        assert!(files(&events).iter().all(|file| file.starts_with(b"first")), "written again, it is there");
    }
}
