//! The key that signs extrinsics: read from a file or the environment, never printed, wiped when dropped.

use super::subxt::Pair;
use crate::{
    plain_file::{OpenError, open_input},
    sqlite::outbox::ids::AccountId,
};
use std::{
    fmt,
    io::Read,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A secret URI is a phrase of at most 24 words with a derivation path and a password.
const SECRET_BYTES_MAX: u64 = 4096;

/// Where the secret URI is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// A file that only its owner can read, or a pipe. A newline at the end does not count.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// `//Alice`, whose secret everybody knows. For development chains only.
    DevelopmentAlice,
}

/// Why there is no key. The secret itself is in none of the texts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither a file nor a pipe.
    #[error("{} is not a key file", .0.display())]
    NotAFile(PathBuf),
    /// Others can read or write the file.
    #[error("others can read or write the key file {} (mode {mode:03o}); run chmod 600 on it", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than any secret URI.
    #[error("the secret is longer than 4096 bytes")]
    TooLong,
    /// The environment variable is not set, or is not text.
    #[error("the environment variable {0} does not hold a secret URI")]
    NotSet(String),
    /// Nothing is there.
    #[error("the secret is empty")]
    Empty,
    /// Not a secret URI.
    #[error(
        "the secret is not a secret URI: expected a 12 to 24 word phrase or 0x and 64 hex digits, then //path///password"
    )]
    Malformed,
    /// A key that everybody knows.
    #[error("the secret is a well-known development key, which anybody can sign with; it needs --dev")]
    DevelopmentKey,
}

/// A key pair that signs extrinsics.
pub struct SigningKey {
    pair: Pair,
}

impl SigningKey {
    /// Reads the secret. Development keys are refused unless `dev` is set.
    pub fn load(source: &KeySource, dev: bool) -> Result<Self, KeyError> {
        let secret = match source {
            KeySource::File(path) => read_secret_file(path)?,
            KeySource::Environment(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| KeyError::NotSet(name.clone()))?)
            }
            KeySource::DevelopmentAlice => Zeroizing::new("//Alice".to_owned()),
        };
        Self::from_secret_uri(&secret, dev)
    }

    /// Derives the key of a secret URI.
    pub fn from_secret_uri(secret: &str, dev: bool) -> Result<Self, KeyError> {
        let secret = secret.trim();
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        if secret.len() as u64 > SECRET_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        let (pair, is_well_known) = Pair::from_secret_uri(secret).ok_or(KeyError::Malformed)?;
        if is_well_known && !dev { Err(KeyError::DevelopmentKey) } else { Ok(Self { pair }) }
    }

    /// The account that signs and pays.
    pub fn account(&self) -> AccountId {
        self.pair.account()
    }

    pub(super) fn pair(&self) -> &Pair {
        &self.pair
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("account", &self.account()).finish_non_exhaustive()
    }
}

/// Reads a secret in a file that only its owner can read, or in a pipe that is as private: `<(command)` lets a secret that is kept elsewhere
/// pass by every disk. A symlink is followed: what counts is who can read what it leads to.
pub(crate) fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
    // Opened once and then judged, so that it cannot be exchanged between the judgement and the reading.
    let (mut file, metadata) = open_input(path).map_err(|error| match error {
        OpenError::NotAFile(_) => KeyError::NotAFile(path.to_owned()),
        OpenError::Io(source) => unreadable(source),
    })?;
    if !metadata.is_file() && !metadata.file_type().is_fifo() {
        return Err(KeyError::NotAFile(path.to_owned()));
    }
    check_permissions(path, &metadata)?;
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    // With the room made beforehand, no copy is left behind by growing.
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX as usize + 1));
    file.by_ref().take(SECRET_BYTES_MAX + 1).read_to_string(&mut secret).map_err(unreadable)?;
    // A pipe has no length before it is read, and a file may have grown.
    if secret.len() as u64 > SECRET_BYTES_MAX { Err(KeyError::TooLong) } else { Ok(secret) }
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::TooOpen { path: path.to_owned(), mode }) }
}

