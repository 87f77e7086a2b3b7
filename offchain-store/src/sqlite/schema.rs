//! The tables, and how a file gets them.
//!
//! Numbers: SQLite's integers are signed. Counts and sizes stay below 2^63. `slices_before` and `slices` may use all 64 bits
//! and are stored bit by bit. `timestamp_key` is the time with its highest bit flipped, so that the order of the signed
//! numbers is the order of all unsigned times.
//!
//! | table | row | notes |
//! |---|---|---|
//! | `payloads` | a chunk or a content | `kind` 0: one chunk, with its stored bytes; 1: a list of chunks; 2: removed, only named by headers. A content of one chunk has that chunk's hash and is that chunk. `hash` is NULL while a content is being written. `refs` counts the rows of `payload_chunks` and `blocks` that name it, neither by a foreign key: with one, each deletion of a payload would scan these tables or need indexes over all of them. Numbers are never used twice, so that whoever read up to one number misses nothing by going on from there |
//! | `packs` | a pack by its number: a file beside the database | `bytes`: up to where it counts. A chunk of kind 0 whose `compression` is 16 more than a code stands in a pack, and `bytes` of its row is its place: pack (u32), length (u32), offset (u64), little endian |
//! | `payload_chunks` | a chunk's place in a list | `chunk_id` names a payload of kind 0, also where the writer named a list. |
//! | `late_names` | a payload that got its hash after its row was written | tells of it whoever has read past that row |
//! | `metadata` | a metadata map | by hash |
//! | `blocks` | a block | all of a header that is not in the payload's, the metadata's or the parents' rows. `parents`: distances to the parents' leaf indices, from the nearest on, each measured from the one before, as LEB128. `way`: 8 x the steps of a shortest way to genesis + the place among the parents of the one it begins with. The header is put together again on each read and must have `block_hash` |
//! | `log_tiles` | 256 leaves of the log | the inner nodes on levels 3 to 8, lowest level first; those on levels 1 and 2 are made of 2 and 4 leaves when they are wanted |
//! | `log_nodes` | an inner node of the log above level 8 | numbered index x 2^(level + 1) + 2^level - 1, which is nearly the order of appending |
//! | `audits` | an audit block | by leaf index |
//! | `forgotten` | a block that no longer holds its content | `audit`: the audit block that tells why |
//! | `pins` | a block that must not be forgotten | `until_ms`: up to when; NULL for good. `audit`: the audit block that tells why |
//! | `set_aside` | a chunk whose bytes were not its content, as a repair found it | nothing reads it but people |
//! | `totals` | the only row: sums over everything | changed in the transaction that changes what is summed. `generation` says how often what is derived was saved |
//! | `settings` | a named value | the one called `checksum`: BLAKE3 over all others but `dictionary/...`, which carry their own, in the order of their keys, each key and value after its length as 8 bytes |
//! | `runs`, `run_pages` | the indexes, see [`super::runs`] | derived |
//! | `filter_pages`, `child_counts`, `derived` | the existence filter, the children of each block counted, and up to where both and the indexes know the rows, see [`super::derived`] | derived. `checksum`: BLAKE3 of all of it |
//!
//! Rows of blocks and payloads are only appended, and nothing that is written with each commit stands in the order of a
//! hash: a commit costs the same however large the repository is. What is derived can be made anew from the rest.
//! The tables of [`super::outbox`] belong to version 1 too.

use super::{derived::TILE_LEVEL, fault::Fault, outbox::OUTBOX_SCHEMA, read, rows::int, write};
use crate::{backend::BackendError, plan::node_number};
use pakit_primitives::hasher::Digest;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;

/// The greatest format version known here.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Marks the file as ours: `PKT1`.
pub(super) const APPLICATION_ID: i32 = 0x504b_5431;

/// A step from a version to the next.
type Migration = fn(&Connection) -> Result<(), Fault>;

/// What leads from each version to the next; the first from an empty file to version 1.
const MIGRATIONS: &[Migration] = &[to_version_1, to_version_2, to_version_3];

