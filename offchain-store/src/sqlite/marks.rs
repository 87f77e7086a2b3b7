//! The tables of marks: what was decided about blocks, and what follows for payloads.

use super::{
    derived::Derived,
    fault::{Fault, Result},
    read,
    rows::{int, limit, uint},
    scratch::Scratch,
    write::{change, execute, set_setting},
};
use crate::{
    backend::BackendError,
    plan::{Plan, Removal},
    removal::{
        Retention,
        marks::{BlockMark, Mark, MarkTotals, Pin},
    },
};
use pakit_primitives::{ContentHash, hasher::Digest};
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::HashMap;

/// Marks that are written between two looks at the scratch.
const REWRITTEN_PAGE: usize = 1_024;
/// Blocks of one content that are looked at at once.
const BLOCKS_PAGE: usize = 64;

/// Carries out what a plan says of marks, settings and removed payloads.
pub(super) fn apply(connection: &Connection, plan: &Plan) -> Result<()> {
    for audit in &plan.audits {
        execute(connection, "INSERT INTO audits (leaf_index) VALUES (?1)", [int(*audit)])?;
    }
    for mark in &plan.marks {
        apply_mark(connection, mark)?;
    }
    for (key, value) in &plan.settings {
        set_setting(connection, key, value)?;
    }
    plan.removed.iter().try_for_each(|removal| remove(connection, removal))
}

fn apply_mark(connection: &Connection, mark: &Mark) -> Result<()> {
    match mark {
        Mark::Forget { leaf_index, audit } => {
            let sql = "INSERT OR REPLACE INTO forgotten (leaf_index, audit) VALUES (?1, ?2)";
            execute(connection, sql, (int(*leaf_index), int(*audit)))?
        }
        Mark::Restore { leaf_index } => {
            execute(connection, "DELETE FROM forgotten WHERE leaf_index = ?1", [int(*leaf_index)])?
        }
        Mark::Pin(Pin { leaf_index, until_ms, audit }) => {
            let sql = "INSERT OR REPLACE INTO pins (leaf_index, until_ms, audit) VALUES (?1, ?2, ?3)";
            execute(connection, sql, (int(*leaf_index), until_ms.map(int), int(*audit)))?
        }
        Mark::Unpin { leaf_index } => {
            execute(connection, "DELETE FROM pins WHERE leaf_index = ?1", [int(*leaf_index)])?
        }
    };
    Ok(())
}

/// The row stays with its hash and size: headers are put together with them.
const REMOVE: &str =
    "UPDATE payloads SET kind = 2, compression = 0, stored_size = 0, bytes = NULL WHERE payload_id = ?1";

fn remove(connection: &Connection, removal: &Removal) -> Result<()> {
    let (Removal::Chunk(id) | Removal::List { id, .. } | Removal::Again(id)) = *removal;
    if let Removal::List { rows_to, .. } = *removal {
        let sql = "INSERT INTO payloads (payload_id, kind, refs, compression, original_size, stored_size)
            VALUES (?1, 1, 0, 0, 0, 0)";
        execute(connection, sql, [int(rows_to)])?;
        let sql = "UPDATE payload_chunks SET payload_id = ?2 WHERE payload_id = ?1";
        execute(connection, sql, (int(id), int(rows_to)))?;
    }
    // Bytes that a repair set aside are bytes of the content all the same.
    execute(connection, "DELETE FROM set_aside WHERE payload_id = ?1", [int(id)])?;
    match removal {
        Removal::Again(_) => Ok(()),
        Removal::Chunk(_) | Removal::List { .. } => change(connection, REMOVE, [int(id)]),
    }
}

