//! Hostile bytes for everything that reads bytes of others: each target takes any bytes, and either refuses them by an error or
//! gives what says the same again; and what proves something proves what is true.
//!
//! Each target has a corpus in `corpora/NAME`: sound inputs, made by [`corpus`], inputs that reach something that no other of the
//! corpus reaches, and whatever once broke it. Targets are plain functions of bytes. The tests give them their corpora; the program in
//! `fuzz` puts an engine in front of them that is guided by coverage and makes new inputs of these (`cargo xtask fuzz`).

mod chain;
mod files;
mod logs;
mod proofs;
mod texts;

use crate::operation::content;
use anyhow::{Context, Result, ensure};
use offchain_store::{
    DagBlock, ProofDocument, ProofOptions, StorageEngine,
    check::CheckState,
    cid::Cid,
    compress::{Compressor, decompress},
    config::Config,
    engine::InitOptions,
    hostile,
    removal::AuditRecord,
    tree,
    verify::{Expected, TrustedHead, verify_document},
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Head, Header, LogRoot, SoftwareHasher, log, slice::verify_slice,
    verify_lineage_to_ancestor, verify_lineage_to_genesis,
};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What reads the bytes of others. It panics if what it reads contradicts itself.
pub type Target = fn(&[u8]);

/// All targets. A new record that is read from a file gets one here, and its sound inputs in [`corpus`].
pub const TARGETS: [(&str, Target); 20] = [
    ("header", header),
    ("proof-document", proof_document),
    ("document-of-log", proofs::document),
    ("proofs-of-log", proofs::of_log),
    ("challenge-answer", proofs::challenge_answer),
    ("fraud-evidence", proofs::fraud_evidence),
    ("chain-types", chain::chain_types),
    ("tree-listing", tree_listing),
    ("chunk", chunk),
    ("cid", cid),
    ("config", texts::config),
    ("command-line", texts::command_line),
    ("text", texts::text),
    ("log-proofs", log_proofs),
    ("lineage", lineage),
    ("record", files::record),
    ("pack", files::pack),
    ("backup", files::backup_folder),
    ("check-state", files::check_state),
    ("audit-record", files::audit_record),
];

/// Whether an input is accepted by what reads it, for the targets where that is one question.
pub fn is_accepted(target: &str, input: &[u8]) -> bool {
    match target {
        "header" => Header::decode(input).is_ok(),
        "proof-document" => ProofDocument::read_from(input).is_ok(),
        "document-of-log" => proofs::is_document_valid(input),
        "proofs-of-log" => proofs::is_proof(input),
        "challenge-answer" => proofs::is_answer(input),
        "fraud-evidence" => proofs::is_evidence(input),
        "config" => texts::is_config(input),
        "chain-types" => chain::is_one(input),
        "command-line" => texts::is_command_line(input),
        "tree-listing" => tree::decode(input).is_ok(),
        "record" => input.split_first().is_some_and(|(kind, body)| hostile::read_body(*kind, body).is_ok()),
        "pack" => input.split_first().is_some_and(|(_, pack)| files::is_pack(pack)),
        "backup" => files::is_backup(input),
        "check-state" => serde_json::from_slice::<CheckState>(input).is_ok(),
        "audit-record" => AuditRecord::decode(input).is_ok(),
        _ => true,
    }
}

/// No input may take longer.
const INPUT_MAX: Duration = Duration::from_secs(5);

fn header(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.to_bytes(), bytes, "two encodings of one header");
        assert!(DagBlock::from_header_bytes(bytes).is_ok());
    }
}

fn proof_document(bytes: &[u8]) {
    let read = ProofDocument::from_json(bytes);
    // As `pakit verify` reads it.
    let streamed = ProofDocument::read_from(bytes);
    assert_eq!(read.as_ref().ok(), streamed.as_ref().ok(), "it depends on how it is read");
    let Ok(document) = read else { return };
    let again = ProofDocument::from_json(document.to_json().as_bytes());
    assert_eq!(again.as_ref().ok(), Some(&document), "it does not read what it wrote");
    for head in [TrustedHead::Unchecked, TrustedHead::Given(Head { size: 5, root: LogRoot::new([7; 32]) })] {
        let answer = verify_document(&document, None, &Expected::of_head(head)).unwrap();
        assert!(!answer.valid, "valid without a head that anybody trusts");
    }
}

