//! Hostile files: records, packs, backups, the state of an audit, audit records. Their checksums keep nearly all that is hostile from
//! those who read on, so that a target makes the checksums right as well and hands on what is behind them.

use crate::{operation::content, place::scratch};
use anyhow::{Context, Result, ensure};
use offchain_store::{
    DagBackend, MemoryBackend, SqliteBackend, StorageEngine,
    backup::{self, At, BackupOptions},
    check::{CheckState, Checker, Depth, StateFile},
    engine::{Access, InitOptions},
    hostile,
    log::LogReader,
    removal::{Action, AuditRecord, AuditedBlock},
    sqlite::Options,
    walk::Source,
};
use pakit_primitives::{BlockHash, ContentHash};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{fs, ops::ControlFlow, path::Path, sync::LazyLock};
use tempfile::TempDir;

/// Bytes before a record's body.
const HEADER_BYTES: usize = 20;

fn folder() -> TempDir {
    tempfile::tempdir_in(scratch()).unwrap()
}

/// A record as it is; and the kind and the body of one that is whole.
pub(super) fn record(bytes: &[u8]) {
    if let Ok((kind, body)) = hostile::open_record(bytes) {
        let _ = hostile::read_body(kind, &body);
    }
    let Some((kind, body)) = bytes.split_first() else { return };
    let kind = kind % 9;
    if let Ok(sealed) = hostile::seal_record(kind, body) {
        assert_eq!(hostile::open_record(&sealed), Ok((kind, body.to_vec())), "it does not read what it wrote");
        assert!(hostile::read_body(kind, body).is_ok_and(|is_same| is_same) || hostile::read_body(kind, body).is_err());
    }
}

/// Where records end, whose checksums are made right, in whatever stands behind `start`.
fn reseal(bytes: &mut [u8], start: usize) {
    let mut at = start;
    while let Some(record) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let length = record[8..12].iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let end = HEADER_BYTES.saturating_add(length).min(record.len());
        let mut sum = crc32fast::Hasher::new();
        sum.update(&record[..16]);
        sum.update(&record[HEADER_BYTES..end]);
        record[16..20].copy_from_slice(&sum.finalize().to_le_bytes());
        at += end;
    }
}

/// Whether a file is a whole pack, told without the store's own code: docs/formats.md, sections 13 and 15.1.
pub(super) fn is_pack(bytes: &[u8]) -> bool {
    let Some((header, mut rest)) = bytes.split_at_checked(16) else { return bytes.is_empty() };
    if header != b"PKTPACK1\x01\0\0\0\0\0\0\0" {
        return false;
    }
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let Some((body, next)) = behind.split_at_checked(number(8) as usize) else { return false };
        let mut sum = crc32fast::Hasher::new();
        sum.update(&header[..16]);
        sum.update(body);
        let is_right = header[..8] == *b"PKTR\x01\0\0\0" && number(12) == number(8) && number(16) == sum.finalize();
        if !is_right {
            return false;
        }
        rest = next;
    }
    rest.is_empty()
}

