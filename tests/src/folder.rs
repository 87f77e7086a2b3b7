//! Folders: what two of them must have in common to be the same.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

/// All that is kept of an entry, but a file's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// File type and permission bits.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// A file's size, a symlink's target.
    pub content: Content,
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A folder: its entries are described by themselves.
    Folder,
    /// A file of this many bytes.
    File(u64),
    /// A symlink to there.
    Symlink(PathBuf),
}

fn mtime_ns(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// All entries of a folder, by their paths in it; the folder itself is not among them.
pub fn describe(folder: &Path) -> BTreeMap<PathBuf, Described> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).unwrap_or_else(|error| panic!("{}: {error}", inner.display())) {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                Content::Folder
            } else if metadata.is_symlink() {
                Content::Symlink(fs::read_link(&path).unwrap())
            } else {
                Content::File(metadata.len())
            };
            let described = Described { mode: metadata.mode(), mtime_ns: mtime_ns(&metadata), content };
            found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), described);
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// How many of the entries are files.
pub fn count_files(entries: &BTreeMap<PathBuf, Described>) -> usize {
    entries.values().filter(|entry| matches!(entry.content, Content::File(_))).count()
}

/// Fails unless both folders hold the same entries with the same modes, times, link targets and bytes.
#[track_caller]
pub fn assert_same(left: &Path, right: &Path) {
    let (left_entries, right_entries) = (describe(left), describe(right));
    let missing: Vec<_> = left_entries.keys().filter(|path| !right_entries.contains_key(*path)).take(10).collect();
    assert!(missing.is_empty(), "not in {}: {missing:?}", right.display());
    let added: Vec<_> = right_entries.keys().filter(|path| !left_entries.contains_key(*path)).take(10).collect();
    assert!(added.is_empty(), "only in {}: {added:?}", right.display());
    for (path, entry) in &left_entries {
        assert_eq!(*entry, right_entries[path], "{}", path.display());
        if matches!(entry.content, Content::File(_)) {
            let is_same = same_bytes(&left.join(path), &right.join(path)).unwrap();
            assert!(is_same, "other bytes in {:?}", path.as_os_str().as_bytes().escape_ascii().to_string());
        }
    }
}

/// Whether two files have the same bytes.
pub fn same_bytes(left: &Path, right: &Path) -> io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    let (mut left_piece, mut right_piece) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    loop {
        left_piece.clear();
        right_piece.clear();
        (&mut left).take(PIECE as u64).read_to_end(&mut left_piece)?;
        (&mut right).take(PIECE as u64).read_to_end(&mut right_piece)?;
        if left_piece != right_piece {
            return Ok(false);
        }
        if left_piece.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Two folders that are the same, until `change` has seen the second one.
    fn compare(change: impl FnOnce(&Path)) {
        let scratch = tempfile::tempdir().unwrap();
        let (left, right) = (scratch.path().join("left"), scratch.path().join("right"));
        fs::create_dir_all(left.join("inner")).unwrap();
        fs::write(left.join("inner/file"), "1234").unwrap();
        symlink("inner/file", left.join("link")).unwrap();
        let status = std::process::Command::new("cp").arg("-a").args([&left, &right]).status().unwrap();
        assert!(status.success());
        change(&right);
        assert_same(&left, &right);
    }

    fn keep_time(path: &Path, change: impl FnOnce()) {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        change();
        File::open(path).unwrap().set_modified(modified).unwrap();
    }

    #[test]
    fn a_copy_is_the_same() {
        compare(|_| ());
    }

    #[test]
    #[should_panic(expected = "other bytes")]
    fn one_byte_makes_a_difference() {
        compare(|right| {
            let file = right.join("inner/file");
            keep_time(&file, || fs::write(&file, "1235").unwrap());
        });
    }

    #[test]
    #[should_panic(expected = "mode")]
    fn one_permission_bit_makes_a_difference() {
        compare(|right| fs::set_permissions(right.join("inner/file"), fs::Permissions::from_mode(0o601)).unwrap());
    }

    #[test]
    #[should_panic(expected = "mtime_ns")]
    fn one_nanosecond_makes_a_difference() {
        compare(|right| {
            let file = File::open(right.join("inner/file")).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified + std::time::Duration::from_nanos(1)).unwrap();
        });
    }

    #[test]
    #[should_panic(expected = "only in")]
    fn another_entry_makes_a_difference() {
        compare(|right| keep_time(right, || fs::write(right.join("more"), "").unwrap()));
    }

    #[test]
    #[should_panic(expected = "not in")]
    fn a_missing_entry_makes_a_difference() {
        compare(|right| fs::remove_file(right.join("link")).unwrap());
    }
}
