//! The file that an interrupted audit is gone on from: [`StateFile`].

use super::CheckState;
use crate::config::kind_of;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Name and version of the file's format.
const STATE_FORMAT: &str = "pakit-check/1";
/// The file within a repository's folder.
const FILE_NAME: &str = "check.json";
/// The same while it is being written.
const NEW_FILE_NAME: &str = "check.json.new";
/// Longest file that is written or read, in bytes: all problems that are listed, each quoting as much as it may.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why the state of an audit was not read, written or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system does not allow it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What stands there is no file.
    #[error("{} is {what} and not a file; remove it", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// More than any audit writes.
    #[error("{} is longer than the state of a check can be", .0.display())]
    TooLong(PathBuf),
    /// Another version wrote it.
    #[error("{} is of the format {found:?}; this program knows {STATE_FORMAT:?}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it says that it is.
        found: String,
    },
    /// It is no state of an audit.
    #[error("{} is damaged: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It was changed since it was written.
    #[error("{} is damaged: it does not match its checksum", .0.display())]
    WrongChecksum(PathBuf),
}

/// The file with the state of an audit in a repository's folder. Only the audit that holds the writer's lock writes it.
///
/// The checksum tells damage and careless changes. It keeps nobody who may write to the folder from writing what they like, as they
/// may to the repository itself.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    new_path: PathBuf,
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Written<S> {
    format: String,
    /// BLAKE3 of the state's JSON.
    checksum: String,
    state: S,
}

/// What stands in a file of any format.
#[derive(Deserialize)]
struct Tagged {
    format: String,
}

impl StateFile {
    /// The file of the repository in `dir`, which may be there or not.
    pub fn of(dir: &Path) -> Self {
        Self { path: dir.join(FILE_NAME), new_path: dir.join(NEW_FILE_NAME) }
    }

    /// What an interrupted audit left; `None` where there is nothing.
    pub fn read(&self) -> Result<Option<CheckState>, StateError> {
        let Some(bytes) = self.read_bytes()? else { return Ok(None) };
        let malformed = |source| StateError::Malformed { path: self.path.clone(), source };
        let found = serde_json::from_slice::<Tagged>(&bytes).map_err(malformed)?.format;
        if found != STATE_FORMAT {
            return Err(StateError::OtherFormat { path: self.path.clone(), found: super::problem::shortened(found) });
        }
        let written: Written<CheckState> = serde_json::from_slice(&bytes).map_err(malformed)?;
        let state = serde_json::to_vec(&written.state).map_err(malformed)?;
        if written.checksum != checksum(&state) {
            return Err(StateError::WrongChecksum(self.path.clone()));
        }
        Ok(Some(written.state))
    }

    /// Puts a state in the place of the one that is there: all of it or nothing, whenever the process is killed.
    pub fn write(&self, state: &CheckState) -> Result<(), StateError> {
        let malformed = |source| StateError::Malformed { path: self.new_path.clone(), source };
        let checksum = checksum(&serde_json::to_vec(state).map_err(malformed)?);
        let written = Written { format: STATE_FORMAT.to_owned(), checksum, state };
        let bytes = serde_json::to_vec(&written).map_err(malformed)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(StateError::TooLong(self.path.clone()));
        }
        let put = || -> io::Result<()> {
            remove_if_there(&self.new_path)?;
            // What stands there now was not there before: nothing is written through a link.
            let mut file = File::options().write(true).create_new(true).open(&self.new_path)?;
            file.write_all(&bytes)?;
            // Else a power cut may leave the name and not the bytes.
            file.sync_all()?;
            fs::rename(&self.new_path, &self.path)
        };
        put().map_err(|source| StateError::Io { path: self.path.clone(), source })
    }

    /// Takes the file away, if it is there.
    pub fn remove(&self) -> Result<(), StateError> {
        for path in [&self.path, &self.new_path] {
            remove_if_there(path).map_err(|source| StateError::Io { path: path.clone(), source })?;
        }
        Ok(())
    }

    fn read_bytes(&self) -> Result<Option<Vec<u8>>, StateError> {
        let io = |source| StateError::Io { path: self.path.clone(), source };
        let not_a_file =
            |metadata: &fs::Metadata| StateError::NotAFile { path: self.path.clone(), what: kind_of(metadata) };
        // A link leads elsewhere, and opening a pipe waits for whoever writes to it.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = match File::options().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(match self.path.symlink_metadata() {
                    Ok(metadata) if !metadata.is_file() => not_a_file(&metadata),
                    _ => io(error),
                });
            }
        };
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(not_a_file(&metadata));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(StateError::TooLong(self.path.clone()));
        }
        Ok(Some(bytes))
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("0x{}", blake3::hash(bytes).to_hex())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
