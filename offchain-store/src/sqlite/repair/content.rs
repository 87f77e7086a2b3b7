//! The part of a repair that looks whether the content of a block is there.

use super::{Materials, plain_chunk};
use crate::sqlite::{
    fault::Result,
    read,
    rows::{int, uint},
};
use pakit_primitives::hasher::Digest;
use rusqlite::{Connection, OptionalExtension};

/// What is there of a block's content.
pub(super) enum Content {
    /// All of it, or it was removed on purpose.
    Whole,
    /// All of it, once rows of its list that are none were taken away, or stand where their chunks do.
    Mended,
    /// A chunk, or all, was set aside: it comes back when its chunks are put again.
    SetAside,
    /// Its list of chunks lacks some, or names such as have no row any more.
    ListLost { payload_id: u64 },
    /// The payload's row is gone.
    RowLost,
}

pub(super) fn content_state(
    connection: &Connection,
    leaf_index: u64,
    original_size: u64,
    materials: &Materials,
) -> Result<Content> {
    let sql = "SELECT p.payload_id, p.kind, p.hash,
        EXISTS (SELECT 1 FROM payload_chunks c WHERE c.payload_id = p.payload_id),
        EXISTS (SELECT 1 FROM set_aside s WHERE s.payload_id = p.payload_id)
            OR NOT EXISTS (SELECT 1 FROM forgotten f WHERE f.leaf_index = b.leaf_index)
        FROM blocks b JOIN payloads p ON p.payload_id = b.payload_id WHERE b.leaf_index = ?1";
    let found = connection.prepare_cached(sql)?.query_row([int(leaf_index)], |row| {
        Ok((uint(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, Digest>(2)?, row.get(3)?, row.get(4)?))
    });
    // What was removed though the block was not forgotten is as lost as what was set aside.
    let (id, kind, hash, has_list, is_set_aside): (u64, i64, Digest, bool, bool) = match found.optional()? {
        Some(found) => found,
        None => return Ok(Content::RowLost),
    };
    match kind {
        0 => Ok(Content::Whole),
        1 => match list_state(connection, id, &hash, original_size, materials)? {
            Content::ListLost { .. } if mend_list(connection, id, &hash, original_size, materials)? => {
                Ok(Content::Mended)
            }
            state => Ok(state),
        },
        // A list whose row says that it was removed, though nothing of it was.
        _ if has_list && matches!(list_state(connection, id, &hash, original_size, materials)?, Content::Whole) => {
            connection.execute("UPDATE payloads SET kind = 1 WHERE payload_id = ?1", [int(id)])?;
            Ok(Content::Whole)
        }
        _ if has_list => Ok(Content::ListLost { payload_id: id }),
        _ => Ok(if is_set_aside { Content::SetAside } else { Content::Whole }),
    }
}

/// Whether the chunks of a list are there, follow each other, and are the content.
fn list_state(
    connection: &Connection,
    payload_id: u64,
    hash: &Digest,
    original_size: u64,
    materials: &Materials,
) -> Result<Content> {
    let sql = "SELECT c.start_offset, p.hash, p.compression, p.original_size, p.bytes, p.kind FROM payload_chunks c
        LEFT JOIN payloads p ON p.payload_id = c.chunk_id WHERE c.payload_id = ?1 ORDER BY c.start_offset";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([int(payload_id)])?;
    let mut hasher = blake3::Hasher::new();
    let (mut end, mut is_set_aside) = (0u64, false);
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<i64>>(5)? == Some(2) {
            is_set_aside = true;
            continue;
        }
        // Chunks were looked at before: those that are left are sound.
        let Some(plain) = plain_chunk(row, materials)? else { return Ok(Content::ListLost { payload_id }) };
        if !is_set_aside && row.get::<_, i64>(0)? != int(end) {
            return Ok(Content::ListLost { payload_id });
        }
        end += plain.len() as u64;
        hasher.update(&plain);
    }
    Ok(match end == original_size && hasher.finalize().as_bytes() == hash {
        true => Content::Whole,
        // Not known before its chunks are there again.
        false if is_set_aside => Content::SetAside,
        false => Content::ListLost { payload_id },
    })
}

/// A row of a list: where its chunk should stand, and which one it is.
type ListRow = (i64, i64);

/// Tries whether the chunks that a list names are the content, without rows that do not follow the others or in their order wherever they
/// say that they stand; and makes the list that. The content's hash tells.
fn mend_list(
    connection: &Connection,
    payload_id: u64,
    hash: &Digest,
    original_size: u64,
    materials: &Materials,
) -> Result<bool> {
    let sql = "SELECT start_offset, chunk_id FROM payload_chunks WHERE payload_id = ?1 ORDER BY start_offset";
    let rows: Vec<ListRow> = read::all(connection, sql, [int(payload_id)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for is_by_offset in [true, false] {
        let Some(list) = joined(connection, &rows, is_by_offset, hash, original_size, materials)? else { continue };
        connection.execute_batch("SAVEPOINT mend_list")?;
        connection.execute("DELETE FROM payload_chunks WHERE payload_id = ?1", [int(payload_id)])?;
        let sql = "INSERT INTO payload_chunks (payload_id, start_offset, chunk_id) VALUES (?1, ?2, ?3)";
        for (offset, chunk_id) in list {
            connection.prepare_cached(sql)?.execute((int(payload_id), offset, chunk_id))?;
        }
        connection.execute_batch("RELEASE mend_list")?;
        return Ok(true);
    }
    Ok(false)
}

/// The rows, each where the one before ends, whose chunks together have the hash.
fn joined(
    connection: &Connection,
    rows: &[ListRow],
    is_by_offset: bool,
    hash: &Digest,
    original_size: u64,
    materials: &Materials,
) -> Result<Option<Vec<ListRow>>> {
    let sql = "SELECT kind, hash, compression, original_size, bytes FROM payloads WHERE payload_id = ?1 AND kind = 0";
    let (mut hasher, mut end, mut list) = (blake3::Hasher::new(), 0, Vec::new());
    for (offset, chunk_id) in rows.iter().copied() {
        if end == original_size || (is_by_offset && offset != int(end)) {
            continue;
        }
        let mut select = connection.prepare_cached(sql)?;
        let plain =
            select.query_row([chunk_id], |row| Ok(plain_chunk(row, materials))).optional()?.transpose()?.flatten();
        let Some(plain) = plain else {
            // What is no chunk may be no row of the list either.
            continue;
        };
        list.push((int(end), chunk_id));
        end = end.saturating_add(plain.len() as u64);
        hasher.update(&plain);
        if end > original_size {
            return Ok(None);
        }
    }
    Ok((end == original_size && hasher.finalize().as_bytes() == hash).then_some(list))
}

/// Stored bytes of a list are those of its chunks, which were looked at before. Says how many rows said otherwise.
pub(super) fn correct_list_size(connection: &Connection, leaf_index: u64) -> Result<u64> {
    let sql = "UPDATE payloads SET stored_size = counted.size FROM
        (SELECT c.payload_id AS id, sum(p.stored_size) AS size
            FROM blocks b JOIN payload_chunks c ON c.payload_id = b.payload_id JOIN payloads p ON p.payload_id = c.chunk_id
            WHERE b.leaf_index = ?1 GROUP BY c.payload_id) AS counted
        WHERE payloads.payload_id = counted.id AND kind = 1 AND payloads.stored_size <> counted.size";
    Ok(connection.prepare_cached(sql)?.execute([int(leaf_index)])? as u64)
}