fn tree_listing(bytes: &[u8]) {
    if let Ok(entries) = tree::decode(bytes) {
        assert_eq!(tree::encode(&entries).unwrap(), bytes, "two encodings of one listing");
        for entry in &entries {
            assert!(!entry.name.contains(&b'/') && entry.name != b".." && entry.name != b"." && !entry.name.is_empty());
        }
    }
}

/// A code, a size of at most 1 MiB, and the stored bytes.
fn chunk(bytes: &[u8]) {
    let Some((head, stored)) = bytes.split_first_chunk::<4>() else { return };
    let Some(compression) = Compression::from_code(head[0]) else { return };
    let size = u32::from_le_bytes([head[1], head[2], head[3], 0]) & 0xf_ffff;
    if let Ok(plain) = decompress(compression, stored, size, |_| Ok(None)) {
        assert_eq!(plain.len() as u32, size);
    }
}

fn cid(bytes: &[u8]) {
    if let Ok(cid) = Cid::from_bytes(bytes) {
        assert_eq!(cid.to_bytes(), bytes, "two encodings of one CID");
        assert_eq!(cid.to_string().parse::<Cid>().ok(), Some(cid));
    }
    let _ = std::str::from_utf8(bytes).map(str::parse::<Cid>);
}

/// Numbers and hashes from bytes, as long as there are any.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().map_or((0, self.0), |(byte, rest)| (*byte, rest));
        self.0 = rest;
        byte
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.iter_mut().for_each(|byte| *byte = self.byte());
        u64::from_le_bytes(bytes)
    }

    fn hash(&mut self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.iter_mut().for_each(|byte| *byte = self.byte());
        hash
    }

    /// Bytes after their length.
    fn text(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
        let (text, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        text
    }

    fn hashes(&mut self) -> Vec<[u8; 32]> {
        let count = self.byte() % 100;
        (0..count).map(|_| self.hash()).collect()
    }
}

/// No proof made of such bytes can hold, but for the root of a log of one leaf, which is the leaf.
fn log_proofs(bytes: &[u8]) {
    let mut parts = Parts(bytes);
    let mut head = || Head { size: parts.number(), root: LogRoot::new(parts.hash()) };
    let (old, new) = (head(), head());
    let leaf_index = parts.number();
    let block_hash = BlockHash::new(parts.hash());
    let path = parts.hashes();
    let inclusion = log::verify_inclusion::<SoftwareHasher>(&new, leaf_index, &block_hash, &path);
    assert!(inclusion.is_err() || (new.size == 1 && path.is_empty()), "a proof of nothing");
    if log::verify_consistency::<SoftwareHasher>(&old, &new, &path).is_ok() {
        assert!(old == new && path.is_empty(), "a proof of nothing");
    }
    let leaves: Vec<(u64, BlockHash)> =
        (0..parts.byte() % 16).map(|_| (parts.number(), BlockHash::new(parts.hash()))).collect();
    let _ = log::verify_multiproof::<SoftwareHasher>(&new, &leaves, &path);
    let size = parts.number();
    let count = usize::from(parts.byte()) * 8;
    let slice = vec![parts.byte(); count];
    let hash = ContentHash::new(parts.hash());
    assert!(verify_slice::<SoftwareHasher>(&hash, size, parts.number(), &slice, &path).is_err(), "a proof of nothing");
}

/// Headers one after the other, each after its length.
fn lineage(bytes: &[u8]) {
    let mut rest = bytes;
    let mut headers: Vec<&[u8]> = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (header, more) = more.split_at(length);
        headers.push(header);
        rest = more;
    }
    let Some((Ok(block), ancestors)) = headers.split_first().map(|(first, rest)| (Header::decode(first), rest)) else {
        return;
    };
    let genesis = BlockHash::new([1; 32]);
    assert!(verify_lineage_to_genesis::<SoftwareHasher>(&block, ancestors, &genesis).is_err(), "a genesis of nothing");
    let head = Head { size: 9, root: LogRoot::new([2; 32]) };
    assert!(verify_lineage_to_ancestor::<SoftwareHasher>(&block, ancestors, &head, &[[3; 32]; 4]).is_err());
}

