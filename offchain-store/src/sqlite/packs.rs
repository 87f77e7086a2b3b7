//! How packs and tables go together: which chunks go into packs, whether the packs are there, and writing them anew.

use super::{
    fault::{Fault, Result},
    read,
    rows::{PACKED, compression_of, int, stored_of, uint},
    write::{self, Places},
};
use crate::{
    backend::StoredChunk,
    pack::{self, PACKED_BYTES_MIN, PackError, PackReader, PackWriter, Stored},
    plan::Plan,
};
use pakit_primitives::ContentHash;
use rusqlite::{Connection, TransactionBehavior};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Stored bytes that are moved in one transaction.
const MOVED_BYTES_MAX: usize = 32 << 20;
/// A pack is written anew if less than this share of it, in quarters, is still named.
const LIVE_QUARTERS_MIN: u64 = 3;

/// Chunks with the numbers of their payloads.
type Numbered = Vec<(u64, StoredChunk)>;

/// Appends a plan's larger chunks to a pack; gives their places.
pub(super) fn append(packs: &mut PackWriter, plan: &Plan) -> Result<Places> {
    let is_large = |(_, chunk): &&(u64, StoredChunk)| chunk.bytes.len() >= PACKED_BYTES_MIN;
    let large = || plan.chunks.iter().chain(&plan.restored).filter(is_large);
    let places = packs.append(large().map(|(id, chunk)| (*id, chunk)))?;
    Ok(large().map(|(id, _)| *id).zip(places).collect())
}

/// Whether all packs are there and as long as they count.
pub(super) fn check(dir: &Path, packs: &BTreeMap<u32, u64>) -> Result<()> {
    let found = pack::list(dir).map_err(PackError::from)?;
    for (number, bytes) in packs {
        match found.get(number) {
            None => return Err(Fault::damaged(format!("pack {number} is missing"))),
            Some(length) if length < bytes => return Err(Fault::damaged(format!("pack {number} is cut off"))),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Moves what is still named out of packs that are mostly not, and removes those. A kill leaves chunks in old packs or in
/// new ones, and at most files that nothing names, which the next compacting removes.
pub(super) fn compact(dir: &Path, connection: &mut Connection) -> Result<()> {
    let committed = read::packs(connection)?;
    let named = named(connection)?;
    clear(dir, &committed, &named)?;
    let mut sparse = sparse_packs(&committed, &named);
    if sparse.is_empty() {
        return Ok(());
    }
    let mut writer = PackWriter::new(dir, &committed);
    writer.end_pack().map_err(PackError::from)?;
    let reader = PackReader::new(dir);
    let mut from = 0;
    loop {
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (chunks, next) = chunks_of(&txn, &reader, &mut sparse, from)?;
        let places = writer.append(chunks.iter().map(|(id, chunk)| (*id, chunk)))?;
        for ((id, _), place) in chunks.iter().zip(places) {
            let sql = "UPDATE payloads SET bytes = ?2 WHERE payload_id = ?1";
            txn.prepare_cached(sql)?.execute((int(*id), place.to_bytes()))?;
        }
        write::write_packs(&txn, writer.sync(true).map_err(PackError::from)?)?;
        txn.commit()?;
        writer.committed();
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    remove(dir, connection, &sparse)
}

/// Forgets packs that nothing names any more, then removes their files.
fn remove(dir: &Path, connection: &mut Connection, packs: &BTreeSet<u32>) -> Result<()> {
    // The last number stays taken: a reader may still have that pack open.
    let last = read::packs(connection)?.pop_last().map(|(pack, _)| pack);
    let emptied = packs.iter().filter(|pack| Some(**pack) != last);
    let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for pack in emptied.clone() {
        txn.execute("DELETE FROM packs WHERE pack = ?1", [pack])?;
    }
    txn.commit()?;
    for pack in emptied {
        std::fs::remove_file(pack::path(dir, *pack)).map_err(PackError::from)?;
    }
    Ok(())
}

/// What rows name of a pack.
#[derive(Clone, Copy, Default, Debug)]
struct Named {
    /// In all.
    bytes: u64,
    /// Where the last of it ends.
    end: u64,
}

/// What all rows name.
fn named(connection: &Connection) -> Result<BTreeMap<u32, Named>> {
    let mut named: BTreeMap<u32, Named> = BTreeMap::new();
    let sql = "SELECT compression, bytes FROM payloads WHERE compression >= ?1 AND bytes IS NOT NULL";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([PACKED])?;
    while let Some(row) = rows.next()? {
        let Some(Stored::Packed(place)) = stored_of(row.get(0)?, row.get(1)?) else {
            // What it names is known to a repair only, which needs the packs for it.
            return Err(Fault::damaged("the place of a chunk cannot be read"));
        };
        let of_pack = named.entry(place.pack).or_default();
        of_pack.bytes = of_pack.bytes.saturating_add(u64::from(place.length));
        of_pack.end = of_pack.end.max(place.end());
    }
    Ok(named)
}

/// Removes what writers that died left: packs, and ends of packs, that neither count nor are named.
fn clear(dir: &Path, committed: &BTreeMap<u32, u64>, named: &BTreeMap<u32, Named>) -> Result<()> {
    for (number, length) in pack::list(dir).map_err(PackError::from)? {
        let needed = named.get(&number).map_or(0, |named| named.end).max(committed.get(&number).copied().unwrap_or(0));
        let file = pack::path(dir, number);
        if needed == 0 {
            std::fs::remove_file(file).map_err(PackError::from)?;
        } else if needed < length {
            let file = std::fs::File::options().write(true).open(file).map_err(PackError::from)?;
            file.set_len(needed).map_err(PackError::from)?;
        }
    }
    Ok(())
}

/// Packs of which little is named by any row.
fn sparse_packs(committed: &BTreeMap<u32, u64>, named: &BTreeMap<u32, Named>) -> BTreeSet<u32> {
    let is_sparse = |(pack, bytes): &(&u32, &u64)| {
        let named = named.get(pack).map_or(0, |named| named.bytes);
        named.saturating_mul(4) < bytes.saturating_mul(LIVE_QUARTERS_MIN)
    };
    committed.iter().filter(is_sparse).map(|(pack, _)| *pack).collect()
}

/// Chunks of sparse packs from a payload's number on, and where to go on. A pack that cannot be read stays as it is.
fn chunks_of(
    connection: &Connection,
    reader: &PackReader,
    sparse: &mut BTreeSet<u32>,
    from: u64,
) -> Result<(Numbered, Option<u64>)> {
    let sql = "SELECT payload_id, compression, original_size, hash, bytes FROM payloads
        WHERE payload_id >= ?1 AND compression >= ?2 AND bytes IS NOT NULL ORDER BY payload_id";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query((int(from), PACKED))?;
    let (mut chunks, mut bytes_read) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (id, code) = (uint(row, 0)?, row.get(1)?);
        let stored = stored_of(code, row.get(4)?);
        let Some(Stored::Packed(place)) = stored else { continue };
        if !sparse.contains(&place.pack) {
            continue;
        }
        if bytes_read >= MOVED_BYTES_MAX {
            return Ok((chunks, Some(id)));
        }
        let Some((compression, bytes)) = compression_of(code).zip(reader.read(place).ok()) else {
            sparse.remove(&place.pack);
            continue;
        };
        bytes_read += bytes.len();
        let chunk_hash = ContentHash::new(row.get(3)?);
        chunks.push((id, StoredChunk { chunk_hash, compression, original_size: row.get(2)?, bytes }));
    }
    Ok((chunks, None))
}
