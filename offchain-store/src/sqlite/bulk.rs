//! The tables row by row, for copies of the whole repository, and the notes of anchors that such a copy carries.

use super::{
    SqliteBackend,
    connection::Snapshot,
    fault::{Fault, Result},
    read::{Instead, all, block_hash_at, block_row, complete, damaged_block, of_block, settings, totals},
    rows::{compression_of, int, limit, stored_of, uint},
};
use crate::{
    backend::{BackendError, ChunkRef, PayloadInfo, StoredChunk},
    block::DagBlock,
    bulk::{BULK_ROWS_MAX, BulkBackend, Extent, ListedChunk, Note, NoteKind, StoredPayload},
    pack::{PackReader, Stored},
};
use pakit_primitives::{ContentHash, hasher::Digest};
use rusqlite::{
    Connection, Row,
    types::{Value, ValueRef},
};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Bytes of notes that one answer holds before it ends.
const NOTES_BYTES_MAX: usize = 4 << 20;

impl BulkBackend for SqliteBackend {
    fn extent(&self) -> Result<Extent, BackendError> {
        let (totals, payload_next) = self.read(totals)?;
        Ok(Extent { blocks: totals.blocks, payload_next })
    }

    fn payload_rows(&self, from: u64, below: u64, bytes_max: usize) -> Result<Vec<(u64, StoredPayload)>, BackendError> {
        let mut tried = None;
        loop {
            let mut missed = None;
            match self.read(|connection| payload_rows(connection, &self.packs, from, below, bytes_max, &mut missed)) {
                // A compacting may have moved it meanwhile, and removed the pack.
                Err(_) if missed.is_some() && missed != tried => tried = missed,
                rows => return rows,
            }
        }
    }

    fn removed_rows(&self, from: u64) -> Result<Vec<u64>, BackendError> {
        let sql = "SELECT payload_id FROM payloads WHERE kind = 2 AND payload_id >= ?1 ORDER BY payload_id LIMIT ?2";
        self.read(|connection| all(connection, sql, (int(from), limit(BULK_ROWS_MAX)), |row| uint(row, 0)))
    }

    fn list_rows(&self, number: u64, from: u64) -> Result<Vec<ListedChunk>, BackendError> {
        let sql = "SELECT c.start_offset, c.chunk_id, p.hash, p.original_size, p.stored_size
            FROM payload_chunks c LEFT JOIN payloads p ON p.payload_id = c.chunk_id
            WHERE c.payload_id = ?1 AND c.start_offset >= ?2 ORDER BY c.start_offset LIMIT ?3";
        let found = self.read(|connection| {
            all(connection, sql, (int(number), int(from), limit(BULK_ROWS_MAX)), |row| {
                let found: (Option<Digest>, Option<u32>) = (row.get(2)?, row.get(3)?);
                let stored_size = row.get::<_, Option<i64>>(4)?.unwrap_or(0);
                Ok((uint(row, 0)?, uint(row, 1)?, stored_size.max(0).unsigned_abs(), found.0.zip(found.1)))
            })
        })?;
        let missing = || BackendError::Damaged(format!("a chunk of payload number {number} is missing"));
        let listed = found.into_iter().map(|(offset, number, stored_size, found)| {
            let (chunk_hash, original_size) = found.ok_or_else(missing)?;
            let chunk = ChunkRef { offset, chunk_hash: ContentHash::new(chunk_hash), original_size };
            Ok(ListedChunk { number, stored_size, chunk })
        });
        listed.collect()
    }

    fn block_rows(&self, from: u64, limit: usize) -> Result<Vec<(DagBlock, u64)>, BackendError> {
        self.read(|connection| block_rows(connection, from, limit.min(BULK_ROWS_MAX)))
    }

    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, BackendError> {
        self.read(|connection| settings(&*Snapshot::begin(connection)?, BULK_ROWS_MAX))
    }

    fn notes(&self, kind: NoteKind, from: u64) -> Result<Vec<Note>, BackendError> {
        self.read(|connection| notes(connection, kind, from))
    }

    fn keep_notes(&self, notes: &[Note]) -> Result<(), BackendError> {
        self.write(|txn| notes.iter().try_for_each(|note| keep_note(txn, note)))
    }
}

fn payload_rows(
    connection: &Connection,
    packs: &PackReader,
    from: u64,
    below: u64,
    bytes_max: usize,
    missed: &mut Option<Stored>,
) -> Result<Vec<(u64, StoredPayload)>> {
    let sql = "SELECT payload_id, kind, hash, compression, original_size, stored_size, bytes FROM payloads
        WHERE payload_id >= ?1 AND payload_id < ?2 ORDER BY payload_id LIMIT ?3";
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query((int(from), int(below), limit(BULK_ROWS_MAX)))?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let number = uint(row, 0)?;
        let payload = payload_row(number, row, packs, missed)?;
        if let StoredPayload::Chunk(chunk) = &payload {
            bytes += chunk.bytes.len();
        }
        rows.push((number, payload));
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(rows)
}

