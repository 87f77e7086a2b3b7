//! How packs and tables go together: which chunks go into packs, whether the packs are there and whole, and writing them anew.
//!
//! A pack that counts up to 0 was given up by a repair while its file was missing. Its number stays taken, and its file, should somebody
//! put it back, is left alone.

use super::{
    fault::{Fault, Result},
    read,
    rows::{PACKED, compression_of, int, stored_of, uint},
    write::{self, Places},
};
use crate::{
    backend::{CheckedRecord, PackPlace, StoredChunk},
    pack::{self, PACKED_BYTES_MIN, PackError, PackReader, PackWriter, Stored},
    plan::Plan,
};
use pakit_primitives::ContentHash;
use rusqlite::{Connection, TransactionBehavior};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
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

/// What rows name of a pack.
#[derive(Clone, Copy, Default, Debug)]
struct Named {
    /// In all.
    bytes: u64,
    /// Where the last of it ends.
    end: u64,
}

/// What all rows name, and how many rows name a place that cannot be read.
fn named(connection: &Connection) -> Result<(BTreeMap<u32, Named>, u64)> {
    let (mut named, mut unreadable): (BTreeMap<u32, Named>, _) = (BTreeMap::new(), 0);
    let sql = "SELECT compression, bytes FROM payloads WHERE compression >= ?1 AND bytes IS NOT NULL";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([PACKED])?;
    while let Some(row) = rows.next()? {
        let Some(Stored::Packed(place)) = stored_of(row.get(0)?, row.get(1)?) else {
            unreadable += 1;
            continue;
        };
        let of_pack = named.entry(place.pack).or_default();
        of_pack.bytes = of_pack.bytes.saturating_add(u64::from(place.length));
        of_pack.end = of_pack.end.max(place.end());
    }
    Ok((named, unreadable))
}