/// Elsewhere, who may read a file is not told by its mode.
#[cfg(not(unix))]
fn check_permissions(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn a_phrase_with_a_path_and_a_hex_seed_are_keys_and_their_secret_is_not_shown() {
        let key = SigningKey::from_secret_uri(&format!("{PHRASE}//archive\n"), false).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.account().to_string()) && !shown.contains("winner"), "{shown}");
        let seed = SigningKey::from_secret_uri(&format!("0x{}", "5a".repeat(32)), false).unwrap();
        assert_ne!(seed.account(), key.account());
    }

    #[test]
    fn the_account_of_alice_is_the_one_everybody_knows_and_needs_the_development_flag() {
        let alice = SigningKey::load(&KeySource::DevelopmentAlice, true).unwrap();
        assert_eq!(alice.account().to_string(), "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d");
        let spelled_out = "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice";
        let seed_of_the_phrase = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e//Alice";
        for secret in ["//Alice", "//Bob//stash", spelled_out, seed_of_the_phrase] {
            assert!(matches!(SigningKey::from_secret_uri(secret, false), Err(KeyError::DevelopmentKey)), "{secret}");
            assert!(SigningKey::from_secret_uri(secret, true).is_ok(), "{secret}");
        }
    }

    #[test]
    fn what_is_no_secret_uri_is_refused_without_repeating_it() {
        for (secret, expected) in [
            ("", "empty"),
            ("  \n", "empty"),
            ("0x12", "not a secret URI"),
            ("legal winner hunter2", "not a secret URI"),
            (&"x".repeat(5000), "longer"),
        ] {
            let error = SigningKey::from_secret_uri(secret, false).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
        let unset = KeySource::Environment("PAKIT_A_VARIABLE_THAT_NOBODY_SETS".into());
        assert!(matches!(SigningKey::load(&unset, false), Err(KeyError::NotSet(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{PHRASE}\n")).unwrap();
        for (mode, is_taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match SigningKey::load(&KeySource::File(path.clone()), false) {
                Ok(_) => assert!(is_taken, "{mode:o}"),
                Err(KeyError::TooOpen { mode: found, .. }) => assert!(!is_taken && found == mode, "{mode:o}"),
                Err(error) => panic!("{mode:o}: {error}"),
            }
        }
        let folder = KeySource::File(dir.path().to_owned());
        assert!(matches!(SigningKey::load(&folder, false), Err(KeyError::NotAFile(_))));
        let device = KeySource::File("/dev/zero".into());
        assert!(matches!(SigningKey::load(&device, false), Err(KeyError::NotAFile(_))));
        let missing = KeySource::File(dir.path().join("missing"));
        assert!(matches!(SigningKey::load(&missing, false), Err(KeyError::Unreadable { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_comes_from_a_private_pipe_too_and_none_is_waited_for_that_nobody_writes_to() {
        use std::{io::Write, os::fd::AsRawFd};
        let (reader, mut writer) = std::io::pipe().unwrap();
        // As a shell names the end of a pipe to a command.
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        writeln!(writer, "{PHRASE}").unwrap();
        drop(writer);
        assert!(SigningKey::load(&KeySource::File(path), false).is_ok());
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        writer.write_all(&[b' '; SECRET_BYTES_MAX as usize + 1]).unwrap();
        drop(writer);
        assert!(matches!(SigningKey::load(&KeySource::File(path), false), Err(KeyError::TooLong)));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap();
        assert!(made.success());
        assert!(matches!(SigningKey::load(&KeySource::File(path.clone()), false), Err(KeyError::Empty)));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o622)).unwrap();
        assert!(matches!(SigningKey::load(&KeySource::File(path), false), Err(KeyError::TooOpen { .. })));
    }
}
