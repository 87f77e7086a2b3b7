//! The folder that a backup lies in: its files' names, its lock, and how files get into it whole or not at all.

use super::{
    FolderError,
    manifest::{self, FolderManifest, SnapshotManifest},
};
use crate::plain_file::open_lock;
use pakit_primitives::BlockHash;
use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Says that the folder is a backup, and of what.
const FOLDER_MANIFEST: &str = "pakit-backup.json";
const LOCK: &str = "lock";
const SEGMENTS: &str = "segments";
const SNAPSHOTS: &str = "snapshots";
const TEMPORARY: &str = ".new";
/// Files in one folder that are looked at: a segment for each of 64 MiB, so more than 60 TiB.
const FILES_MAX: usize = 1 << 20;

/// A backup's folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    genesis: BlockHash,
    /// Held by the one process that changes the folder.
    _lock: Option<File>,
}

impl Folder {
    /// Opens a backup for reading.
    pub(super) fn open(dir: &Path) -> Result<Self, FolderError> {
        let genesis = read_genesis(dir)?.ok_or_else(|| FolderError::NotABackup(dir.to_owned()))?;
        Ok(Self { dir: dir.to_owned(), genesis, _lock: None })
    }

    /// Opens a backup as the only one who changes it.
    pub(super) fn open_locked(dir: &Path) -> Result<Self, FolderError> {
        let genesis = read_genesis(dir)?.ok_or_else(|| FolderError::NotABackup(dir.to_owned()))?;
        let folder = Self { dir: dir.to_owned(), genesis, _lock: Some(lock(dir)?) };
        folder.clear_temporary()?;
        Ok(folder)
    }

    /// Opens the backup in `dir` to add to it, or makes one where nothing is yet.
    pub(super) fn open_or_make(dir: &Path, genesis: BlockHash) -> Result<Self, FolderError> {
        if read_genesis(dir)?.is_none() {
            refuse_foreign(dir)?;
            fs::create_dir_all(dir).map_err(|source| file_error(dir, source))?;
            let lock = lock(dir)?;
            // Another process may have made it meanwhile.
            if read_genesis(dir)?.is_none() {
                for part in [SEGMENTS, SNAPSHOTS] {
                    let part = dir.join(part);
                    fs::create_dir_all(&part).map_err(|source| file_error(&part, source))?;
                }
                sync_dir(dir)?;
                manifest::write(&dir.join(FOLDER_MANIFEST), &mut FolderManifest::new(genesis))?;
            }
            drop(lock);
        }
        Self::open_locked(dir)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Genesis of the log that is backed up here.
    pub(super) fn genesis(&self) -> BlockHash {
        self.genesis
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.dir.join(SEGMENTS).join(format!("{number:08}.pack"))
    }

    pub(super) fn snapshot(&self, number: u64) -> PathBuf {
        self.dir.join(SNAPSHOTS).join(format!("{number:08}.json"))
    }

    pub(super) fn absent(&self, number: u64) -> PathBuf {
        self.dir.join(SNAPSHOTS).join(format!("{number:08}.absent"))
    }

    /// Numbers of the segments that are there, ascending.
    pub(super) fn segments(&self) -> Result<Vec<u64>, FolderError> {
        numbers(&self.dir.join(SEGMENTS), ".pack")
    }

    /// Numbers of the snapshots, ascending.
    pub(super) fn snapshots(&self) -> Result<Vec<u64>, FolderError> {
        numbers(&self.dir.join(SNAPSHOTS), ".json")
    }

    /// Numbers of the files of absent payloads, ascending.
    pub(super) fn absent_files(&self) -> Result<Vec<u64>, FolderError> {
        numbers(&self.dir.join(SNAPSHOTS), ".absent")
    }

    /// A snapshot's manifest, checked for what one can say by itself.
    pub(super) fn manifest(&self, number: u64) -> Result<SnapshotManifest, FolderError> {
        let path = self.snapshot(number);
        let manifest: SnapshotManifest = manifest::read(&path)?;
        let absent = manifest.absent.as_ref();
        let is_sane = manifest.number == number
            && manifest.genesis() == self.genesis
            && manifest.size > 0
            && manifest.first_segment > 0
            && manifest.first_segment <= manifest.last_segment
            && manifest.last_segment < u64::MAX
            && absent.is_none_or(|absent| absent.snapshot <= number);
        if is_sane { Ok(manifest) } else { Err(FolderError::Malformed(path)) }
    }

    /// All manifests, ascending.
    pub(super) fn manifests(&self) -> Result<Vec<SnapshotManifest>, FolderError> {
        self.snapshots()?.into_iter().map(|number| self.manifest(number)).collect()
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), FolderError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(file_error(path, source)),
            _ => Ok(()),
        }
    }

    /// Makes what was removed stay removed.
    pub(super) fn sync(&self) -> Result<(), FolderError> {
        [SNAPSHOTS, SEGMENTS].into_iter().try_for_each(|part| sync_dir(&self.dir.join(part)))
    }

    /// What a process that was killed had not finished.
    fn clear_temporary(&self) -> Result<(), FolderError> {
        for part in [Path::new(""), Path::new(SEGMENTS), Path::new(SNAPSHOTS)] {
            for name in names(&self.dir.join(part))? {
                if name.to_string_lossy().ends_with(TEMPORARY) {
                    self.remove(&self.dir.join(part).join(name))?;
                }
            }
        }
        Ok(())
    }
}

