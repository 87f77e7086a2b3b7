//! Reading what is to be put: files, folders depth first, and streams, cut into chunks.
//!
//! The walk is a plain sequence of [`Step`]s. It never follows a symlink within a folder, never opens what is not a file,
//! and reports what it cannot read as a step of its own, so that the rest goes on.

use crate::{
    chunk::Chunks,
    plain_file::{Links, OpenError, open_with},
};
use pakit_primitives::ContentHash;
use rustix::{buffer::spare_capacity, io::Errno};
use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

/// Permission bits that a listing keeps of `st_mode`.
const MODE_BITS: u32 = 0o7777;

/// Something to be put.
pub enum Source {
    /// A file, a folder, or a symlink to one.
    Path(PathBuf),
    /// A stream under a name of the caller's.
    Stream(PathBuf, Box<dyn Read + Send>),
    /// A content in memory under a name of the caller's.
    Bytes(PathBuf, Vec<u8>),
}

/// Why an item could not be read. Other items are not concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The system refused: no such file, no permission, a loop of symlinks, a failing disk.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file was written to, or replaced, while it was read.
    #[error("changed while it was read; put it again")]
    Changed,
    /// A file that nobody changed and that gives another number of bytes than it says that it has, as those of /proc and /sys do: the
    /// system makes its content up while it is read, and twice in a row it need not be the same.
    #[error(
        "says that it has {said} bytes and gives {}: it is no ordinary file, and its content is made up while it is read; to keep what \
         it gives now, run `pakit put - < FILE`",
        if .read > .said { "more" } else { "fewer" }
    )]
    OtherLength {
        /// Bytes that the system says it has.
        said: u64,
        /// Bytes that were read before it ended, or before they were too many.
        read: u64,
    },
    /// The repository itself, or one of its files: it would grow while it is read, and to open and close a database's file
    /// gives up the locks that this process holds on it.
    #[error("belongs to the repository that it would be put into")]
    Repository,
    /// A device, socket or named pipe.
    #[error("is neither a file nor a folder nor a symlink")]
    NotStorable,
    /// A content of 2^53 bytes or more, which no header can state.
    #[error("is larger than a block can state")]
    TooLarge,
    /// A folder that cannot be listed: too many entries or a name or target that a listing refuses.
    #[error("{0}")]
    Tree(#[from] crate::tree::TreeError),
}

/// Where an item stands and what its folder's listing says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The path as it was given, and joined below it.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Place {
    fn new(path: PathBuf, metadata: &Metadata) -> Self {
        let mtime_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let clamped = mtime_ns.clamp(i64::MIN.into(), i64::MAX.into());
        // Clamped to the range just now. Times beyond the year 2262 are kept as its end.
        let mtime_ns = i64::try_from(clamped).unwrap_or(i64::MAX);
        Self { path, mode: metadata.mode() & MODE_BITS, mtime_ns }
    }

    /// The name in the listing.
    pub fn name(&self) -> Vec<u8> {
        self.path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default()
    }
}

/// One step of the walk. `C` is what becomes of a chunk.
#[derive(Debug)]
pub enum Step<C> {
    /// The next chunk of the content that is being read.
    Chunk(C),
    /// The content is complete. The hash of a content of several chunks; one chunk has the content's hash itself.
    Content {
        /// Where it stands.
        place: Place,
        /// BLAKE3 of the whole.
        content_hash: Option<ContentHash>,
    },
    /// The content, if any, and the item are given up.
    Failed {
        /// The item.
        path: PathBuf,
        /// What is wrong with it.
        error: SourceError,
    },
    /// A folder's entries follow.
    EnterFolder,
    /// The folder's entries are complete.
    LeaveFolder(Place),
    /// A symlink within a folder.
    Symlink {
        /// Where it stands.
        place: Place,
        /// Where it points.
        target: Vec<u8>,
    },
}

/// What the walk does with its steps. `false` says that nobody wants more.
pub trait Sink {
    /// What becomes of a chunk.
    type Chunk;

    /// Takes a chunk's bytes; `hash_follows` is false where the chunk is the whole content.
    fn chunk(&mut self, bytes: Vec<u8>) -> bool;

    /// Takes any other step.
    fn step(&mut self, step: Step<Self::Chunk>) -> bool;

    /// Hands on what is held back: the next step may be long in coming, or was the last.
    fn flush(&mut self) -> bool;
}

/// Walks sources in the order given.
pub struct Walk<'a, S> {
    sink: S,
    chunk_bytes: u32,
    /// The repository's folder and its files, by device and inode: a folder that holds it is put without it.
    excluded: HashSet<(u64, u64)>,
    bytes_read: &'a std::sync::atomic::AtomicU64,
}

