//! The [`ExistenceFilter`] of a repository: kept in memory, saved now and then, and never behind what is committed.
//!
//! A writer notes a batch's hashes before it commits them. A reader in another process cannot know of them; before it says
//! that something is not there, it asks SQLite whether the database changed since it last looked, which reads shared memory
//! and no disk, and reads the rows that came since.
//!
//! The filter is saved within the transaction of a commit, once [`keys_between_saves`] new keys have come, so that opening
//! reads the saved bits and a bounded number of rows. A full filter is made anew from the tables, larger, which
//! happens each time that their number of rows has doubled; that is the only scan.

use super::{
    fault::{Fault, Result},
    read,
    rows::{int, uint},
};
use crate::filter::ExistenceFilter;
use pakit_primitives::hasher::Digest;
use rusqlite::{Connection, OptionalExtension};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of the filter per row of `filter_pages`.
const PAGE_BYTES: usize = 1 << 16;

/// Up to where the tables were read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Marks {
    /// The next block.
    blocks: u64,
    /// The next payload.
    payload_next: u64,
    /// The last payload that was named late.
    late_sequence: u64,
}

/// Keys after which the filter is saved again: what an opening has to catch up with. Grows with the filter, so that saving
/// costs at most 40 bytes per key.
fn keys_between_saves(capacity: u64) -> u64 {
    (capacity / 32).max(1 << 16)
}

/// A repository's filter.
#[derive(Debug)]
pub(super) struct Existence {
    filter: RwLock<ExistenceFilter>,
    /// In a process that does not write: what tells that another one does.
    follower: Option<Mutex<Follower>>,
}

#[derive(Debug)]
struct Follower {
    connection: Connection,
    data_version: i64,
    marks: Marks,
}

impl Existence {
    /// The filter of whoever writes, and how many keys it had when it was saved.
    pub(super) fn of_writer(connection: &Connection) -> Result<(Self, u64)> {
        let (filter, _, saved_keys) = load(connection)?;
        Ok((Self { filter: RwLock::new(filter), follower: None }, saved_keys))
    }

    /// The filter of whoever only reads, through a connection of its own.
    pub(super) fn of_reader(connection: Connection) -> Result<Self> {
        let data_version = data_version(&connection)?;
        let (filter, marks, _) = load(&connection)?;
        let follower = Follower { connection, data_version, marks };
        Ok(Self { filter: RwLock::new(filter), follower: Some(Mutex::new(follower)) })
    }

    // Bits are only ever added, so that a thread that panicked while it held the lock left nothing wrong.
    fn read(&self) -> RwLockReadGuard<'_, ExistenceFilter> {
        self.filter.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ExistenceFilter> {
        self.filter.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hash may be kept; `false` is certain for everything committed before the call.
    pub(super) fn may_contain(&self, key: &Digest) -> Result<bool> {
        if self.read().may_contain(key) {
            return Ok(true);
        }
        let Some(follower) = &self.follower else { return Ok(false) };
        let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
        follower.catch_up(self)?;
        Ok(self.read().may_contain(key))
    }

    /// Notes keys before they are committed.
    pub(super) fn insert(&self, keys: impl Iterator<Item = Digest>) {
        let mut filter = self.write();
        keys.for_each(|key| filter.insert(&key));
    }

    /// Enlarges the filter if it is full, and saves it if that is due, in the transaction that adds the keys. Gives the
    /// number of keys in it, if it was saved.
    pub(super) fn save_if_due(&self, txn: &Connection, saved_keys: u64) -> Result<Option<u64>> {
        let (is_over_full, keys, capacity) = {
            let filter = self.read();
            (filter.is_over_full(), filter.keys(), filter.capacity())
        };
        if is_over_full {
            let (filter, _) = rebuild(txn)?;
            *self.write() = filter;
        } else if keys.saturating_sub(saved_keys) < keys_between_saves(capacity) {
            return Ok(None);
        }
        let filter = self.read();
        save(txn, &filter)?;
        Ok(Some(filter.keys()))
    }

    /// Keys noted and capacity.
    #[cfg(test)]
    pub(super) fn size(&self) -> (u64, u64) {
        let filter = self.read();
        (filter.keys(), filter.capacity())
    }
}

impl Follower {
    fn catch_up(&mut self, existence: &Existence) -> Result<()> {
        // Asked before the rows are read: what is committed in between is read now and once more, and never missed.
        let data_version = data_version(&self.connection)?;
        if data_version == self.data_version {
            return Ok(());
        }
        let txn = self.connection.unchecked_transaction()?;
        let mut filter = existence.write();
        self.marks = add_since(&txn, self.marks, &mut filter)?;
        if filter.is_over_full() {
            let (larger, marks) = rebuild(&txn)?;
            *filter = larger;
            self.marks = marks;
        }
        drop(filter);
        drop(txn);
        self.data_version = data_version;
        Ok(())
    }
}

/// Changes whenever another connection commits.
fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))?)
}