/// The first byte says whether the checksums are made right; the rest is a pack.
pub(super) fn pack(bytes: &[u8]) {
    let Some((is_resealed, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if is_resealed % 2 == 1 {
        reseal(&mut bytes, 16);
    }
    let repository = folder();
    fs::create_dir(repository.path().join("packs")).unwrap();
    fs::write(repository.path().join("packs/00000001.pack"), &bytes).unwrap();
    let checked = hostile::check_pack(repository.path(), bytes.len() as u64);
    assert_eq!(checked.is_ok(), is_pack(&bytes), "{checked:?}");
    // One that counts further than it reaches.
    assert!(hostile::check_pack(repository.path(), bytes.len() as u64 + 1).is_err());
}

/// A snapshot's manifest, a byte 0, and what stands in the records of its only segment: kind, length (u16), body. All checksums are
/// made right, unless the manifest begins with a space.
pub(super) fn backup_folder(bytes: &[u8]) {
    is_backup(bytes);
}

/// The same; whether it is a backup that can be restored.
pub(super) fn is_backup(bytes: &[u8]) -> bool {
    let split = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (manifest, records) = bytes.split_at(split);
    let dir = folder();
    if write_backup(dir.path(), manifest, records.get(1..).unwrap_or_default()).is_err() {
        return false;
    }
    let nobody = &mut |_, _| {};
    let listed = backup::list(dir.path());
    let verified = backup::verify(dir.path(), nobody);
    let backend = MemoryBackend::new();
    let restored = backup::restore_into(dir.path(), At::Newest, &backend, nobody);
    let Ok(verified) = verified else { return false };
    assert!(listed.is_ok(), "{listed:?}");
    // Whoever makes checksums right may let a block name another's content, which only a restore meets.
    let Ok(restored) = restored else { return false };
    assert_eq!(Some(restored.head), verified.snapshots.last().map(|snapshot| snapshot.head));
    assert_eq!(backend.totals().unwrap().blocks, restored.head.size);
    true
}

fn write_backup(dir: &Path, manifest: &[u8], records: &[u8]) -> Result<()> {
    let is_resealed = !manifest.starts_with(b" ");
    let said: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let hash = |name: &str, length: usize| {
        let text = said[name].as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
        let bytes = (0..length).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2).unwrap_or("00"), 16));
        bytes.map(|byte| byte.unwrap_or(0)).collect::<Vec<u8>>()
    };
    let (genesis, instance) = (hash("genesis", 32), hash("instance", 16));
    let segment = segment(&genesis, &instance, records);
    let digest = blake3::hash(&segment);
    fs::create_dir(dir.join("segments"))?;
    fs::create_dir(dir.join("snapshots"))?;
    fs::write(dir.join("segments/00000001.pack"), [&segment[..], digest.as_bytes()].concat())?;
    let about = format!(
        "{{\n  \"format\": \"pakit-backup/1\",\n  \"genesis\": \"{}\",\n  \"checksum\": \"\"\n}}\n",
        hex(&genesis)
    );
    fs::write(dir.join("pakit-backup.json"), signed(about.lines(), &[]))?;
    let number = said["number"].as_u64().filter(|number| *number < 1_000_000).unwrap_or(1);
    let written = match std::str::from_utf8(manifest) {
        Ok(text) if is_resealed => {
            let bytes = (segment.len() + 32).to_string();
            signed(text.lines(), &[("digest", format!("\"{}\"", hex(digest.as_bytes()))), ("bytes", bytes)])
                .into_bytes()
        }
        _ => manifest.to_vec(),
    };
    fs::write(dir.join(format!("snapshots/{number:08}.json")), written)?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A manifest with other values in some of its lines, and with the checksum that it has to have then.
fn signed<'a>(lines: impl Iterator<Item = &'a str>, values: &[(&str, String)]) -> String {
    let zeros = hex(&[0; 32]);
    let line = |line: &str| {
        let key = line.strip_prefix("  \"").and_then(|rest| rest.split_once("\": ")).map(|(key, _)| key);
        let end = if line.ends_with(',') { "," } else { "" };
        match key {
            Some("checksum") => format!("  \"checksum\": \"{zeros}\"{end}\n"),
            Some(key) => match values.iter().find(|(name, _)| *name == key) {
                Some((_, value)) => format!("  \"{key}\": {value}{end}\n"),
                None => format!("{line}\n"),
            },
            None => format!("{line}\n"),
        }
    };
    let unsigned: String = lines.map(line).collect();
    let checksum = hex(blake3::hash(unsigned.as_bytes()).as_bytes());
    unsigned.replace(&format!("\"checksum\": \"{zeros}\""), &format!("\"checksum\": \"{checksum}\""))
}

/// A segment up to its digest, of bodies one after the other.
fn segment(genesis: &[u8], instance: &[u8], mut records: &[u8]) -> Vec<u8> {
    let mut bytes = [&b"PKTSEG\0\x01"[..], &1u64.to_le_bytes(), &[0; 32], genesis, instance].concat();
    while let Some(([kind, low, high], rest)) = records.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (body, rest) = rest.split_at(length);
        if let Ok(record) = hostile::seal_record(*kind, body) {
            bytes.extend(record);
        }
        records = rest;
    }
    bytes
}

/// A repository whose audit is gone on with, and what all states of it have in common.
pub(super) static AUDITED: LazyLock<StorageEngine> = LazyLock::new(|| {
    let options = InitOptions { seed: Some(7), ..InitOptions::default() };
    let (engine, _) = StorageEngine::in_memory(&options, offchain_store::Config::default()).unwrap();
    for number in 0..12u8 {
        engine.store(std::io::Cursor::new(vec![number; 50]), None).unwrap();
    }
    engine
});

/// Makes what these targets make once.
pub(super) fn warm_up() {
    LazyLock::force(&AUDITED);
}

