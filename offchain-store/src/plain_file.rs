//! Opening files that have to be plain files.
//!
//! Whoever may write to a folder may put there, in the place of a file, a pipe, which keeps whoever opens it waiting for a writer that never
//! comes, or a symlink, through which a file elsewhere would be read, made or cut. So a file is opened without waiting, looked at when it
//! is open, which is when nobody can exchange it any more, and refused by what it is.
//!
//! | who reads | symlinks | pipes |
//! |---|---|---|
//! | locks and packs: [`open_with`] | refused: what is made, cut and moved is what stands in the folder | refused |
//! | settings, backups, documents of a folder: [`open`] | followed: a folder may be put together of links, and nothing is written through them | refused |
//! | what a user named, to be read to its end: [`open_input`] | followed | read, up to the limit that the reader has |

use crate::config::kind_of;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// What becomes of a symlink in a path's last place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Links {
    /// It stands for what it leads to.
    Followed,
    /// It is no file.
    Refused,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else stands there.
    #[error("it is {0} and not a file")]
    NotAFile(&'static str),
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => error,
            refused @ OpenError::NotAFile(_) => Self::other(refused),
        }
    }
}

/// Opens a plain file, or one that a symlink leads to, for reading.
pub(crate) fn open(path: &Path) -> Result<File, OpenError> {
    open_with(File::options().read(true), path, Links::Followed).map(|(file, _)| file)
}

/// What the system says of a plain file, or of one that a symlink leads to, without opening it.
pub(crate) fn metadata(path: &Path) -> Result<Metadata, OpenError> {
    match path.metadata()? {
        metadata if metadata.is_file() => Ok(metadata),
        metadata => Err(OpenError::NotAFile(kind_of(&metadata))),
    }
}

/// Opens a plain file in the way that is asked for. Never waits.
pub(crate) fn open_with(options: &mut OpenOptions, path: &Path, links: Links) -> Result<(File, Metadata), OpenError> {
    let no_follow = if links == Links::Refused { OFlags::NOFOLLOW } else { OFlags::empty() };
    let opened = options.custom_flags(without_waiting(no_follow)).open(path);
    match opened {
        Ok(file) => match file.metadata()? {
            metadata if metadata.is_file() => Ok((file, metadata)),
            metadata => Err(OpenError::NotAFile(kind_of(&metadata))),
        },
        // What cannot even be opened so: a symlink, a folder or a pipe to be written, a socket.
        Err(error) => {
            let found = if links == Links::Refused { path.symlink_metadata() } else { path.metadata() };
            match found {
                Ok(metadata) if !metadata.is_file() => Err(OpenError::NotAFile(kind_of(&metadata))),
                _ => Err(error.into()),
            }
        }
    }
}

/// Opens or makes a file that stands for a lock. A symlink is not followed, or whoever may write to the folder would have us
/// make files elsewhere; what is no file at all is refused.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    match open_with(options.read(true).write(true).create(true).truncate(false), path, Links::Refused) {
        Ok((file, _)) => Ok(file),
        Err(refused @ OpenError::NotAFile(_)) => {
            Err(io::Error::other(format!("{refused}; remove it, it is made anew")))
        }
        Err(OpenError::Io(error)) => Err(error),
    }
}

/// Opens what a user named to be read to its end: a file, or a pipe such as a shell makes of `<(command)`, or a device. To open a pipe that
/// nobody writes to does not wait; it is at its end at once. One that somebody has open is waited for, as standard input is.
pub(crate) fn open_input(path: &Path) -> Result<(File, Metadata), OpenError> {
    let file = File::options().read(true).custom_flags(without_waiting(OFlags::empty())).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(OpenError::NotAFile(kind_of(&metadata)));
    }
    let flags = fcntl_getfl(&file).map_err(io::Error::from)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(io::Error::from)?;
    Ok((file, metadata))
}

/// A terminal that is opened does not become the process's own, either.
fn without_waiting(more: OFlags) -> i32 {
    (OFlags::NONBLOCK | OFlags::NOCTTY | more).bits().cast_signed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::{
        fs,
        io::{Read, Write},
        os::unix::{fs::symlink, net::UnixListener},
        process::Command,
        thread,
    };

    fn pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    fn refused<T: std::fmt::Debug>(opened: Result<T, OpenError>) -> &'static str {
        match opened {
            Err(OpenError::NotAFile(what)) => what,
            opened => panic!("{opened:?}"),
        }
    }

    #[test]
    fn what_is_no_plain_file_is_refused_by_what_it_is_however_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "content").unwrap();
        pipe(&at("pipe"));
        fs::create_dir(at("folder")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("pipe", at("link to a pipe")).unwrap();
        symlink("file", at("link")).unwrap();
        for (name, what) in [("pipe", "a pipe"), ("folder", "a folder"), ("socket", "a socket")] {
            assert_eq!(refused(open(&at(name))), what);
            for links in [Links::Followed, Links::Refused] {
                assert_eq!(refused(open_with(File::options().write(true), &at(name), links)), what);
                assert_eq!(refused(open_with(File::options().read(true).write(true), &at(name), links)), what);
            }
        }
        assert_eq!(refused(open(&at("link to a pipe"))), "a pipe");
        let mut content = String::new();
        open(&at("link")).unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        assert_eq!(refused(open_with(File::options().read(true), &at("link"), Links::Refused)), "a symlink");
        assert!(matches!(open(&at("gone")), Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn what_a_user_named_is_read_from_pipes_too_and_one_without_a_writer_is_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let read = |mut file: File| {
            let mut content = String::new();
            file.read_to_string(&mut content).map(|_| content).unwrap()
        };
        assert_eq!(read(open_input(&path).unwrap().0), "");
        let (file, _) = open_input(&path).unwrap();
        let mut writer = File::options().write(true).open(&path).unwrap();
        let writing = thread::spawn(move || {
            // Nothing is there yet when it is read: that is waited for.
            thread::sleep(std::time::Duration::from_millis(50));
            writer.write_all(b"content").unwrap();
        });
        assert_eq!(read(file), "content");
        writing.join().unwrap();
        assert_eq!(refused(open_input(folder.path())), "a folder");
    }
}