/// Genesis as the folder's manifest says; `None` where there is no manifest.
fn read_genesis(dir: &Path) -> Result<Option<BlockHash>, FolderError> {
    match manifest::read::<FolderManifest>(&dir.join(FOLDER_MANIFEST)) {
        Ok(manifest) => Ok(Some(manifest.genesis())),
        Err(FolderError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A backup is made in a folder that is new, empty, or was begun by a process that was killed at once.
fn refuse_foreign(dir: &Path) -> Result<(), FolderError> {
    let begun = [LOCK.to_owned(), SEGMENTS.to_owned(), SNAPSHOTS.to_owned(), format!("{FOLDER_MANIFEST}{TEMPORARY}")];
    let is_ours = |name: &OsString| begun.iter().any(|known| name == known.as_str());
    match names(dir) {
        Ok(names) if !names.iter().all(is_ours) => Err(FolderError::NotEmpty(dir.to_owned())),
        Ok(names) => {
            let parts = names.iter().filter(|name| *name == SEGMENTS || *name == SNAPSHOTS);
            for part in parts {
                if !self::names(&dir.join(part))?.is_empty() {
                    return Err(FolderError::NotEmpty(dir.to_owned()));
                }
            }
            Ok(())
        }
        Err(FolderError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock(dir: &Path) -> Result<File, FolderError> {
    let path = dir.join(LOCK);
    let file = open_lock(&path).map_err(|source| file_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FolderError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(file_error(&path, source)),
    }
}

fn names(dir: &Path) -> Result<Vec<OsString>, FolderError> {
    let failed = |source| file_error(dir, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
        if names.len() > FILES_MAX {
            return Err(FolderError::TooManyFiles(dir.to_owned()));
        }
    }
    Ok(names)
}

/// Numbers in the names of the files with this ending, ascending. Other names are not ours.
fn numbers(dir: &Path, ending: &str) -> Result<Vec<u64>, FolderError> {
    let number = |name: OsString| {
        let digits = name.to_str()?.strip_suffix(ending)?;
        let is_ours = digits.len() >= 8 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|number| is_ours && format!("{number:08}") == digits)
    };
    let mut numbers: Vec<u64> = names(dir)?.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A file under a temporary name beside its place. It gets there whole and on the disk, or is removed.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    target: PathBuf,
}

impl Temporary {
    pub(super) fn create(target: &Path) -> Result<(File, Self), FolderError> {
        let mut path = target.as_os_str().to_owned();
        path.push(TEMPORARY);
        let temporary = Self { path: path.into(), target: target.to_owned() };
        // What a killed process left; and what stands there then was not there before, so that nothing is written through a link.
        let removed = match fs::remove_file(&temporary.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let create = |()| File::options().write(true).create_new(true).open(&temporary.path);
        let file = removed.and_then(create).map_err(|source| file_error(target, source))?;
        Ok((file, temporary))
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// The bytes reach the disk before the name does, and the name before this returns.
    pub(super) fn keep(self, file: &File) -> Result<(), FolderError> {
        let failed = |source| file_error(&self.target, source);
        file.sync_all().map_err(failed)?;
        fs::rename(&self.path, &self.target).map_err(failed)?;
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename nothing has this name; after a failure the next backup removes what stays.
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), FolderError> {
    let synced = File::open(dir).and_then(|file| file.sync_all());
    synced.map_err(|source| file_error(dir, source))
}

/// What a failure on a file means.
pub(super) fn file_error(path: &Path, source: io::Error) -> FolderError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => FolderError::Missing(path),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => FolderError::ReadOnly(path),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FolderError::DiskFull(path),
        _ => FolderError::Io { path, source },
    }
}
