//! Restoring a repository from a backup.
//!
//! Everything that is needed is read and checked before anything is made. The repository is put together beside its place,
//! without waiting for the disk, and gets its name when it is whole and on the disk. A process that is killed leaves a
//! folder that the next one clears away; where the repository goes, there is nothing or all of it.

use super::{
    FolderError, RestoreBackupError, SETTING_INSTANCE, Snapshot,
    folder::{Folder, sync_dir},
    manifest::SnapshotManifest,
    new_instance,
    segment::SegmentReader,
    sequence::{self, LoggedBlock, Sequence, Wrong},
    survey::{Checks, Series, Survey, check_presence, read_all, settle},
};
use crate::{
    backend::{BackendError, ChunkRef, NewContent, PayloadInfo, StagingId, StoredChunk, WriteBatch},
    bulk::{BulkBackend, NoteKind},
    log::{LogAppender, LogReader},
    pack,
    plain_file::open_lock,
    record::{Decoder, Kind, ListPart, RecordError},
    sqlite::{Options, SqliteBackend, repair::learn_marks},
};
use crossbeam_channel::{Sender, bounded};
use pakit_primitives::Head;
use std::{
    fs::{self, File, TryLockError},
    io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

/// Bytes of chunks in one batch, of which one is committed while the next is read.
const BATCH_BYTES: usize = 16 << 20;
/// Chunks or blocks in one batch. Tests see what happens at the boundaries.
const BATCH_ROWS: usize = if cfg!(test) { 3 } else { 8_192 };
/// Named by the process that restores, and held locked by it.
const LOCK: &str = "restoring.lock";
/// Files that a restore that was killed may have left.
const LEFT_OVER: [&str; 11] = [
    LOCK,
    "lock",
    "pakit.db",
    "pakit.db-wal",
    "pakit.db-shm",
    "pakit.db-journal",
    "pakit.db.new",
    "pakit.db.new-wal",
    "pakit.db.new-shm",
    "pakit.db.new-journal",
    pack::FOLDER,
];

/// Which state of the repository is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum At {
    /// That of the newest snapshot.
    #[default]
    Newest,
    /// That of the newest snapshot that was begun at this time or earlier; Unix milliseconds.
    Time(u64),
    /// The log when it had this many blocks, with the payloads that the oldest snapshot has which holds so many.
    Size(u64),
}

/// What was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The snapshot that it came from.
    pub snapshot: Snapshot,
    /// The head of the restored log.
    pub head: Head,
    /// Contents that blocks name and that were not kept at that time.
    pub absent: u64,
    /// Blocks that an anchor covers beyond the restored log, as far as the repository had seen: it cannot be anchored to that
    /// DAG again.
    pub anchored_beyond: Option<u64>,
}