struct Frame {
    place: Place,
    names: std::vec::IntoIter<OsString>,
}

/// What tells a file from all others, whatever it is called.
fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Nobody wants more.
struct Stopped;

impl<'a, S: Sink> Walk<'a, S> {
    /// A walk that cuts content into chunks of `chunk_bytes` on average and leaves the folder `excluded` out.
    pub fn new(
        sink: S,
        chunk_bytes: u32,
        excluded: Option<&Path>,
        bytes_read: &'a std::sync::atomic::AtomicU64,
    ) -> Self {
        let mut ids = HashSet::new();
        if let Some(folder) = excluded {
            let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            ids.extend(
                files.chain([folder.to_owned()]).filter_map(|path| fs::metadata(path).ok()).map(|found| id(&found)),
            );
        }
        let excluded = ids;
        Self { sink, chunk_bytes, excluded, bytes_read }
    }

    /// Walks until all sources are read or the sink wants no more.
    pub fn run(mut self, sources: Vec<Source>) {
        for source in sources {
            let walked = match source {
                Source::Path(path) => self.walk_path(path),
                Source::Stream(name, reader) => match self.sink.flush() {
                    true => self.read_stream(name, reader),
                    false => return,
                },
                Source::Bytes(name, bytes) => {
                    let chunks = Chunks::begun(bytes, io::empty(), self.chunk_bytes);
                    self.send_stream(name, chunks)
                }
            };
            if walked.is_err() {
                return;
            }
        }
        self.sink.flush();
    }

    fn step(&mut self, step: Step<S::Chunk>) -> Result<(), Stopped> {
        if self.sink.step(step) { Ok(()) } else { Err(Stopped) }
    }

    fn failed(&mut self, path: PathBuf, error: impl Into<SourceError>) -> Result<(), Stopped> {
        self.step(Step::Failed { path, error: error.into() })
    }

    /// A path that the caller named: a symlink stands for what it points to.
    fn walk_path(&mut self, path: PathBuf) -> Result<(), Stopped> {
        match fs::metadata(&path) {
            Err(error) => self.failed(path, error),
            Ok(metadata) if self.excluded.contains(&id(&metadata)) => self.failed(path, SourceError::Repository),
            Ok(metadata) if metadata.is_dir() => self.walk_folder(Place::new(path, &metadata)),
            Ok(metadata) if metadata.is_file() => self.read_file(path, Links::Followed),
            Ok(_) => self.failed(path, SourceError::NotStorable),
        }
    }

