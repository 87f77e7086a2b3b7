//! The records of a journal. The layer writes them, and the crate around it, which does not link the layer, reads them.

/// What a record tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(unreachable_pub, reason = "the crate around the layer shows it")]
pub enum Kind {
    /// A file was made: inode, path.
    Create = 1,
    /// Bytes were written: inode, offset, data.
    Write = 2,
    /// A file was cut or extended: inode; the offset is its length now.
    SetLength = 3,
    /// A file was synced: inode.
    Sync = 4,
    /// A sync of a file failed: inode.
    SyncFailed = 5,
    /// A folder was synced: path.
    SyncFolder = 6,
    /// A file's name was removed: path.
    Remove = 7,
    /// A name was changed: from the path to the path in the data.
    Rename = 8,
    /// A folder was made: path.
    CreateFolder = 9,
    /// A folder was removed: path.
    RemoveFolder = 10,
    /// The data was said on standard output.
    Said = 11,
    /// Something was read: inode.
    Read = 12,
    /// Something was changed by a call that has no record: path. The journal cannot be followed further.
    Unknown = 13,
}

/// Bytes of a record before its path and its data: kind, inode, offset, lengths of path and of data, little endian.
pub(crate) const HEAD_BYTES: usize = 1 + 8 + 8 + 4 + 4;