fn payload_row(number: u64, row: &Row<'_>, packs: &PackReader, missed: &mut Option<Stored>) -> Result<StoredPayload> {
    let damaged = |what: &str| Fault::damaged(format!("payload number {number} has {what}"));
    let kind: u8 = row.get(1)?;
    let hash: Option<Digest> = row.get(2)?;
    let Some(content_hash) = hash.map(ContentHash::new).filter(|_| kind != 2) else {
        return Ok(StoredPayload::Absent);
    };
    let code = row.get(3)?;
    let compression = compression_of(code).ok_or_else(|| damaged("an unknown compression"))?;
    match kind {
        0 => {
            let bytes: Option<Vec<u8>> = row.get(6)?;
            let stored = bytes.and_then(|bytes| stored_of(code, bytes)).ok_or_else(|| damaged("no bytes"))?;
            let bytes = packs.restore(&stored).inspect_err(|_| *missed = Some(stored))?;
            Ok(StoredPayload::Chunk(StoredChunk {
                chunk_hash: content_hash,
                compression,
                original_size: row.get(4)?,
                bytes,
            }))
        }
        1 => {
            let info =
                PayloadInfo { original_size: uint(row, 4)?, stored_size: uint(row, 5)?, compression, is_kept: true };
            Ok(StoredPayload::List { content_hash, info })
        }
        _ => Err(damaged("an unknown kind")),
    }
}

/// One walk over the rows of blocks. Parents are mostly among the last ones or far back; those of this answer are at hand.
fn block_rows(connection: &Connection, from: u64, rows_max: usize) -> Result<Vec<(DagBlock, u64)>> {
    let sql = "SELECT b.block_hash, b.depth, b.timestamp_key, b.slices_before, b.codec, b.stored_size, b.compression,
        b.parents, p.hash, p.original_size, m.hash, b.leaf_index, b.payload_id
        FROM blocks b LEFT JOIN payloads p ON p.payload_id = b.payload_id
        LEFT JOIN metadata m ON m.metadata_id = b.metadata_id WHERE b.leaf_index >= ?1 ORDER BY b.leaf_index LIMIT ?2";
    // One transaction takes SQLite's locks once instead of for each parent.
    let snapshot = Snapshot::begin(connection)?;
    let connection: &Connection = &snapshot;
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query((int(from), limit(rows_max)))?;
    let mut blocks: Vec<(DagBlock, u64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let leaf_index = uint(row, 11)?;
        if leaf_index != from + blocks.len() as u64 {
            return Err(Fault::damaged(format!("block {} is missing", from + blocks.len() as u64)));
        }
        let found =
            block_row(leaf_index, row, &Instead::default()).map_err(|error| of_block(leaf_index, error.into()))?;
        let found = found.ok_or_else(|| damaged_block(leaf_index, "has an unknown compression or no payload"))?;
        let hash_of = |parent: &u64| {
            let at_hand = parent.checked_sub(from).and_then(|place| blocks.get(usize::try_from(place).ok()?));
            match at_hand {
                Some((block, _)) => Ok(Some(block.block_hash().to_bytes())),
                None => block_hash_at(connection, *parent),
            }
        };
        let block = complete(found, |parents| parents.iter().map(hash_of).collect())?;
        blocks.push((block, uint(row, 12)?));
    }
    Ok(blocks)
}

/// How a column of a note stands in its JSON object: numbers as numbers, bytes as 0x-hex.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Number,
    Text,
    Bytes,
}

use Form::{Bytes, Number, Text};

const BINDING: &[(&str, Form)] = &[
    ("id", Number),
    ("chain_genesis", Bytes),
    ("dag", Number),
    ("owner", Bytes),
    ("created_block_number", Number),
    ("created_block_hash", Bytes),
    ("predecessor", Number),
    ("is_current", Number),
    ("url", Text),
    ("seen_size", Number),
    ("seen_root", Bytes),
    ("bound_at_ms", Number),
];

const EXTRINSIC: &[(&str, Form)] = &[
    ("id", Number),
    ("kind", Number),
    ("state", Number),
    ("chain_genesis", Bytes),
    ("dag", Number),
    ("size", Number),
    ("root", Bytes),
    ("base_size", Number),
    ("anchor_number", Number),
    ("block_hash", Bytes),
    ("predecessor", Number),
    ("signer", Bytes),
    ("nonce", Number),
    ("era_birth", Number),
    ("era_birth_hash", Bytes),
    ("era_period", Number),
    ("extrinsic", Bytes),
    ("extrinsic_hash", Bytes),
    ("attempts", Number),
    ("last_error", Text),
    ("in_block_number", Number),
    ("in_block_hash", Bytes),
    ("in_block_index", Number),
    ("dispatch_error", Text),
    ("prepared_at_ms", Number),
    ("updated_at_ms", Number),
];