/// Sound inputs for each target, the same each time but for times and random bytes of a genesis.
pub fn corpus() -> Result<BTreeMap<&'static str, Vec<Vec<u8>>>> {
    let options = InitOptions { seed: Some(7), ..InitOptions::default() };
    let (engine, genesis) = StorageEngine::in_memory(&options, Config::default())?;
    let mut blocks = vec![genesis];
    for number in 0..12u8 {
        blocks.push(engine.store(std::io::Cursor::new(vec![number; 50]), None)?.block);
    }
    let bytes: Vec<Vec<u8>> = blocks.iter().map(|block| block.header().to_bytes()).collect();
    let mut corpus: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
    for (at, lineage) in [(12, false), (5, true), (0, false)] {
        let options = ProofOptions { size: Some(13), consistent_with: None, lineage };
        corpus.entry("proof-document").or_default().push(engine.prove(&blocks[at], &options)?.to_json().into_bytes());
    }
    let options = ProofOptions { size: Some(8), consistent_with: Some(13), lineage: true };
    corpus.entry("proof-document").or_default().push(engine.prove(&blocks[7], &options)?.to_json().into_bytes());
    let entry = |name: &[u8], node| tree::Entry { name: name.to_vec(), mode: 0o644, mtime_ns: -1, size: 5, node };
    let listing = [
        entry(b"a", tree::Node::File(blocks[3].cid())),
        entry(b"b", tree::Node::Folder(Cid::new(0x71, blocks[4].header().content_hash))),
        entry(b"c", tree::Node::Symlink(b"a".to_vec())),
    ];
    corpus.insert("tree-listing", vec![tree::encode(&[])?, tree::encode(&listing)?]);
    let mut rng = StdRng::seed_from_u64(3);
    let plain = content(&mut rng, 3_000);
    for code in Compression::ALL {
        let stored = Compressor::new(code, 3)?.compress(&plain)?;
        let size = (plain.len() as u32).to_le_bytes();
        let mut input = vec![stored.0.code(), size[0], size[1], size[2]];
        input.extend_from_slice(&stored.1);
        corpus.entry("chunk").or_default().push(input);
    }
    corpus.insert("cid", vec![blocks[2].cid().to_bytes(), blocks[2].cid().to_string().into_bytes()]);
    let numbers: Vec<u8> = (0..=255u8).cycle().take(1_200).collect();
    corpus.insert("log-proofs", vec![numbers]);
    let chain = blocks.iter().rev().zip(bytes.iter().rev()).take(4);
    let joined = chain.flat_map(|(_, header)| [&(header.len() as u16).to_le_bytes()[..], header].concat()).collect();
    corpus.insert("lineage", vec![joined]);
    corpus.insert("header", vec![bytes[0].clone(), bytes[1].clone(), bytes[12].clone()]);
    corpus.insert("document-of-log", proofs::documents());
    corpus.insert("proofs-of-log", proofs::proofs_of_log());
    corpus.insert("challenge-answer", proofs::answers());
    corpus.insert("fraud-evidence", proofs::evidence());
    corpus.insert("chain-types", chain::values());
    corpus.insert("config", texts::configs());
    corpus.insert("command-line", texts::command_lines());
    corpus.insert("text", texts::texts());
    corpus.extend(files::corpus()?);
    Ok(corpus)
}

/// Makes what targets make once and keep.
pub fn warm_up() {
    files::warm_up();
}

/// The folder with the corpora.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora")
}

/// A target's corpus as it is kept, with the inputs' paths.
pub fn kept(name: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = folder().join(name);
    let entries = fs::read_dir(&folder).with_context(|| format!("no corpus {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    ensure!(!paths.is_empty(), "the corpus {} is empty", folder.display());
    let with_bytes = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes));
    Ok(paths.into_iter().map(with_bytes).collect::<Result<_, _>>()?)
}

/// Feeds each target its corpus: nothing in it breaks a target any more, and none takes long.
pub fn replay() -> Result<BTreeMap<&'static str, usize>> {
    let mut inputs = BTreeMap::new();
    for (name, target) in TARGETS {
        let corpus = kept(name)?;
        for (path, input) in &corpus {
            let began = Instant::now();
            let is_sound = catch_unwind(AssertUnwindSafe(|| target(input))).is_ok();
            let elapsed = began.elapsed();
            ensure!(is_sound && elapsed < INPUT_MAX, "{} breaks {name} after {elapsed:?}", path.display());
        }
        inputs.insert(name, corpus.len());
    }
    Ok(inputs)
}

/// Writes the sound inputs into the corpora; for a new target, or a format that has changed.
pub fn write_corpora() -> Result<()> {
    for (name, inputs) in corpus()? {
        let folder = folder().join(name);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("sound-{number}")), input)?;
        }
    }
    Ok(())
}
