//! Settings of a store on this machine: defaults, overridden by the repository's `config.toml`, by `PAKIT_*` in the
//! environment, by flags.
//!
//! None of them changes what is hashed. They may differ from one run to the next.

use crate::{
    chunk::{CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN},
    commit::BatchLimits,
    compress,
    plain_file::{self, OpenError},
    sqlite,
};
use pakit_primitives::Compression;
use serde::Deserialize;
use std::{
    ffi::OsString,
    fs::Metadata,
    io::Read,
    num::NonZero,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    thread,
};

/// Name of the settings file in a repository's folder.
pub const FILE_NAME: &str = "config.toml";

/// Most threads that hash and compress.
const JOBS_MAX: usize = 64;
/// Greatest cache, in bytes.
const CACHE_BYTES_MAX: u64 = 1 << 40;
/// Greatest settings file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

pub use crate::sqlite::Fsync;

fn fsync_from_name(name: &str) -> Option<Fsync> {
    [("full", Fsync::Full), ("normal", Fsync::Normal), ("off", Fsync::Off)]
        .into_iter()
        .find(|(known, _)| *known == name)
        .map(|(_, fsync)| fsync)
}

/// Settings in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Bytes of memory for hot blocks; the database below gets as much again for its pages.
    pub cache_bytes: u64,
    /// What a commit waits for.
    pub fsync: Fsync,
    /// What chunks are compressed with, where it pays.
    pub compression: Compression,
    /// Its level, in its own scale.
    pub compression_level: i32,
    /// Average bytes of a chunk.
    pub chunk_bytes: u32,
    /// Threads that hash and compress.
    pub jobs: usize,
    /// Blocks that are committed at once at most.
    pub batch_blocks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            fsync: Fsync::Full,
            compression: Compression::Zstd,
            compression_level: compress::ZSTD_LEVEL_DEFAULT,
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            jobs: thread::available_parallelism().map_or(1, NonZero::get).min(JOBS_MAX),
            batch_blocks: BatchLimits::default().blocks_max,
        }
    }
}

/// Why settings are not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The settings file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings file is not TOML, or names what is no setting.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// The settings file is too large to be one.
    #[error("{} is too large for a settings file", .0.display())]
    TooLarge(PathBuf),
    /// A variable of the environment that is not UTF-8.
    #[error("{name} in the environment is not text ({value:?}); set it anew, or unset it")]
    NotText {
        /// The variable.
        name: &'static str,
        /// Its value, with what is not UTF-8 in it escaped.
        value: OsString,
    },
    /// A value outside what is allowed.
    #[error("{from}: {value:?} is not allowed for {setting}; {allowed}")]
    BadValue {
        /// Where the value stands.
        from: String,
        /// The setting.
        setting: &'static str,
        /// The value.
        value: String,
        /// What would be.
        allowed: &'static str,
    },
}

/// Settings from one place; what is `None` is left as it was. Sizes are texts such as `64MiB`, or bytes.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// [`Config::cache_bytes`].
    pub cache: Option<String>,
    /// [`Config::fsync`]: full, normal or off.
    pub fsync: Option<String>,
    /// [`Config::compression`] by name.
    pub compression: Option<String>,
    /// [`Config::compression_level`].
    pub compression_level: Option<i32>,
    /// [`Config::chunk_bytes`].
    pub chunk_size: Option<String>,
    /// [`Config::jobs`].
    pub jobs: Option<usize>,
    /// [`Config::batch_blocks`].
    pub batch_blocks: Option<usize>,
}