/// Restores the repository at `target`, which is not there or an empty folder. `progress` is told of (bytes done, bytes in
/// all), about; each byte counts when it is checked and again when it is restored.
pub fn restore(
    dir: &Path,
    at: At,
    target: &Path,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreBackupError> {
    refuse_target(target)?;
    let source = Source::find(dir, at)?;
    let survey = source.survey(progress)?;
    let workplace = Workplace::take(target)?;
    let backend = SqliteBackend::create_to_fill(&workplace.dir, options)?;
    let restored = source.recover(&backend, &survey, progress)?;
    // What was forgotten and pinned follows from the audit blocks in the log.
    let backend = Arc::new(backend);
    learn_marks(&backend, true)?;
    let in_use = || BackendError::Locked(workplace.dir.clone());
    Arc::into_inner(backend).ok_or_else(in_use)?.filled(options)?;
    workplace.finish(target)?;
    Ok(restored)
}

/// Restores into an empty backend of whatever kind: all but the marks that decisions about removal left, which [`restore`] makes
/// anew from the audit blocks.
pub fn restore_into(
    dir: &Path,
    at: At,
    backend: &dyn BulkBackend,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreBackupError> {
    let source = Source::find(dir, at)?;
    let survey = source.survey(progress)?;
    source.recover(backend, &survey, progress)
}

/// A snapshot that was chosen, and how much of it.
struct Source {
    folder: Folder,
    manifest: SnapshotManifest,
    size: u64,
}

impl Source {
    fn find(dir: &Path, at: At) -> Result<Self, RestoreBackupError> {
        let folder = Folder::open(dir)?;
        let manifests = folder.manifests()?;
        let none = || RestoreBackupError::NoSnapshot(dir.to_owned());
        let largest = manifests.iter().map(|manifest| manifest.size).max().ok_or_else(none)?;
        let found = match at {
            At::Newest => manifests.into_iter().next_back(),
            At::Time(time_ms) => manifests.into_iter().rfind(|manifest| manifest.time_ms <= time_ms),
            At::Size(size) => {
                let reached = manifests.into_iter().find(|manifest| manifest.size >= size && size > 0);
                Some(reached.ok_or(RestoreBackupError::NotReached { size, largest })?)
            }
        };
        let manifest = found.ok_or_else(none)?;
        let size = match at {
            At::Size(size) => size,
            At::Newest | At::Time(_) => manifest.size,
        };
        Ok(Self { folder, manifest, size })
    }

    fn survey(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Survey, FolderError> {
        check_presence(&self.folder, &self.manifest)?;
        let (mut done, total) = (0, self.manifest.bytes.saturating_mul(2));
        let mut tell = |bytes: u64| {
            done += bytes;
            progress(done.min(total), total);
        };
        let mut survey = read_all(&self.folder, &self.manifest, self.size, &Checks::default(), &mut tell)?;
        settle(&self.folder, &self.manifest, &mut survey)?;
        Ok(survey)
    }

    fn recover(
        &self,
        backend: &dyn BulkBackend,
        survey: &Survey,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Restored, RestoreBackupError> {
        let log = LogAppender::resume(backend)?;
        let (read, committed) = thread::scope(|scope| {
            // Without room in between: what waits is the one that is being read.
            let (batches, to_commit) = bounded::<WriteBatch>(0);
            let commit = move || to_commit.into_iter().try_for_each(|batch| backend.commit(batch));
            let committing = scope.spawn(commit);
            let recovery = Recovery {
                backend,
                survey,
                size: self.size,
                log,
                batch: WriteBatch::default(),
                batch_bytes: 0,
                batches,
                sequence: Sequence::default(),
                open_list: None,
                lists_begun: 0,
                anchored: 0,
            };
            let read = self.read(recovery, progress);
            (read, committing.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        // First, since it is why nobody took what was read.
        committed?;
        let (log_head, anchored) = read?;
        backend.set_setting(SETTING_INSTANCE, &new_instance())?;
        let head = LogReader::new(backend).head_at(self.size)?;
        let is_expected = self.size != self.manifest.size || head.root == self.manifest.root();
        if log_head != Some(head) || !is_expected {
            return Err(RestoreBackupError::WrongHead);
        }
        let anchored_beyond = Some(anchored).filter(|anchored| *anchored > self.size);
        Ok(Restored { snapshot: (&self.manifest).into(), head, absent: survey.absent.len(), anchored_beyond })
    }

    /// Reads all that is needed, and hands it on to be committed. Gives the head of the log that was read, and the largest log that
    /// its bindings have seen.
    fn read(
        &self,
        mut recovery: Recovery<'_>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Option<Head>, u64), RestoreBackupError> {
        let (mut done, total) = (self.manifest.bytes, self.manifest.bytes.saturating_mul(2));
        let mut series = Series::of(&self.folder, &self.manifest);
        while let Some(mut reader) = series.open_next()? {
            while let Some((kind, body)) = reader.next()? {
                recovery.record(kind, &body, &reader)?;
                done += body.len() as u64;
                progress(done.min(total), total);
            }
            series.ended(reader.finish()?);
        }
        recovery.give_up_list();
        recovery.commit()?;
        Ok((recovery.log.head(), recovery.anchored))
    }
}

/// A list whose parts are coming.
struct OpenList {
    staging: StagingId,
    offset: u64,
    stored_size: u64,
    is_staged: bool,
}

struct Recovery<'a> {
    backend: &'a dyn BulkBackend,
    survey: &'a Survey,
    size: u64,
    log: LogAppender,
    batch: WriteBatch,
    batch_bytes: usize,
    /// To the thread that commits.
    batches: Sender<WriteBatch>,
    sequence: Sequence,
    open_list: Option<OpenList>,
    /// A name for each: the same list may begin anew.
    lists_begun: u64,
    /// The largest log that the bindings have seen on a chain.
    anchored: u64,
}

impl Recovery<'_> {
    fn record(&mut self, kind: Kind, body: &[u8], reader: &SegmentReader) -> Result<(), RestoreBackupError> {
        match kind {
            Kind::Chunks => self.chunks(body, reader),
            Kind::List => {
                let part = self.sequence.list(body).map_err(|source| reader.damaged(source))?;
                self.list(part)
            }
            Kind::Blocks => self.blocks(body, reader),
            Kind::Settings => {
                let set = |key: &str, value: &[u8]| {
                    self.backend.set_setting(key, value).map_err(|error| Wrong::Reader(error.into()))
                };
                sequence::settings(body, set).map_err(|wrong| wrong.in_file(reader))
            }
            Kind::Notes => self.notes(body, reader),
            Kind::Marks | Kind::Absent => Ok(()),
        }
    }

    fn chunks(&mut self, body: &[u8], reader: &SegmentReader) -> Result<(), RestoreBackupError> {
        let survey = self.survey;
        let is_needed = |number| {
            survey.parts.contains(number) || (survey.contents.contains(number) && !survey.absent.contains(number))
        };
        let (batch, batch_bytes) = (&mut self.batch, &mut self.batch_bytes);
        let read = sequence::chunks::<RecordError>(body, |entry| {
            if is_needed(entry.number) {
                *batch_bytes += entry.bytes.len();
                batch.chunks.push(StoredChunk {
                    chunk_hash: entry.chunk_hash,
                    compression: entry.compression,
                    original_size: entry.original_size,
                    bytes: entry.bytes.to_vec(),
                });
            }
            Ok(())
        });
        read.map_err(|source| reader.damaged(source))?;
        if self.batch_bytes >= BATCH_BYTES || self.batch.chunks.len() >= BATCH_ROWS {
            self.commit()?;
        }
        Ok(())
    }

    fn list(&mut self, part: ListPart) -> Result<(), RestoreBackupError> {
        if !self.survey.contents.contains(part.number) || self.survey.absent.contains(part.number) {
            return Ok(());
        }
        if part.is_first {
            self.give_up_list();
        }
        let begun = &mut self.lists_begun;
        let mut list = self.open_list.take().unwrap_or_else(|| {
            *begun += 1;
            OpenList { staging: StagingId(*begun), offset: 0, stored_size: 0, is_staged: false }
        });
        let mut refs = Vec::with_capacity(part.chunks.len());
        for chunk in &part.chunks {
            refs.push(ChunkRef {
                offset: list.offset,
                chunk_hash: chunk.chunk_hash,
                original_size: chunk.original_size,
            });
            list.offset += u64::from(chunk.original_size);
            list.stored_size += *self.survey.repeated.get(&chunk.number).unwrap_or(&chunk.stored_size);
        }
        if !part.is_last {
            self.batch.staged.push((list.staging, refs));
            list.is_staged = true;
            self.open_list = Some(list);
            return self.commit();
        }
        let info = PayloadInfo {
            original_size: part.original_size,
            stored_size: list.stored_size,
            compression: part.compression,
            is_kept: true,
        };
        let staged = list.is_staged.then_some(list.staging);
        self.batch.contents.push(NewContent { content_hash: part.content_hash, info, staged, chunks: refs });
        if self.batch.contents.len() >= BATCH_ROWS {
            self.commit()?;
        }
        Ok(())
    }

    /// The rest of a list never came.
    fn give_up_list(&mut self) {
        let left = self.open_list.take().filter(|open| open.is_staged);
        self.batch.abandoned.extend(left.map(|open| open.staging));
    }

    fn blocks(&mut self, body: &[u8], reader: &SegmentReader) -> Result<(), RestoreBackupError> {
        let mut sequence = std::mem::take(&mut self.sequence);
        let read = sequence.blocks(body, |logged| self.block(logged).map_err(Wrong::Reader));
        self.sequence = sequence;
        read.map_err(|wrong| wrong.in_file(reader))
    }

    fn block(&mut self, logged: LoggedBlock<'_>) -> Result<(), RestoreBackupError> {
        let LoggedBlock { block, payload, is_audit, map } = logged;
        if block.leaf_index() >= self.size {
            return Ok(());
        }
        self.batch.metadata.extend(map.map(|(hash, map)| (hash, map.to_vec())));
        // One that was removed and put again comes behind its block, and then takes the place of what is missing.
        if self.survey.absent.contains(payload) || self.survey.late.contains(payload) {
            let header = block.header();
            self.batch.absent.push((header.content_hash, header.original_size));
        }
        self.log.append(&block, &mut self.batch.log_nodes)?;
        if is_audit {
            self.batch.audits.push(block.leaf_index());
        }
        self.batch.blocks.push(block);
        if self.batch.blocks.len() >= BATCH_ROWS {
            self.commit()?;
        }
        Ok(())
    }

    /// Bindings stay as they were: what the chain holds is known also where the log ends before it. Extrinsics for a longer log
    /// than the restored one are of no use to it.
    fn notes(&mut self, body: &[u8], reader: &SegmentReader) -> Result<(), RestoreBackupError> {
        let mut from = Decoder::new(body);
        let mut notes = Vec::new();
        while !from.is_empty() {
            let note = from.note().map_err(|source| reader.damaged(source))?;
            if note.kind == NoteKind::Binding {
                self.anchored = self.anchored.max(note.size);
            }
            if note.kind == NoteKind::Binding || note.size <= self.size {
                notes.push(note);
            }
        }
        Ok(self.backend.keep_notes(&notes)?)
    }

    fn commit(&mut self) -> Result<(), RestoreBackupError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        match batch.is_empty() || self.batches.send(batch).is_ok() {
            true => Ok(()),
            // A batch before it was refused, and that is told.
            false => Err(BackendError::BatchMisfit("the one before it was not committed").into()),
        }
    }
}

/// Refuses to restore over anything.
fn refuse_target(target: &Path) -> Result<(), RestoreBackupError> {
    let taken = || RestoreBackupError::TargetNotEmpty(target.to_owned());
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(taken()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(target) {
            // A link to nowhere.
            Ok(_) => Err(taken()),
            Err(_) => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(taken()),
        Err(source) => Err(RestoreBackupError::Io { path: target.to_owned(), source }),
    }
}

fn remove_left_over(dir: &Path, name: &str) -> io::Result<()> {
    let path = dir.join(name);
    if name == pack::FOLDER { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
}

/// Whether a folder is what an earlier restore left, and nobody's repository that has this name: nothing is in it, or the lock of a
/// restore, which is made first and removed last, and nothing that a restore does not make. Not through a symlink.
fn is_left_over(dir: &Path) -> io::Result<bool> {
    if !dir.symlink_metadata()?.is_dir() {
        return Ok(false);
    }
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let is_of_a_restore = names.iter().any(|name| name == LOCK);
    Ok(names.is_empty() || is_of_a_restore && names.iter().all(|name| LEFT_OVER.iter().any(|known| name == *known)))
}

/// The folder beside the target in which the repository is put together.
struct Workplace {
    dir: PathBuf,
    _lock: File,
    has_moved: bool,
}

impl Drop for Workplace {
    /// A restore that failed gives its room back, above all where the disk is full. What stays, the next one removes.
    fn drop(&mut self) {
        if !self.has_moved {
            LEFT_OVER.iter().rev().for_each(|name| drop(remove_left_over(&self.dir, name)));
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

impl Workplace {
    fn take(target: &Path) -> Result<Self, RestoreBackupError> {
        let failed = |path: &Path, source| RestoreBackupError::Io { path: path.to_owned(), source };
        // A path that ends in `/` or `.` has no name to put something behind.
        let target: PathBuf = target.components().collect();
        let mut dir = target.as_os_str().to_owned();
        dir.push(".restoring");
        let dir = PathBuf::from(dir);
        if let Some(above) = dir.parent() {
            fs::create_dir_all(above).map_err(|source| failed(above, source))?;
        }
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_left_over = is_left_over(&dir).map_err(|source| failed(&dir, source))?;
                if !is_left_over {
                    return Err(RestoreBackupError::Workplace(dir));
                }
            }
            made => made.map_err(|source| failed(&dir, source))?,
        }
        let path = dir.join(LOCK);
        let lock = open_lock(&path).map_err(|source| failed(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RestoreBackupError::Busy(target)),
            Err(TryLockError::Error(source)) => return Err(failed(&path, source)),
        }
        for name in LEFT_OVER.iter().filter(|name| **name != LOCK) {
            match remove_left_over(&dir, name) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&dir.join(name), source));
                }
                _ => {}
            }
        }
        Ok(Self { dir, _lock: lock, has_moved: false })
    }

    /// Puts everything on the disk, then gives it its name.
    fn finish(mut self, target: &Path) -> Result<(), RestoreBackupError> {
        let failed = |path: &Path, source| RestoreBackupError::Io { path: path.to_owned(), source };
        let database = self.dir.join("pakit.db");
        let synced = File::options().read(true).write(true).open(&database).and_then(|file| file.sync_all());
        synced.map_err(|source| failed(&database, source))?;
        pack::sync_all(&self.dir).map_err(|source| failed(&self.dir.join(pack::FOLDER), source))?;
        sync_dir(&self.dir)?;
        // Replaces an empty folder and nothing else.
        fs::rename(&self.dir, target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                RestoreBackupError::TargetNotEmpty(target.to_owned())
            }
            _ => failed(target, source),
        })?;
        self.has_moved = true;
        // Whoever looked for the place meanwhile finds a repository there.
        let _ = fs::remove_file(target.join(LOCK));
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(sync_dir(parent)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_restore_that_fails_gives_back_all_of_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let workplace = Workplace::take(&target).unwrap();
        fs::create_dir(workplace.dir.join(pack::FOLDER)).unwrap();
        for name in ["pakit.db", "pakit.db-wal", "packs/00000001.pack"] {
            fs::write(workplace.dir.join(name), "something").unwrap();
        }
        drop(workplace);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // One that was killed leaves it to the next.
        let mut killed = Workplace::take(&target).unwrap();
        fs::create_dir(killed.dir.join(pack::FOLDER)).unwrap();
        fs::write(killed.dir.join("packs/00000001.pack"), "something").unwrap();
        killed.has_moved = true;
        drop(killed);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(Workplace::take(&target).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_repository_that_has_the_name_of_the_workplace_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("target"), folder.path().join("target.restoring"));
        let refused = || matches!(Workplace::take(&target), Err(RestoreBackupError::Workplace(dir)) if dir == other);
        let repository = folder.path().join("repository");
        SqliteBackend::create(&repository, &Options::default()).unwrap();
        std::os::unix::fs::symlink(&repository, &other).unwrap();
        assert!(refused());
        fs::remove_file(&other).unwrap();
        fs::rename(&repository, &other).unwrap();
        assert!(refused());
        SqliteBackend::open(&other, crate::sqlite::Access::Write, &Options::default()).unwrap();
    }
}