/// Makes the marks what an audit trail tells, as the scratch has it; the trail's blocks are the chosen ones.
pub(super) fn rewrite(connection: &Connection, told: &Scratch, retention: Retention) -> Result<()> {
    connection.execute_batch("DELETE FROM audits; DELETE FROM forgotten; DELETE FROM pins;")?;
    let mut after = None;
    loop {
        let page = told.chosen(after, REWRITTEN_PAGE)?;
        for leaf_index in &page {
            execute(connection, "INSERT INTO audits (leaf_index) VALUES (?1)", [int(*leaf_index)])?;
        }
        after = page.last().copied();
        if page.len() < REWRITTEN_PAGE {
            break;
        }
    }
    after = None;
    loop {
        let page = told.told_forgotten(after, REWRITTEN_PAGE)?;
        for (leaf_index, audit) in &page {
            // A block that is lost has no row that a mark could name.
            let sql =
                "INSERT INTO forgotten (leaf_index, audit) SELECT leaf_index, ?2 FROM blocks WHERE leaf_index = ?1";
            execute(connection, sql, (int(*leaf_index), int(*audit)))?;
        }
        after = page.last().map(|(leaf_index, _)| *leaf_index);
        if page.len() < REWRITTEN_PAGE {
            break;
        }
    }
    after = None;
    loop {
        let page = told.told_pins(after, REWRITTEN_PAGE)?;
        for Pin { leaf_index, until_ms, audit } in &page {
            let sql = "INSERT INTO pins (leaf_index, until_ms, audit)
                SELECT leaf_index, ?2, ?3 FROM blocks WHERE leaf_index = ?1";
            execute(connection, sql, (int(*leaf_index), until_ms.map(int), int(*audit)))?;
        }
        after = page.last().map(|pin| pin.leaf_index);
        if page.len() < REWRITTEN_PAGE {
            break;
        }
    }
    let (key, value) = retention.setting();
    set_setting(connection, key, &value)
}

pub(super) fn mark(connection: &Connection, leaf_index: u64) -> Result<BlockMark> {
    let sql = "SELECT (SELECT audit FROM forgotten WHERE leaf_index = ?1),
        EXISTS (SELECT 1 FROM audits WHERE leaf_index = ?1), EXISTS (SELECT 1 FROM pins WHERE leaf_index = ?1)";
    let found = connection.prepare_cached(sql)?.query_row([int(leaf_index)], |row| {
        let forgotten: Option<i64> = row.get(0)?;
        Ok((forgotten, row.get(1)?, row.get(2)?))
    });
    let (forgotten, is_audit, is_pinned): (Option<i64>, bool, bool) = found?;
    let negative = |_| Fault::damaged(format!("block {leaf_index} was forgotten by what is no block"));
    let sql = "SELECT leaf_index, until_ms, audit FROM pins WHERE leaf_index = ?1";
    let pin = match is_pinned {
        true => connection.prepare_cached(sql)?.query_row([int(leaf_index)], pin_of_row).optional()?,
        false => None,
    };
    Ok(BlockMark { forgotten: forgotten.map(u64::try_from).transpose().map_err(negative)?, pin, is_audit })
}

pub(super) fn pin_of_row(row: &Row<'_>) -> rusqlite::Result<Pin> {
    let until_ms = match row.get::<_, Option<i64>>(1)? {
        Some(_) => Some(uint(row, 1)?),
        None => None,
    };
    Ok(Pin { leaf_index: uint(row, 0)?, until_ms, audit: uint(row, 2)? })
}