impl Overrides {
    /// Reads a repository's settings file; one that is not there overrides nothing.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let io = |source| ConfigError::Io { path: path.to_owned(), source };
        let file = match plain_file::open(path) {
            Err(OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened.map_err(|error| io(error.into()))?,
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        toml::from_str(&text).map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads `PAKIT_CACHE`, `PAKIT_FSYNC`, `PAKIT_COMPRESSION`, `PAKIT_COMPRESSION_LEVEL`, `PAKIT_CHUNK_SIZE`, `PAKIT_JOBS`
    /// and `PAKIT_BATCH_BLOCKS` through `get`. One that is empty counts as not set; one that is not text is refused, or it would be
    /// ignored and something else done than was asked for.
    pub fn from_env(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let get = |name: &'static str| {
            let text = |value: OsString| value.into_string().map_err(|value| ConfigError::NotText { name, value });
            get(name).filter(|value| !value.is_empty()).map(text).transpose()
        };
        fn number<T: std::str::FromStr>(
            name: &'static str,
            setting: &'static str,
            value: Option<String>,
        ) -> Result<Option<T>, ConfigError> {
            value
                .map(|value| {
                    value.trim().parse().map_err(|_| bad(name, setting, value.clone(), "it has to be a whole number"))
                })
                .transpose()
        }
        Ok(Self {
            cache: get("PAKIT_CACHE")?,
            fsync: get("PAKIT_FSYNC")?,
            compression: get("PAKIT_COMPRESSION")?,
            compression_level: number("PAKIT_COMPRESSION_LEVEL", "compression_level", get("PAKIT_COMPRESSION_LEVEL")?)?,
            chunk_size: get("PAKIT_CHUNK_SIZE")?,
            jobs: number("PAKIT_JOBS", "jobs", get("PAKIT_JOBS")?)?,
            batch_blocks: number("PAKIT_BATCH_BLOCKS", "batch_blocks", get("PAKIT_BATCH_BLOCKS")?)?,
        })
    }
}

/// What something is that is no plain file, in words.
pub(crate) fn kind_of(metadata: &Metadata) -> &'static str {
    match metadata.file_type() {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a symlink",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

fn bad(from: &str, setting: &'static str, value: impl ToString, allowed: &'static str) -> ConfigError {
    ConfigError::BadValue { from: from.to_owned(), setting, value: value.to_string(), allowed }
}

impl Config {
    /// The settings for a repository: file, then environment, then `flags`.
    pub fn load(repository: &Path, flags: &Overrides) -> Result<Self, ConfigError> {
        let path = repository.join(FILE_NAME);
        let mut config = Self::default();
        config.apply(&Overrides::from_file(&path)?, &path.display().to_string())?;
        config.apply(&Overrides::from_env(|name| std::env::var_os(name))?, "the environment")?;
        config.apply(flags, "the command line")?;
        Ok(config)
    }

    /// Overrides settings; `from` says in errors where the values stand.
    pub fn apply(&mut self, overrides: &Overrides, from: &str) -> Result<(), ConfigError> {
        if let Some(value) = &overrides.cache {
            self.cache_bytes = parse_size(value)
                .filter(|bytes| *bytes <= CACHE_BYTES_MAX)
                .ok_or_else(|| bad(from, "cache", value, "it has to be a size such as 64MiB"))?;
        }
        if let Some(value) = &overrides.fsync {
            self.fsync =
                fsync_from_name(value).ok_or_else(|| bad(from, "fsync", value, "it has to be full, normal or off"))?;
        }
        if let Some(value) = &overrides.compression {
            self.compression = compress::from_name(value)
                .ok_or_else(|| bad(from, "compression", value, "it has to be none, zstd, lz4, gzip or brotli"))?;
        }
        if let Some(value) = overrides.compression_level {
            self.compression_level = value;
        }
        if !compress::level_range(self.compression).contains(&self.compression_level) {
            return Err(bad(
                from,
                "compression_level",
                self.compression_level,
                "zstd has the levels -7 to 22, gzip 0 to 9, brotli 0 to 11",
            ));
        }
        if let Some(value) = &overrides.chunk_size {
            self.chunk_bytes = parse_size(value)
                .and_then(|bytes| u32::try_from(bytes).ok())
                .filter(|bytes| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(bytes))
                .ok_or_else(|| bad(from, "chunk_size", value, "it has to be from 4KiB to 4MiB"))?;
        }
        if let Some(value) = overrides.jobs {
            self.jobs = Some(value)
                .filter(|jobs| (1..=JOBS_MAX).contains(jobs))
                .ok_or_else(|| bad(from, "jobs", value, "it has to be from 1 to 64"))?;
        }
        if let Some(value) = overrides.batch_blocks {
            self.batch_blocks = Some(value)
                .filter(|blocks| (1..=65_536).contains(blocks))
                .ok_or_else(|| bad(from, "batch_blocks", value, "it has to be from 1 to 65536"))?;
        }
        Ok(())
    }

    /// How the database is opened.
    pub fn database_options(&self) -> sqlite::Options {
        sqlite::Options { cache_bytes: self.cache_bytes, fsync: self.fsync, ..sqlite::Options::default() }
    }

    /// When a batch of the committer is full.
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits { blocks_max: self.batch_blocks, ..BatchLimits::default() }
    }
}

/// A size in bytes, or with KiB, MiB, GiB (powers of 1024) or kB, MB, GB (powers of 1000) behind it.
pub fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let sizes = [("0", 0), ("4096", 4096), ("64MiB", 64 << 20), (" 2 GiB ", 2 << 30), ("5kB", 5_000), ("7B", 7)];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "3 parsecs", "99999999999999999999", "18446744073709551615KiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_it_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "jobs = 3\nchunk_size = \"64KiB\"\nfsync = \"normal\"\n")
            .unwrap();
        let mut config = Config::default();
        config.apply(&Overrides::from_file(&folder.path().join(FILE_NAME)).unwrap(), "file").unwrap();
        let env = |name: &str| (name == "PAKIT_JOBS").then(|| "5".into());
        config.apply(&Overrides::from_env(env).unwrap(), "env").unwrap();
        let flags = Overrides { chunk_size: Some("8KiB".to_owned()), ..Overrides::default() };
        config.apply(&flags, "flags").unwrap();
        assert_eq!((config.jobs, config.chunk_bytes, config.fsync), (5, 8 << 10, Fsync::Normal));
    }

    #[test]
    fn variables_that_are_no_text_or_no_number_are_refused_by_name_and_empty_ones_are_not_set() {
        use std::os::unix::ffi::OsStringExt;
        let names = [
            "PAKIT_CACHE",
            "PAKIT_FSYNC",
            "PAKIT_COMPRESSION",
            "PAKIT_COMPRESSION_LEVEL",
            "PAKIT_CHUNK_SIZE",
            "PAKIT_JOBS",
            "PAKIT_BATCH_BLOCKS",
        ];
        for name in names {
            let of = |value: &[u8]| {
                let value = OsString::from_vec(value.to_vec());
                let overrides = Overrides::from_env(|asked| (asked == name).then(|| value.clone()))?;
                Config::default().apply(&overrides, "the environment").map(|()| overrides)
            };
            let refused = of(b"4\xff").unwrap_err();
            assert!(matches!(&refused, ConfigError::NotText { name: told, .. } if *told == name), "{refused}");
            assert!(refused.to_string().contains(name) && refused.to_string().contains("xFF"), "{refused}");
            assert!(of(b"four").is_err(), "{name}");
            assert_eq!(of(b"").unwrap(), Overrides::default(), "{name}");
        }
    }

    #[test]
    fn values_out_of_range_and_unknown_settings_are_refused_by_name() {
        let refused = |overrides: Overrides| Config::default().apply(&overrides, "here").unwrap_err().to_string();
        assert!(refused(Overrides { jobs: Some(0), ..Default::default() }).contains("jobs"));
        assert!(refused(Overrides { chunk_size: Some("1GiB".into()), ..Default::default() }).contains("chunk_size"));
        assert!(refused(Overrides { compression: Some("rar".into()), ..Default::default() }).contains("rar"));
        assert!(refused(Overrides { compression_level: Some(99), ..Default::default() }).contains("level"));
        assert!(toml::from_str::<Overrides>("jbos = 1").unwrap_err().to_string().contains("jbos"));
    }
}
