//! What people and programs write: settings, arguments of `pakit`, names of blocks, ranges of bytes.

use super::files::AUDITED;
use crate::place::scratch;
use offchain_store::{
    Config, ParentSelectionStrategy,
    chunk::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN},
    cid::Cid,
    cli,
    config::{Overrides, parse_size},
    resolve::resolve,
    serve,
};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

/// Settings.
pub(super) fn config(bytes: &[u8]) {
    is_config(bytes);
}

/// Whether settings are taken. They come from a file, since that is where they come from.
pub(super) fn is_config(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir_in(scratch()).unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, bytes).unwrap();
    let Ok(overrides) = Overrides::from_file(&path) else { return false };
    let mut config = Config::default();
    let is_taken = config.apply(&overrides, "a test").is_ok();
    if is_taken {
        assert!((CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&config.chunk_bytes));
        assert!((1..=64).contains(&config.jobs) && (1..=65_536).contains(&config.batch_blocks));
        let mut again = config.clone();
        again.apply(&overrides, "a test").unwrap();
        assert_eq!(again, config, "it depends on how often settings are applied");
    }
    is_taken
}

/// Arguments, one a line.
pub(super) fn command_line(bytes: &[u8]) {
    is_command_line(bytes);
}

/// Whether `pakit` would begin to do something.
pub(super) fn is_command_line(bytes: &[u8]) -> bool {
    let arguments: Vec<&OsStr> = bytes.split(|byte| *byte == b'\n').map(OsStr::from_bytes).collect();
    match cli::read_arguments(&arguments) {
        Ok(()) => true,
        Err(exit_code) => {
            assert!([0, 2].contains(&exit_code), "{exit_code} is not for wrong use, nor for help");
            false
        }
    }
}

/// The first byte tells what kind of text the rest is.
pub(super) fn text(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let text = std::str::from_utf8(bytes);
    match (kind % 5, text) {
        (0, Ok(text)) => {
            if let Some(size) = parse_size(text) {
                assert_eq!(parse_size(&size.to_string()), Some(size));
            }
        }
        (1, Ok(text)) => {
            if let Ok(strategy) = text.parse::<ParentSelectionStrategy>() {
                assert_eq!(strategy.to_string().parse(), Ok(strategy), "it does not read what it wrote");
            }
        }
        (2, Ok(text)) => {
            if let Ok(cid) = text.parse::<Cid>() {
                assert_eq!(Cid::from_bytes(&cid.to_bytes()).ok(), Some(cid), "two CIDs of one text");
            }
        }
        (3, _) => block_name(bytes),
        (4, _) => byte_range(bytes),
        (_, Err(_)) | (5.., _) => {}
    }
}

/// A name of a block of a small repository.
fn block_name(bytes: &[u8]) {
    let Ok(block) = resolve(AUDITED.backend(), OsStr::from_bytes(bytes)) else { return };
    let text = String::from_utf8_lossy(bytes);
    let (name, path) = text.split_once(':').unwrap_or((&text, ""));
    // There is no folder to go into.
    assert!(path.split('/').all(|name| name.is_empty() || name == "."), "{text}");
    let is_named = match name.strip_prefix('@') {
        Some(digits) => digits.parse() == Ok(block.leaf_index()),
        None => {
            let digits = name.trim_start_matches("0x").to_lowercase();
            block.block_hash().to_string().starts_with(&format!("0x{digits}"))
                || name.parse::<Cid>().is_ok_and(|cid| cid.content_hash() == block.header().content_hash)
        }
    };
    assert!(is_named, "{text} does not name {}", block.block_hash());
}

/// The size of a content and the value of a header Range.
fn byte_range(bytes: &[u8]) {
    let Some((size, value)) = bytes.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    if let Some(range) = serve::read_byte_range(value, size) {
        assert!(range.start < range.end && range.end <= size, "{range:?} of {size} bytes");
        let written = format!("bytes={}-{}", range.start, range.end - 1);
        assert_eq!(serve::read_byte_range(written.as_bytes(), size), Some(range), "it does not read what it means");
    }
}

/// Sound settings.
pub(super) fn configs() -> Vec<Vec<u8>> {
    let text =
        "cache = \"64MiB\"\nfsync = \"full\"\ncompression = \"zstd\"\ncompression_level = 3\nchunk_size = \"256KiB\"\n";
    vec![text.into(), b"jobs = 2\nbatch_blocks = 64\n".to_vec()]
}

/// Command lines with each kind of value that is more than a text.
pub(super) fn command_lines() -> Vec<Vec<u8>> {
    let lines = [
        "--repo archive --json put deeds --meta parcel=12",
        "get @5 --range 0-1023 -o deed.pdf",
        "query --depth 3..9 --since 2026-01-31 --until 2026-01-31T12:00:00Z",
        "verify proof.json map.tif --size 9 --root 0x0000000000000000000000000000000000000000000000000000000000000001",
        "restore backup --at 7d",
        "backup backup --keep-daily 7",
        "retention --keep-for 3650d --why law",
        "serve --listen 127.0.0.1:9955 --anchor-every 6h --max-body 64MiB --max-connections 128",
        "anchor --dev --watch",
        "init --name titles --strategy recent-only:3",
        "--compression-level -7 --jobs 2 check --full --resume",
        "prove @1 --size 9 --lineage -o proof.json",
    ];
    lines.iter().map(|line| line.replace(' ', "\n").into_bytes()).collect()
}

/// A text of each kind.
pub(super) fn texts() -> Vec<Vec<u8>> {
    let cid = Cid::new(0x55, pakit_primitives::ContentHash::new([5; 32])).to_string();
    let texts: [(u8, &[u8]); 7] = [
        (0, b" 2 GiB "),
        (1, b"recent-only:3"),
        (2, cid.as_bytes()),
        (3, b"@7"),
        (3, b"@7:deeds/map.tif"),
        (4, b"\x00\x10\0\0\0\0\0\0bytes=2-4095"),
        (4, b"\x00\x10\0\0\0\0\0\0bytes=-30"),
    ];
    texts.iter().map(|(kind, text)| [&[*kind], *text].concat()).collect()
}