/// The state of an interrupted audit, whose genesis and root are those of the repository: as a file, and as what stands in one whose
/// checksum is right.
pub(super) fn check_state(bytes: &[u8]) {
    let dir = folder();
    fs::write(dir.path().join("check.json"), bytes).unwrap();
    let _ = StateFile::of(dir.path()).read();
    let backend = AUDITED.backend().as_ref();
    let Ok(mut said) = serde_json::from_slice::<Value>(bytes) else { return };
    if !said.is_object() {
        return;
    }
    let blocks = said["blocks"].as_u64().unwrap_or(0);
    let digest = |digest: Option<[u8; 32]>| digest.map_or(Value::Null, |digest| hex(&digest).into());
    said["genesis"] = digest(backend.log_node(0, 0).unwrap());
    said["root"] = digest(LogReader::new(backend).head_at(blocks).ok().map(|head| head.root.to_bytes()));
    let Ok(state) = serde_json::from_value::<CheckState>(said) else { return };
    let file = StateFile::of(dir.path());
    if file.write(&state).is_ok() {
        assert_eq!(file.read().unwrap().as_ref(), Some(&state), "it does not read what it wrote");
    }
    if let Ok(mut checker) = Checker::resume(backend, state) {
        let mut steps = 0;
        let _ = checker.run(&mut |done, all| {
            assert!(done <= all);
            steps += 1;
            if steps < 10_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert!(steps < 10_000, "it does not come to its end");
        checker.state();
    }
}

pub(super) fn audit_record(bytes: &[u8]) {
    if let Ok(record) = AuditRecord::decode(bytes) {
        assert_eq!(record.encode().unwrap(), bytes, "two encodings of one audit record");
    }
}

/// Sound inputs of a target.
pub(super) type Inputs = Vec<(&'static str, Vec<Vec<u8>>)>;

/// Sound inputs for these targets, from a repository with chunks in packs, and a backup of it.
pub(super) fn corpus() -> Result<Inputs> {
    let dir = folder();
    let repository = dir.path().join("repository");
    let options = InitOptions { seed: Some(7), ..InitOptions::default() };
    let config = offchain_store::Config { chunk_bytes: 4096, ..Default::default() };
    let (engine, _) = StorageEngine::init(&repository, &options, config)?;
    let mut rng = StdRng::seed_from_u64(3);
    let contents = [20, 300, 2_500, 9_000].map(|size| content(&mut rng, size));
    let sources = contents.into_iter().map(|bytes| Source::Bytes(bytes.len().to_string().into(), bytes));
    engine.put(sources.collect(), None, &mut |_| ())?;
    drop(engine);
    let reader = SqliteBackend::open(&repository, Access::Read, &Options::default())?;
    backup::back_up(&reader, &dir.path().join("backup"), &BackupOptions::default(), &mut |_, _| {})?;
    drop(reader);
    let pack = fs::read(repository.join("packs/00000001.pack"))?;
    let segment = fs::read(dir.path().join("backup/segments/00000001.pack"))?;
    let manifest = fs::read(dir.path().join("backup/snapshots/00000001.json"))?;
    let mut records = Vec::new();
    let mut bodies = Vec::new();
    let mut rest = &segment[96..segment.len() - 32];
    while let Some(header) = rest.first_chunk::<HEADER_BYTES>() {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let (record, behind) = rest.split_at(HEADER_BYTES + length);
        let (kind, body) = hostile::open_record(record)?;
        ensure!(hostile::read_body(kind, &body)?, "a sound record is not read to its end");
        let length = u16::try_from(body.len()).context("a body is too long for the corpus")?;
        bodies.extend([&[kind][..], &length.to_le_bytes(), &body].concat());
        records.push([&[kind][..], &body].concat());
        rest = behind;
    }
    let backups = vec![[&manifest[..], &[0], &bodies].concat()];
    let mut states = Vec::new();
    let backend = AUDITED.backend().as_ref();
    for stop in [3, 15, 27, 40, 50] {
        let mut checker = Checker::new(backend, Depth::Full)?;
        let mut steps = 0;
        let _ = checker.run(&mut |_, _| {
            steps += 1;
            if steps < stop { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        states.extend(checker.state().map(|state| serde_json::to_vec(&state)).transpose()?);
    }
    let block =
        AuditedBlock { leaf_index: 5, block_hash: BlockHash::new([5; 32]), content_hash: ContentHash::new([6; 32]) };
    let audit = |action, blocks| AuditRecord {
        sequence: 3,
        action,
        time_ms: 1_700_000_000_000,
        who: "ada@registry".into(),
        why: "erasure request 12".into(),
        term_ms: None,
        blocks,
    };
    let audits = [audit(Action::Forget, vec![block]), audit(Action::Drop, vec![block])];
    let audits: Vec<Vec<u8>> = audits.iter().map(AuditRecord::encode).collect::<Result<_, _>>()?;
    Ok(vec![
        ("record", records),
        ("pack", vec![[&[0], &pack[..]].concat(), [&[1], &pack[..]].concat()]),
        ("backup", backups),
        ("check-state", states),
        ("audit-record", audits),
    ])
}