/// The saved filter with all that came since, up to where the tables were read, and the keys it was saved with.
fn load(connection: &Connection) -> Result<(ExistenceFilter, Marks, u64)> {
    let txn = connection.unchecked_transaction()?;
    let (mut filter, marks) = match saved(&txn)? {
        Saved::Never => (ExistenceFilter::with_capacity(0), Marks::default()),
        Saved::Whole(filter, marks) => (filter, marks),
        Saved::Damaged => {
            tracing::warn!("the saved existence filter is damaged; it is made anew from the tables");
            let (filter, marks) = rebuild(&txn)?;
            return Ok((filter, marks, 0));
        }
    };
    let saved_keys = filter.keys();
    let marks = add_since(&txn, marks, &mut filter)?;
    if filter.is_over_full() {
        let (filter, marks) = rebuild(&txn)?;
        return Ok((filter, marks, 0));
    }
    Ok((filter, marks, saved_keys))
}

enum Saved {
    Never,
    Whole(ExistenceFilter, Marks),
    /// Wrong bits could deny what is kept, so that none are believed.
    Damaged,
}

fn saved(txn: &Connection) -> Result<Saved> {
    let sql = "SELECT capacity, keys, blocks, payload_next, late_sequence, checksum FROM filter_state WHERE id = 1";
    let state = txn
        .query_row(sql, (), |row| {
            let marks = Marks { blocks: uint(row, 2)?, payload_next: uint(row, 3)?, late_sequence: uint(row, 4)? };
            Ok((uint(row, 0)?, uint(row, 1)?, marks, row.get::<_, Digest>(5)?))
        })
        .optional()?;
    let Some((capacity, keys, marks, checksum)) = state else { return Ok(Saved::Never) };
    let mut bytes = Vec::new();
    let mut select = txn.prepare("SELECT bits FROM filter_pages ORDER BY page")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        bytes.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    if sum(capacity, keys, marks, &bytes) != checksum {
        return Ok(Saved::Damaged);
    }
    Ok(ExistenceFilter::from_bytes(capacity, keys, &bytes).map_or(Saved::Damaged, |filter| Saved::Whole(filter, marks)))
}

/// BLAKE3 over all that is saved.
fn sum(capacity: u64, keys: u64, marks: Marks, bytes: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for number in [capacity, keys, marks.blocks, marks.payload_next, marks.late_sequence] {
        hasher.update(&number.to_le_bytes());
    }
    *hasher.update(bytes).finalize().as_bytes()
}

fn save(txn: &Connection, filter: &ExistenceFilter) -> Result<()> {
    let marks = marks(txn)?;
    let bytes = filter.to_bytes();
    let mut insert = txn.prepare_cached("INSERT OR REPLACE INTO filter_pages (page, bits) VALUES (?1, ?2)")?;
    for (page, bits) in (0i64..).zip(bytes.chunks(PAGE_BYTES)) {
        insert.execute((page, bits))?;
    }
    let pages = bytes.len().div_ceil(PAGE_BYTES);
    txn.execute("DELETE FROM filter_pages WHERE page >= ?1", [int(pages as u64)])?;
    let sql = "INSERT OR REPLACE INTO filter_state (id, capacity, keys, blocks, payload_next, late_sequence, checksum)
        VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    let (capacity, keys) = (filter.capacity(), filter.keys());
    let places = (int(marks.blocks), int(marks.payload_next), int(marks.late_sequence));
    let checksum = sum(capacity, keys, marks, &bytes);
    txn.execute(sql, (int(capacity), int(keys), places.0, places.1, places.2, checksum))?;
    Ok(())
}

/// Where the tables end.
fn marks(txn: &Connection) -> Result<Marks> {
    let (totals, payload_next) = read::totals(txn)?;
    let sql = "SELECT ifnull(max(sequence), 0) FROM late_names";
    let late_sequence = txn.prepare_cached(sql)?.query_row((), |row| uint(row, 0))?;
    Ok(Marks { blocks: totals.blocks, payload_next, late_sequence })
}

/// A filter over all that the tables hold.
fn rebuild(txn: &Connection) -> Result<(ExistenceFilter, Marks)> {
    let end = marks(txn)?;
    let mut filter = ExistenceFilter::with_capacity(end.blocks.saturating_add(end.payload_next));
    let marks = add_since(txn, Marks::default(), &mut filter)?;
    Ok((filter, marks))
}

/// Adds the rows that came since.
fn add_since(txn: &Connection, since: Marks, filter: &mut ExistenceFilter) -> Result<Marks> {
    let blocks = "SELECT block_hash FROM blocks WHERE leaf_index >= ?1";
    let payloads = "SELECT hash FROM payloads WHERE payload_id >= ?1 AND hash IS NOT NULL";
    // A content that was begun before and completed since.
    let late = "SELECT p.hash FROM late_names l JOIN payloads p ON p.payload_id = l.payload_id
        WHERE l.sequence > ?1 AND p.hash IS NOT NULL";
    for (sql, from) in [(blocks, since.blocks), (payloads, since.payload_next), (late, since.late_sequence)] {
        let mut select = txn.prepare_cached(sql)?;
        let mut rows = select.query([int(from)])?;
        while let Some(row) = rows.next()? {
            let key: Digest = row.get(0).map_err(Fault::from)?;
            filter.insert(&key);
        }
    }
    marks(txn)
}