/// The states from which an extrinsic goes nowhere: finalized, failed, expired.
const SETTLED: [i64; 3] = [4, 5, 6];

fn table(kind: NoteKind) -> (&'static str, &'static [(&'static str, Form)]) {
    match kind {
        NoteKind::Binding => ("chain_binding", BINDING),
        NoteKind::Extrinsic => ("outbox", EXTRINSIC),
    }
}

fn notes(connection: &Connection, kind: NoteKind, from: u64) -> Result<Vec<Note>> {
    let (table, columns) = table(kind);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let sql = format!("SELECT {} FROM {table} WHERE id >= ?1 ORDER BY id LIMIT ?2", names.join(", "));
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query((int(from), limit(BULK_ROWS_MAX)))?;
    let (mut notes, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let mut object = Map::new();
        for (at, (name, _)) in columns.iter().enumerate() {
            object.insert((*name).to_owned(), to_json(row.get_ref(at)?)?);
        }
        if kind == NoteKind::Binding {
            raise_seen(connection, &mut object)?;
        }
        let state = object.get("state").and_then(Json::as_i64);
        let is_settled = state.is_some_and(|state| SETTLED.contains(&state));
        let size = object.get("size").or(object.get("seen_size")).and_then(Json::as_u64).unwrap_or(0);
        let text = Json::Object(object).to_string().into_bytes();
        bytes += text.len();
        notes.push(Note { kind, number: uint(row, 0)?, is_settled, size, bytes: text });
        if bytes >= NOTES_BYTES_MAX {
            break;
        }
    }
    Ok(notes)
}

/// A copy may end before heads that were anchored, and then goes without their extrinsics. So a binding tells of the largest
/// final head that any of the two knows.
fn raise_seen(connection: &Connection, binding: &mut Map<String, Json>) -> Result<()> {
    let sql = "SELECT o.size, o.root FROM outbox o JOIN chain_binding b ON b.chain_genesis = o.chain_genesis AND b.dag = o.dag
        WHERE b.id = ?1 AND o.kind = 2 AND o.state = 4 AND o.size > b.seen_size ORDER BY o.size DESC LIMIT 1";
    let id = binding.get("id").and_then(Json::as_i64);
    let larger = all(connection, sql, [id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Digest>(1)?)))?;
    for (size, root) in larger {
        binding.insert("seen_size".to_owned(), size.into());
        binding.insert("seen_root".to_owned(), format!("0x{}", hex::encode(root)).into());
    }
    Ok(())
}

fn to_json(value: ValueRef<'_>) -> Result<Json> {
    Ok(match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(bytes) => format!("0x{}", hex::encode(bytes)).into(),
        // The tables are strict and have no such column.
        ValueRef::Real(_) => return Err(Fault::damaged("the outbox holds a fraction")),
    })
}

fn keep_note(txn: &Connection, note: &Note) -> Result<()> {
    let (table, columns) = table(note.kind);
    let malformed = || Fault::damaged(format!("note {} of {table} cannot be read", note.number));
    let mut object: BTreeMap<String, Json> = serde_json::from_slice(&note.bytes).map_err(|_| malformed())?;
    if object.get("id").and_then(Json::as_u64) != Some(note.number) {
        return Err(malformed());
    }
    let mut values = Vec::with_capacity(columns.len());
    for (name, form) in columns {
        values.push(from_json(object.remove(*name).ok_or_else(malformed)?, *form).ok_or_else(malformed)?);
    }
    if !object.is_empty() {
        return Err(malformed());
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
    let updates: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let sql = format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
        names.join(", "),
        places.join(", "),
        updates.join(", ")
    );
    txn.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

fn from_json(value: Json, form: Form) -> Option<Value> {
    match (value, form) {
        (Json::Null, _) => Some(Value::Null),
        (Json::Number(number), Number) => number.as_i64().map(Value::Integer),
        (Json::String(text), Text) => Some(Value::Text(text)),
        (Json::String(text), Bytes) => hex::decode(text.strip_prefix("0x")?).ok().map(Value::Blob),
        _ => None,
    }
}

/// Whether the notes of a kind name all columns of their table, for the tests.
#[cfg(test)]
pub(super) fn columns_of(connection: &Connection, kind: NoteKind) -> (Vec<String>, Vec<String>) {
    let (table, columns) = table(kind);
    let named = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let sql = "SELECT name FROM pragma_table_info(?1) ORDER BY cid";
    (named, all(connection, sql, [table], |row| row.get(0)).unwrap_or_default())
}