/// Whether all packs are there, as long as they count, and count as far as chunks stand in them.
pub(super) fn check(dir: &Path, connection: &Connection) -> Result<()> {
    let packs = &read::packs(connection)?;
    // A place that cannot be read is told of with its chunk.
    let (named, _) = named(connection)?;
    let is_short = |(number, named): &(u32, Named)| packs.get(number).is_none_or(|to| *to < named.end);
    if let Some((number, _)) = named.into_iter().find(is_short) {
        return Err(PackError::Named(number).into());
    }
    let found = pack::list(dir).map_err(PackError::from)?;
    for (number, bytes) in packs.iter().filter(|(_, bytes)| **bytes > 0) {
        if found.contains_key(number)
            && let Some(refusal) = pack::not_a_file(dir, *number).map_err(PackError::from)?
        {
            return Err(Fault::damaged(refusal));
        }
        match found.get(number) {
            None => return Err(Fault::damaged(format!("pack {number} is missing"))),
            Some(length) if length < bytes => return Err(Fault::damaged(format!("pack {number} is cut off"))),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Looks at the first record at a place or behind it. What a pack lacks at its end is told of all packs at once by [`check`].
pub(super) fn check_record(dir: &Path, packs: &BTreeMap<u32, u64>, from: PackPlace) -> Option<CheckedRecord> {
    let offset_in = |pack: u32| if pack == from.0 { from.1 } else { 0 };
    let mut ahead = packs.range(from.0..).map(|(pack, bytes)| (*pack, offset_in(*pack), *bytes));
    let (pack, offset, bytes) = ahead.find(|(_, offset, bytes)| offset < bytes)?;
    let (next, damage) = match pack::check_record(dir, pack, offset, bytes) {
        Ok(next) => (next, None),
        Err(PackError::Io(error)) if is_not_there(&error) => (u64::MAX, None),
        // Nothing tells where the next record begins.
        Err(error) => (u64::MAX, Some(error.to_string())),
    };
    Some(CheckedRecord { at: (pack, offset), next: (pack, next), damage })
}

fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

/// Packs that are not what was written, or not all of it. One that cannot be read now is an error.
fn damaged(dir: &Path, committed: &BTreeMap<u32, u64>) -> Result<BTreeSet<u32>> {
    let mut damaged = BTreeSet::new();
    for (pack, bytes) in committed {
        let mut offset = 0;
        while offset < *bytes {
            match pack::check_record(dir, *pack, offset, *bytes) {
                Ok(next) => offset = next,
                Err(PackError::Io(error)) if !is_not_there(&error) => return Err(PackError::Io(error).into()),
                Err(_) => {
                    damaged.insert(*pack);
                    break;
                }
            }
        }
    }
    Ok(damaged)
}

/// Lets packs count as far as chunks stand in them, which a repair has read; says how many did not.
pub(super) fn recount(dir: &Path, connection: &mut Connection, mut ends: BTreeMap<u32, u64>) -> Result<u64> {
    let committed = read::packs(connection)?;
    ends.retain(|number, end| committed.get(number).is_none_or(|to| to < end));
    for (number, end) in &mut ends {
        // To the end of the record that the last of them is in, if that can be told.
        *end = record_end(dir, *number, *end).unwrap_or(*end);
    }
    write::write_packs(connection, &ends)?;
    Ok(ends.len() as u64)
}

/// Forgets the numbers behind all packs that are there or that chunks name, if nothing counts in them: nobody gave those, and a writer goes on
/// behind the last one. Says how many. For a repair, as [`recount`].
pub(super) fn forget_unused(dir: &Path, connection: &Connection, last_named: u32) -> Result<u64> {
    let last_there = pack::list(dir).map_err(PackError::from)?.pop_last().map_or(0, |(number, _)| number);
    let sql = "DELETE FROM packs WHERE pack > ?1 AND bytes = 0";
    Ok(connection.execute(sql, [last_there.max(last_named)])? as u64)
}

/// Where the record ends that holds the byte before `end`.
fn record_end(dir: &Path, pack: u32, end: u64) -> Option<u64> {
    let bytes = pack::list(dir).ok()?.get(&pack).copied()?;
    let mut offset = 0;
    while offset < end {
        offset = pack::check_record(dir, pack, offset, bytes).ok()?;
    }
    Some(offset)
}

/// Moves what is still named out of packs that are damaged, and gives those up; says how many. For a repair, as [`recount`].
pub(super) fn renew(dir: &Path, connection: &mut Connection) -> Result<u64> {
    let committed = read::packs(connection)?;
    let mut damaged = damaged(dir, &committed)?;
    if damaged.is_empty() {
        return Ok(0);
    }
    let mut writer = PackWriter::new(dir, &committed);
    // The last number is never given up.
    writer.begin_pack()?;
    move_chunks(dir, connection, &mut writer, &mut damaged)?;
    remove(dir, connection, &damaged)?;
    Ok(damaged.len() as u64)
}

/// Moves what is still named out of packs that are mostly not, and removes those. A kill leaves chunks in old packs or in
/// new ones, and at most files that nothing names, which the next compacting removes.
pub(super) fn compact(dir: &Path, connection: &mut Connection) -> Result<()> {
    let committed = read::packs(connection)?;
    let (named, unreadable) = named(connection)?;
    if unreadable > 0 {
        // What they name is known to a repair only, which needs the packs for it.
        return Err(Fault::damaged("the place of a chunk cannot be read"));
    }
    clear(dir, &committed, &named)?;
    let mut sparse = sparse_packs(&committed, &named);
    if sparse.is_empty() {
        return Ok(());
    }
    let mut writer = PackWriter::new(dir, &committed);
    writer.end_pack()?;
    move_chunks(dir, connection, &mut writer, &mut sparse)?;
    remove(dir, connection, &sparse)
}

/// Moves all chunks of these packs to new ones, in transactions of a bounded size. A pack of which one cannot be read is taken out of
/// the set, and stays as it is.
fn move_chunks(
    dir: &Path,
    connection: &mut Connection,
    writer: &mut PackWriter,
    packs: &mut BTreeSet<u32>,
) -> Result<()> {
    let reader = PackReader::new(dir);
    let mut from = 0;
    loop {
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (chunks, next) = chunks_of(&txn, &reader, packs, from)?;
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
            None => return Ok(()),
        }
    }
}

/// Forgets packs that nothing names any more, then removes their files.
fn remove(dir: &Path, connection: &mut Connection, packs: &BTreeSet<u32>) -> Result<()> {
    // The last number stays taken: a reader may still have that pack open.
    let last = read::packs(connection)?.pop_last().map(|(pack, _)| pack);
    let emptied: Vec<u32> = packs.iter().filter(|pack| Some(**pack) != last).copied().collect();
    let (there, missing): (Vec<u32>, Vec<u32>) = emptied.into_iter().partition(|pack| pack::path(dir, *pack).exists());
    let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for pack in &there {
        txn.execute("DELETE FROM packs WHERE pack = ?1", [pack])?;
    }
    for pack in missing {
        // With a row, what is put back is not a dead writer's to be cleared away.
        txn.execute("UPDATE packs SET bytes = 0 WHERE pack = ?1", [pack])?;
    }
    txn.commit()?;
    for pack in there {
        std::fs::remove_file(pack::path(dir, pack)).map_err(PackError::from)?;
    }
    Ok(())
}

/// Removes what writers that died left: packs, and ends of packs, that neither count nor are named.
fn clear(dir: &Path, committed: &BTreeMap<u32, u64>, named: &BTreeMap<u32, Named>) -> Result<()> {
    for (number, length) in pack::list(dir).map_err(PackError::from)? {
        let counted = committed.get(&number).copied();
        let needed = named.get(&number).map_or(0, |named| named.end).max(counted.unwrap_or(0));
        if counted == Some(0) {
            // Somebody has put it back.
            continue;
        } else if needed == 0 {
            std::fs::remove_file(pack::path(dir, number)).map_err(PackError::from)?;
        } else if needed < length {
            let file = pack::open(dir, number, File::options().write(true)).map_err(PackError::from)?;
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

/// Chunks of packs from a payload's number on, and where to go on. A pack that cannot be read is taken out of the set.
fn chunks_of(
    connection: &Connection,
    reader: &PackReader,
    packs: &mut BTreeSet<u32>,
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
        if !packs.contains(&place.pack) {
            continue;
        }
        if bytes_read >= MOVED_BYTES_MAX {
            return Ok((chunks, Some(id)));
        }
        let Some((compression, bytes)) = compression_of(code).zip(reader.read(place).ok()) else {
            packs.remove(&place.pack);
            continue;
        };
        bytes_read += bytes.len();
        let chunk_hash = ContentHash::new(row.get(3)?);
        chunks.push((id, StoredChunk { chunk_hash, compression, original_size: row.get(2)?, bytes }));
    }
    Ok((chunks, None))
}