    /// Depth first, without recursion: a deep folder costs memory, not stack.
    fn walk_folder(&mut self, place: Place) -> Result<(), Stopped> {
        let mut frames = Vec::new();
        self.enter(place, &mut frames)?;
        while let Some(frame) = frames.last_mut() {
            let Some(name) = frame.names.next() else {
                if let Some(frame) = frames.pop() {
                    self.step(Step::LeaveFolder(frame.place))?;
                }
                continue;
            };
            let path = frame.place.path.join(name);
            match fs::symlink_metadata(&path) {
                Err(error) => self.failed(path, error)?,
                Ok(metadata) if metadata.is_dir() => {
                    if !self.excluded.contains(&id(&metadata)) {
                        self.enter(Place::new(path, &metadata), &mut frames)?;
                    }
                }
                // A hard link to a file of the repository.
                Ok(metadata) if self.excluded.contains(&id(&metadata)) => self.failed(path, SourceError::Repository)?,
                Ok(metadata) if metadata.is_file() => self.read_file(path, Links::Refused)?,
                Ok(metadata) if metadata.is_symlink() => match fs::read_link(&path) {
                    Err(error) => self.failed(path, error)?,
                    Ok(target) => {
                        let target = target.into_os_string().into_vec();
                        self.step(Step::Symlink { place: Place::new(path, &metadata), target })?;
                    }
                },
                Ok(_) => self.failed(path, SourceError::NotStorable)?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, place: Place, frames: &mut Vec<Frame>) -> Result<(), Stopped> {
        let names = fs::read_dir(&place.path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>());
        match names {
            Err(error) => self.failed(place.path, error),
            Ok(mut names) => {
                // The order of a listing: by the names' bytes.
                names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
                self.step(Step::EnterFolder)?;
                frames.push(Frame { place, names: names.into_iter() });
                Ok(())
            }
        }
    }

    fn read_file(&mut self, path: PathBuf, links: Links) -> Result<(), Stopped> {
        match self.try_read_file(&path, links)? {
            Ok((place, content_hash)) => self.step(Step::Content { place, content_hash }),
            Err(error) => self.failed(path, error),
        }
    }

    /// The outer result is whether somebody still listens, the inner one whether the file could be read.
    fn try_read_file(
        &mut self,
        path: &Path,
        links: Links,
    ) -> Result<Result<(Place, Option<ContentHash>), SourceError>, Stopped> {
        // What was a file a moment ago may be something else now.
        let (file, before) = match open_with(File::options().read(true), path, links) {
            Ok(opened) => opened,
            Err(OpenError::NotAFile(_)) => return Ok(Err(SourceError::NotStorable)),
            Err(OpenError::Io(error)) => return Ok(Err(error.into())),
        };
        let start = match read_start(&file, before.len(), self.chunk_bytes) {
            Ok(start) => start,
            Err(error) => return Ok(Err(error.into())),
        };
        let read = start.len() as u64;
        let is_all = start.len() <= self.chunk_bytes as usize;
        if read > before.len() || (is_all && read < before.len()) {
            // Given up before a chunk of it is on its way.
            return Ok(as_it_was(&file, &before, read).map(|after| (Place::new(path.to_owned(), &after), None)));
        }
        // A byte more than it says is as good as all of them: it has changed, or is endless.
        let left = before.len().saturating_add(1).saturating_sub(read);
        let (size, content_hash) = match self.send(Chunks::begun(start, (&file).take(left), self.chunk_bytes))? {
            Ok(sent) => sent,
            Err(error) => return Ok(Err(error)),
        };
        let after = as_it_was(&file, &before, size);
        Ok(after.map(|after| (Place::new(path.to_owned(), &after), content_hash)))
    }

    fn read_stream(&mut self, path: PathBuf, reader: impl Read) -> Result<(), Stopped> {
        match Chunks::new(reader, self.chunk_bytes) {
            Ok(chunks) => self.send_stream(path, chunks),
            Err(error) => self.failed(path, error),
        }
    }

    fn send_stream(&mut self, path: PathBuf, chunks: Chunks<impl Read>) -> Result<(), Stopped> {
        match self.send(chunks)? {
            Ok((_, content_hash)) => {
                self.step(Step::Content { place: Place { path, mode: 0o644, mtime_ns: 0 }, content_hash })
            }
            Err(error) => self.failed(path, error),
        }
    }

    /// Sends the chunks; gives the size and, for several chunks, the hash of the whole.
    fn send(&mut self, chunks: Chunks<impl Read>) -> Result<Result<(u64, Option<ContentHash>), SourceError>, Stopped> {
        let mut whole = (!chunks.is_whole()).then(blake3::Hasher::new);
        let mut size = 0u64;
        for chunk in chunks {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return Ok(Err(error.into())),
            };
            size += chunk.len() as u64;
            if size >= pakit_primitives::header::SIZE_LIMIT {
                return Ok(Err(SourceError::TooLarge));
            }
            if let Some(whole) = &mut whole {
                whole.update(&chunk);
            }
            self.bytes_read.fetch_add(chunk.len() as u64, std::sync::atomic::Ordering::Relaxed);
            if !self.sink.chunk(chunk) {
                return Err(Stopped);
            }
        }
        Ok(Ok((size, whole.map(|whole| ContentHash::new(*whole.finalize().as_bytes())))))
    }
}

/// What the system says of a file of which `size` bytes were read, if nobody changed it meanwhile and that was all of it.
fn as_it_was(file: &File, before: &Metadata, size: u64) -> Result<Metadata, SourceError> {
    let after = file.metadata()?;
    let stamp = |found: &Metadata| (found.len(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
    if stamp(before) != stamp(&after) {
        return Err(SourceError::Changed);
    }
    match after.len() {
        said if said == size => Ok(after),
        said => Err(SourceError::OtherLength { said, read: size }),
    }
}

/// Bytes that a file's start is read on by where it is longer than it says.
const MORE_BYTES: usize = 64 << 10;

/// All of a file, or more than `average` bytes of it: with one call to the system where it is as long as it says.
fn read_start(file: &File, size: u64, average: u32) -> io::Result<Vec<u8>> {
    let average = average as usize;
    let expected = usize::try_from(size).unwrap_or(usize::MAX).min(average);
    // One more than there should be, so that a full buffer means that there is more.
    let mut start = Vec::with_capacity(expected + 1);
    while start.len() <= average {
        start.reserve(if start.len() == start.capacity() { MORE_BYTES } else { 0 });
        let room = start.capacity() - start.len();
        match rustix::io::read(file, spare_capacity(&mut start)) {
            Ok(0) => break,
            // Whoever is told another length in the end knows that the file changed.
            Ok(read) if read < room && start.len() as u64 == size => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(start)
}