const VERSION_1: &str = "
CREATE TABLE payloads (
    payload_id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
    refs INTEGER NOT NULL CHECK (refs >= 0),
    compression INTEGER NOT NULL,
    original_size INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    hash BLOB CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX payloads_by_hash ON payloads (substr(hash, 1, 8));
CREATE INDEX payloads_without_refs ON payloads (payload_id) WHERE refs = 0;

CREATE TABLE chunk_data (
    payload_id INTEGER PRIMARY KEY REFERENCES payloads,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE payload_chunks (
    payload_id INTEGER NOT NULL REFERENCES payloads,
    start_offset INTEGER NOT NULL,
    chunk_id INTEGER NOT NULL,
    PRIMARY KEY (payload_id, start_offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE late_names (
    sequence INTEGER PRIMARY KEY,
    payload_id INTEGER NOT NULL
) STRICT;

CREATE TABLE metadata (
    metadata_id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    map BLOB NOT NULL
) STRICT;

CREATE TABLE blocks (
    leaf_index INTEGER PRIMARY KEY,
    payload_id INTEGER NOT NULL REFERENCES payloads,
    metadata_id INTEGER REFERENCES metadata,
    depth INTEGER NOT NULL,
    timestamp_key INTEGER NOT NULL,
    slices_before INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    compression INTEGER NOT NULL,
    block_hash BLOB NOT NULL CHECK (length(block_hash) = 32),
    parents BLOB NOT NULL
) STRICT;
CREATE INDEX blocks_by_hash ON blocks (substr(block_hash, 1, 8));
CREATE INDEX blocks_by_content ON blocks (payload_id);
CREATE INDEX blocks_by_key ON blocks (payload_id, codec, metadata_id);
CREATE INDEX blocks_by_depth ON blocks (depth);
CREATE INDEX blocks_by_time ON blocks (timestamp_key);

CREATE TABLE edges (
    parent INTEGER NOT NULL REFERENCES blocks (leaf_index),
    child INTEGER NOT NULL REFERENCES blocks (leaf_index),
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE TABLE frontier (
    leaf_index INTEGER PRIMARY KEY REFERENCES blocks
) STRICT;

CREATE TABLE log_nodes (
    node_id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    blocks INTEGER NOT NULL,
    edges INTEGER NOT NULL,
    depth_max INTEGER NOT NULL,
    depth_sum INTEGER NOT NULL,
    slices INTEGER NOT NULL,
    original_bytes INTEGER NOT NULL,
    referenced_bytes INTEGER NOT NULL,
    unique_bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    frontier INTEGER NOT NULL,
    payload_next INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

CREATE TABLE filter_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    capacity INTEGER NOT NULL,
    keys INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    payload_next INTEGER NOT NULL,
    late_sequence INTEGER NOT NULL,
    checksum BLOB NOT NULL CHECK (length(checksum) = 32)
) STRICT;
CREATE TABLE filter_pages (
    page INTEGER PRIMARY KEY,
    bits BLOB NOT NULL
) STRICT;
";

fn to_version_1(txn: &Connection) -> Result<(), Fault> {
    txn.execute_batch(VERSION_1)?;
    Ok(txn.execute_batch(OUTBOX_SCHEMA)?)
}

/// Indexes became sorted runs, edges and the frontier became part of them, chunks moved into the rows of their payloads,
/// and the lower nodes of the log into tiles.
const VERSION_2: &str = "
DROP INDEX payloads_by_hash;
DROP INDEX blocks_by_hash;
DROP INDEX blocks_by_content;
DROP INDEX blocks_by_key;
DROP INDEX blocks_by_depth;
DROP INDEX blocks_by_time;
DROP TABLE edges;
DROP TABLE frontier;
DROP TABLE filter_state;
DELETE FROM filter_pages;

ALTER TABLE payloads ADD COLUMN bytes BLOB;
UPDATE payloads SET bytes = (SELECT d.bytes FROM chunk_data d WHERE d.payload_id = payloads.payload_id) WHERE kind = 0;
DROP TABLE chunk_data;

ALTER TABLE blocks ADD COLUMN way INTEGER NOT NULL DEFAULT 0;

ALTER TABLE totals ADD COLUMN late_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
UPDATE totals SET late_sequence = (SELECT ifnull(max(sequence), 0) FROM late_names);

CREATE TABLE set_aside (
    set_aside_id INTEGER PRIMARY KEY,
    payload_id INTEGER NOT NULL,
    hash BLOB,
    compression INTEGER,
    original_size INTEGER,
    bytes BLOB
) STRICT;
CREATE INDEX set_aside_by_payload ON set_aside (payload_id);

CREATE TABLE log_tiles (
    tile INTEGER PRIMARY KEY,
    nodes BLOB NOT NULL CHECK (length(nodes) = 2016)
) STRICT;

CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY,
    index_id INTEGER NOT NULL,
    level INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    fences BLOB NOT NULL
) STRICT;
CREATE TABLE run_pages (
    page_id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE child_counts (
    page INTEGER PRIMARY KEY,
    counts BLOB NOT NULL
) STRICT;
CREATE TABLE derived (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    payload_next INTEGER NOT NULL,
    late_sequence INTEGER NOT NULL,
    capacity INTEGER NOT NULL,
    keys INTEGER NOT NULL,
    checksum BLOB NOT NULL CHECK (length(checksum) = 32)
) STRICT;
";

fn to_version_2(txn: &Connection) -> Result<(), Fault> {
    txn.execute_batch(VERSION_2)?;
    let blocks = read::totals(txn)?.0.blocks;
    write::write_ways(txn, blocks)?;
    for tile in 0..blocks >> TILE_LEVEL {
        let mut nodes = Vec::with_capacity(write::TILE_BYTES);
        for (level, index) in write::tile_nodes(tile) {
            let sql = "SELECT hash FROM log_nodes WHERE node_id = ?1";
            let number = node_number(level, index).map_or(-1, int);
            let hash: Option<Digest> = txn.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
            nodes.extend(hash.ok_or_else(|| Fault::damaged(format!("node {index} at level {level} is missing")))?);
        }
        txn.prepare_cached("INSERT INTO log_tiles (tile, nodes) VALUES (?1, ?2)")?.execute((int(tile), nodes))?;
    }
    // A node's number ends in as many 1 bits as its level.
    let above = 1 << (TILE_LEVEL + 1);
    txn.execute("DELETE FROM log_nodes WHERE node_id % ?1 <> ?1 - 1", [above])?;
    Ok(())
}

/// Blocks lost the foreign key on their payloads: no index helps it, so that each deletion of a payload looked at all blocks.
/// `payloads.refs` keeps count instead, as it does for chunks.
const VERSION_3_BLOCKS: &str = "
CREATE TABLE new_blocks (
    leaf_index INTEGER PRIMARY KEY,
    payload_id INTEGER NOT NULL,
    metadata_id INTEGER REFERENCES metadata,
    depth INTEGER NOT NULL,
    timestamp_key INTEGER NOT NULL,
    slices_before INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    compression INTEGER NOT NULL,
    block_hash BLOB NOT NULL CHECK (length(block_hash) = 32),
    parents BLOB NOT NULL,
    way INTEGER NOT NULL
) STRICT;
INSERT INTO new_blocks (leaf_index, payload_id, metadata_id, depth, timestamp_key, slices_before, codec, stored_size,
    compression, block_hash, parents, way)
    SELECT leaf_index, payload_id, metadata_id, depth, timestamp_key, slices_before, codec, stored_size,
    compression, block_hash, parents, way FROM blocks ORDER BY leaf_index;
DROP TABLE blocks;
ALTER TABLE new_blocks RENAME TO blocks;
";

/// What was decided about blocks. The second index finds the removed payloads among all others.
const VERSION_3_REMOVAL: &str = "
CREATE TABLE audits (
    leaf_index INTEGER PRIMARY KEY REFERENCES blocks
) STRICT;
CREATE TABLE forgotten (
    leaf_index INTEGER PRIMARY KEY REFERENCES blocks,
    audit INTEGER NOT NULL
) STRICT;
CREATE TABLE pins (
    leaf_index INTEGER PRIMARY KEY REFERENCES blocks,
    until_ms INTEGER,
    audit INTEGER NOT NULL
) STRICT;
CREATE INDEX payloads_removed ON payloads (payload_id, original_size) WHERE kind = 2;
";

/// Larger chunks went into packs.
const VERSION_3_PACKS: &str = "
CREATE TABLE packs (
    pack INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT;
";

fn to_version_3(txn: &Connection) -> Result<(), Fault> {
    txn.execute_batch(VERSION_3_BLOCKS)?;
    txn.execute_batch(VERSION_3_REMOVAL)?;
    Ok(txn.execute_batch(VERSION_3_PACKS)?)
}

/// Brings the file from `version` to [`VERSION`], in one transaction.
pub(super) fn migrate(connection: &mut Connection, version: u32) -> Result<(), Fault> {
    let txn = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(version as usize) {
        step(&txn)?;
    }
    txn.pragma_update(None, "application_id", APPLICATION_ID)?;
    txn.pragma_update(None, "user_version", VERSION)?;
    Ok(txn.commit()?)
}

/// Version of the file, if it is one of ours and not newer than this program.
pub(super) fn version(connection: &Connection) -> Result<u32, Fault> {
    let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application_id != APPLICATION_ID {
        return Err(BackendError::Damaged(format!("pakit.db has application id {application_id:#x}")).into());
    }
    let found = u32::try_from(found)
        .ok()
        .filter(|found| *found > 0)
        .ok_or_else(|| BackendError::Damaged(format!("pakit.db has format version {found}")))?;
    match found > VERSION {
        true => Err(BackendError::NewerVersion { found, supported: VERSION }.into()),
        false => Ok(found),
    }
}

/// Checks that all tables and indexes are there and are those that the migrations make.
pub(super) fn verify(connection: &Connection) -> Result<(), Fault> {
    let mut reference = Connection::open_in_memory()?;
    migrate(&mut reference, 0)?;
    let (expected, mut found) = (definitions(&reference)?, definitions(connection)?);
    for (key, definition) in expected {
        if found.remove(&key).as_ref() != Some(&definition) {
            let (_, name) = key;
            return Err(BackendError::Damaged(format!("{name} is missing from the database, or altered")).into());
        }
    }
    match found.into_keys().next() {
        Some((kind, name)) => {
            Err(BackendError::Damaged(format!("the {kind} {name} does not belong into the database")).into())
        }
        None => Ok(()),
    }
}

/// Definitions by kind and name, without SQLite's own tables and implicit indexes. A trigger or a view is never SQLite's own, whatever
/// its name, and may have that of a table.
fn definitions(connection: &Connection) -> Result<BTreeMap<(String, String), Option<String>>, Fault> {
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view')
        OR NOT (name LIKE 'sqlite@_%' ESCAPE '@' AND (type = 'table' OR sql IS NULL))";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map((), |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_definitions_of_each_version_are_frozen() {
        let digest = |script: &str| blake3::hash(script.as_bytes()).to_hex().to_string();
        assert_eq!(&digest(VERSION_1)[..16], "957532d748eca3db", "a change needs a new migration");
        assert_eq!(&digest(VERSION_2)[..16], "c5f6179d2994a69f", "a change needs a new migration");
        assert_eq!(&digest(VERSION_3_BLOCKS)[..16], "16841b7dc3582dc3", "a change needs a new migration");
        assert_eq!(&digest(VERSION_3_REMOVAL)[..16], "20d49d7c7a19bcf8", "a change needs a new migration");
        assert_eq!(&digest(VERSION_3_PACKS)[..16], "6b3961076b7995d2", "a change needs a new migration");
        assert_eq!(VERSION, 3);
    }

    #[test]
    fn a_trigger_is_noticed_whatever_its_name() {
        for name in ["sqlite_autoindex", "payloads", "anything"] {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, 0).unwrap();
            verify(&connection).unwrap();
            let sql = format!("CREATE TRIGGER {name} AFTER INSERT ON blocks BEGIN SELECT 1; END");
            connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
            let planted = "INSERT INTO sqlite_schema VALUES ('trigger', ?1, 'blocks', 0, ?2)";
            connection.execute(planted, [name, &sql]).unwrap();
            assert!(verify(&connection).is_err(), "{name}");
        }
    }
}
