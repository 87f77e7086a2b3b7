//! The part of a repair that asks the packs which chunk a payload's row should name.
//!
//! A record says itself which payload it holds, and a chunk is believed once it restores to its hash. So rows that are damaged or
//! gone are made anew, as far as something names them; what was removed on purpose is named by nothing and does not come back.

use super::{Materials, Repairer};
use crate::{
    compress::decompress,
    pack::{self, Listed, PackError, Stored},
    sqlite::{
        fault::Result,
        read,
        rows::{PACKED, int, uint},
        strays::NUMBER_END,
    },
};
use pakit_primitives::{ContentHash, hasher::Digest};
use rusqlite::{Connection, TransactionBehavior};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What is known of a payload whose row is of no use.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// The row is there; this is the hash that it has, which may be what is wrong with it.
    Damaged(Digest),
    /// The row is gone.
    Missing {
        /// Whether each block that names it was forgotten: then its hash and size are wanted, for the headers, and nothing else.
        is_forgotten: bool,
    },
}

impl Repairer<'_> {
    /// Makes the rows anew of chunks that packs hold. Takes those that were damaged out of `damaged`, where they stand with the hashes
    /// that their rows have.
    pub(super) fn restore_from_packs(&mut self, dir: &Path, damaged: &mut BTreeMap<u64, Digest>) -> Result<()> {
        let mut wanted = missing(self.connection)?;
        wanted.extend(damaged.iter().map(|(id, hash)| (*id, Wanted::Damaged(*hash))));
        if wanted.is_empty() {
            return Ok(());
        }
        for (id, listed) in self.listed(dir, &wanted)? {
            let is_forgotten = matches!(wanted.get(&id), Some(Wanted::Missing { is_forgotten: true }));
            self.restore(id, &listed, is_forgotten)?;
            damaged.remove(&id);
        }
        Ok(())
    }

    /// Of the chunks in packs those that are wanted and sound. Where numbers were given twice, the row's hash tells which one it is, or
    /// else it is the later one: the batch of the earlier one failed.
    fn listed(&self, dir: &Path, wanted: &BTreeMap<u64, Wanted>) -> Result<BTreeMap<u64, Listed>> {
        let counted = read::packs(self.connection)?;
        let there: BTreeSet<u32> = pack::list(dir).map_err(PackError::from)?.into_keys().collect();
        let mut found: BTreeMap<u64, Listed> = BTreeMap::new();
        for (number, bytes) in counted.iter().filter(|(number, _)| there.contains(number)) {
            let mut outcome = Ok(());
            pack::chunks(dir, *number, *bytes, &mut |listed| {
                let Some(wanted) = wanted.get(&listed.number) else { return };
                let is_named = |listed: &Listed| match wanted {
                    Wanted::Damaged(hash) => listed.chunk_hash.as_bytes() == hash,
                    Wanted::Missing { .. } => false,
                };
                let is_better = found.get(&listed.number).is_none_or(|earlier| !is_named(earlier) || is_named(&listed));
                if is_better && outcome.is_ok() {
                    outcome = is_sound(&listed, &self.materials).map(|is_sound| {
                        if is_sound {
                            found.insert(listed.number, listed);
                        }
                    });
                }
            })
            .map_err(PackError::from)?;
            outcome?;
        }
        Ok(found)
    }

    fn restore(&mut self, id: u64, listed: &Listed, is_forgotten: bool) -> Result<()> {
        let Listed { chunk_hash, compression, original_size, place, .. } = *listed;
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // References are counted once all rows are there.
        let sql = "INSERT INTO payloads (payload_id, kind, refs, compression, original_size, stored_size, hash, bytes)
            VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (payload_id) DO UPDATE SET kind = excluded.kind,
            compression = excluded.compression, original_size = excluded.original_size, stored_size = excluded.stored_size,
            hash = excluded.hash, bytes = excluded.bytes";
        let (kind, code, stored_size, bytes) = match is_forgotten {
            true => (2, 0, 0, None),
            false => (0, compression.code() | PACKED, place.length, Some(place.to_bytes())),
        };
        let hash = chunk_hash.to_bytes();
        txn.prepare_cached(sql)?.execute((int(id), kind, code, original_size, stored_size, hash, bytes))?;
        txn.commit()?;
        self.payloads_end = self.payloads_end.max(id.saturating_add(1));
        self.report.rows_corrected += 1;
        if !is_forgotten {
            self.counted.chunks += 1;
            self.counted.unique_bytes += u64::from(original_size);
            self.counted.stored_bytes += u64::from(stored_size);
        }
        Ok(())
    }
}

/// Whether a chunk in a pack restores to the hash that its record gives it. What cannot be read now is an error.
fn is_sound(listed: &Listed, materials: &Materials) -> Result<bool> {
    let bytes = materials.packs.restore(&Stored::Packed(listed.place))?;
    let find = |number| Ok(materials.dictionaries.get(&number).cloned());
    let plain = decompress(listed.compression, &bytes, listed.original_size, find);
    Ok(plain.is_ok_and(|plain| ContentHash::new(*blake3::hash(&plain).as_bytes()) == listed.chunk_hash))
}

/// Payloads that lists or blocks name and that have no row.
fn missing(connection: &Connection) -> Result<BTreeMap<u64, Wanted>> {
    let mut missing = BTreeMap::new();
    let of_blocks =
        "SELECT b.payload_id, min(EXISTS (SELECT 1 FROM forgotten f WHERE f.leaf_index = b.leaf_index)) FROM blocks b
        WHERE b.payload_id BETWEEN 1 AND ?1 AND NOT EXISTS (SELECT 1 FROM payloads p WHERE p.payload_id = b.payload_id)
        GROUP BY b.payload_id";
    // A removed content has no list.
    let of_lists = "SELECT DISTINCT c.chunk_id, 0 FROM payload_chunks c
        WHERE c.chunk_id BETWEEN 1 AND ?1 AND NOT EXISTS (SELECT 1 FROM payloads p WHERE p.payload_id = c.chunk_id)";
    for sql in [of_blocks, of_lists] {
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query([int(NUMBER_END - 1)])?;
        while let Some(row) = rows.next()? {
            missing.insert(uint(row, 0)?, Wanted::Missing { is_forgotten: row.get(1)? });
        }
    }
    Ok(missing)
}