/// Leaf indices of a table in pages.
fn leaves(connection: &Connection, sql: &str, after: Option<u64>, limit_: usize) -> Result<Vec<u64>> {
    // Leaf indices begin with 0.
    let after = after.map_or(-1, int);
    let mut select = connection.prepare_cached(sql)?;
    let found = select.query_map((after, limit(limit_)), |row| uint(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn forgotten(connection: &Connection, after: Option<u64>, limit: usize) -> Result<Vec<u64>> {
    let sql = "SELECT leaf_index FROM forgotten WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
    leaves(connection, sql, after, limit)
}

pub(super) fn audits(connection: &Connection, after: Option<u64>, limit: usize) -> Result<Vec<u64>> {
    let sql = "SELECT leaf_index FROM audits WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
    leaves(connection, sql, after, limit)
}

pub(super) fn audit_count(connection: &Connection) -> Result<u64> {
    Ok(connection.prepare_cached("SELECT count(*) FROM audits")?.query_row((), |row| uint(row, 0))?)
}

pub(super) fn of_codec(connection: &Connection, codec: u32, after: Option<u64>, limit_: usize) -> Result<Vec<u64>> {
    let sql = "SELECT leaf_index FROM blocks WHERE leaf_index > ?1 AND codec = ?3 ORDER BY leaf_index LIMIT ?2";
    let mut select = connection.prepare_cached(sql)?;
    let found = select.query_map((after.map_or(-1, int), limit(limit_), codec), |row| uint(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn pins(connection: &Connection, after: Option<u64>, limit_: usize) -> Result<Vec<Pin>> {
    let sql = "SELECT leaf_index, until_ms, audit FROM pins WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
    let mut select = connection.prepare_cached(sql)?;
    let found = select.query_map((after.map_or(-1, int), limit(limit_)), pin_of_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn totals(connection: &Connection) -> Result<MarkTotals> {
    let sql = "SELECT (SELECT count(*) FROM audits), (SELECT count(*) FROM forgotten), (SELECT count(*) FROM pins),
        count(*), ifnull(sum(p.original_size), 0) FROM payloads p INDEXED BY payloads_removed
        WHERE p.kind = 2 AND NOT EXISTS (SELECT 1 FROM set_aside s WHERE s.payload_id = p.payload_id)";
    Ok(connection.prepare_cached(sql)?.query_row((), |row| {
        Ok(MarkTotals {
            audits: uint(row, 0)?,
            forgotten: uint(row, 1)?,
            pins: uint(row, 2)?,
            removed: uint(row, 3)?,
            removed_bytes: uint(row, 4)?,
        })
    })?)
}

/// Whether a block with this content is not forgotten.
pub(super) fn is_held(connection: &Connection, derived: &Derived, hash: &ContentHash) -> Result<bool> {
    let mut after = None;
    loop {
        let blocks = read::find_content(connection, derived, hash, after, BLOCKS_PAGE)?;
        for leaf_index in &blocks {
            let sql = "SELECT EXISTS (SELECT 1 FROM forgotten WHERE leaf_index = ?1)";
            if !connection.prepare_cached(sql)?.query_row([int(*leaf_index)], |row| row.get::<_, bool>(0))? {
                return Ok(true);
            }
        }
        after = blocks.last().copied();
        if blocks.len() < BLOCKS_PAGE {
            return Ok(false);
        }
    }
}

/// Which of the contents a list names as a chunk, other than those of contents that `except` names.
pub(super) fn listed(
    connection: &Connection,
    derived: &Derived,
    contents: &[ContentHash],
    except: &dyn Fn(&ContentHash) -> std::result::Result<bool, BackendError>,
) -> Result<Vec<bool>> {
    let mut wanted: HashMap<u64, usize> = HashMap::new();
    for (place, hash) in contents.iter().enumerate() {
        if let Some(payload) = read::payload(connection, derived, hash)? {
            wanted.insert(payload.row.id, place);
        }
    }
    let mut listed = vec![false; contents.len()];
    let mut select = connection.prepare_cached("SELECT payload_id, chunk_id FROM payload_chunks")?;
    let mut rows = select.query(())?;
    // The chunks of a list follow each other.
    let mut last: Option<(u64, bool)> = None;
    while let Some(row) = rows.next()? {
        let Some(place) = wanted.get(&uint(row, 1)?) else { continue };
        let list = uint(row, 0)?;
        let is_excepted = match last.filter(|(id, _)| *id == list) {
            Some((_, is_excepted)) => is_excepted,
            None => name_of(connection, list)?.map_or(Ok(false), |hash| except(&hash))?,
        };
        last = Some((list, is_excepted));
        listed[*place] |= !is_excepted;
    }
    Ok(listed)
}

fn name_of(connection: &Connection, payload_id: u64) -> Result<Option<ContentHash>> {
    let sql = "SELECT hash FROM payloads WHERE payload_id = ?1";
    let found: Option<Option<Digest>> =
        connection.prepare_cached(sql)?.query_row([int(payload_id)], |row| row.get(0)).optional()?;
    Ok(found.flatten().map(ContentHash::new))
}
