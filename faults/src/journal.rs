//! What a program did to its files, as the layer wrote it down.

use crate::record::HEAD_BYTES;
pub use crate::record::Kind;
use anyhow::{Context, Result, bail, ensure};
use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// One thing that a program did. Which fields count is said at each [`Kind`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Which file.
    pub inode: u64,
    /// Where in it, or its new length.
    pub offset: u64,
    /// By what name.
    pub path: PathBuf,
    /// The bytes.
    pub data: Vec<u8>,
}

const KINDS: [Kind; 13] = [
    Kind::Create,
    Kind::Write,
    Kind::SetLength,
    Kind::Sync,
    Kind::SyncFailed,
    Kind::SyncFolder,
    Kind::Remove,
    Kind::Rename,
    Kind::CreateFolder,
    Kind::RemoveFolder,
    Kind::Said,
    Kind::Read,
    Kind::Unknown,
];

/// Reads a journal. One that a killed program left ends with a whole record all the same, or with one that is cut, which is
/// left out.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let bytes = fs::read(path).with_context(|| format!("there is no journal {}", path.display()))?;
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while rest.len() >= HEAD_BYTES {
        // All of these places lie within the record's first HEAD_BYTES, of which there are enough; a slice of n bytes is [u8; n].
        let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
        let length = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let Some(kind) = KINDS.into_iter().find(|kind| *kind as u8 == rest[0]) else {
            bail!("{} is no record of a journal", rest[0]);
        };
        let (path_end, end) = (HEAD_BYTES + length(17), HEAD_BYTES + length(17) + length(21));
        if rest.len() < end {
            break;
        }
        ensure!(kind != Kind::Unknown, "a change that the layer has no record for: {:?}", &rest[HEAD_BYTES..path_end]);
        let path = PathBuf::from(OsString::from_vec(rest[HEAD_BYTES..path_end].to_vec()));
        let data = rest[path_end..end].to_vec();
        events.push(Event { kind, inode: number(1), offset: number(9), path, data });
        rest = &rest[end..];
    }
    Ok(events)
}

/// Calls by the classes that the layer knows.
pub fn count(events: &[Event], class: &str) -> u64 {
    let is_of_class = |event: &&Event| match (class, event.kind) {
        ("write", Kind::Write) | ("cut", Kind::SetLength) | ("read", Kind::Read) => true,
        ("sync", Kind::Sync | Kind::SyncFolder) => true,
        ("name", Kind::Create | Kind::Remove | Kind::Rename | Kind::CreateFolder | Kind::RemoveFolder) => true,
        ("change", kind) => !matches!(kind, Kind::Said | Kind::Read),
        _ => false,
    };
    events.iter().filter(is_of_class).count() as u64
}
