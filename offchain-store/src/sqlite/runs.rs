//! Sorted runs: indexes from numbers to numbers that grow by merging in bulk.
//!
//! Hashes come in no order, and neither do parents drawn from all of history. A tree of pages gets each such entry on
//! another page; once the tree outgrows memory, each insert reads and writes one. Here the newest entries stand in memory
//! ([`super::derived`]). Every so often they are sorted and written as a *run*, and [`FANOUT`] runs of a level are merged
//! into one of the next: an entry is written once per level, always in sequence, and a log of a million blocks has two
//! levels.
//!
//! A run is a row of `runs` and its pages in `run_pages`, numbered run x 2^24 + page. A page holds entries in ascending
//! order; its first one stands only among the run's *fences*, which are kept in memory. Each further entry is the distance
//! to the key before as LEB128, then the zigzag distance to the value before. Pages and fences begin with a CRC-32 of the
//! rest: an index that lies would deny what is kept.

use super::{
    fault::{Fault, Result},
    rows::{int, uint},
    sieve::Sieve,
    turned::{Turn, Turned},
};
use rusqlite::{Connection, OptionalExtension};
use std::{cmp::Reverse, collections::BinaryHeap, ops::ControlFlow, ops::RangeInclusive, sync::Arc};

/// Runs of one level that are merged into one of the next.
const FANOUT: usize = 8;
/// Bytes of a page: two of them fit into a page of the database, with the 15 bytes that SQLite adds to a row of a far number, 2 for where
/// it stands, and 8 a page.
const PAGE_BYTES_MAX: usize = (super::connection::PAGE_BYTES as usize - 8) / 2 - 15 - 2;
/// Bytes of the longest entry: two numbers of 64 bits as LEB128.
const ENTRY_BYTES_MAX: usize = 20;
/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 4;
/// Bits of a page's number within its run.
const PAGE_BITS: u32 = 24;
/// Levels that a run can have; with [`FANOUT`] more than any disk holds.
const LEVELS_MAX: u32 = 32;

/// A key and a value.
pub(super) type Entry = (u64, u64);

/// The indexes by the numbers they have in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Index {
    /// First 8 bytes of a block hash, to the leaf index.
    Blocks,
    /// First 8 bytes of a payload's hash, to its number.
    Payloads,
    /// A payload's number, to the leaf index of a block that names it.
    Contents,
    /// A parent, to a child.
    Children,
    /// A depth, to a leaf index.
    Depths,
    /// A time in Unix milliseconds, to a leaf index.
    Times,
}

impl Index {
    pub(super) const ALL: [Self; 6] =
        [Self::Blocks, Self::Payloads, Self::Contents, Self::Children, Self::Depths, Self::Times];
}

/// A run without its pages.
#[derive(PartialEq, Eq, Debug)]
struct Run {
    id: u64,
    level: u32,
    entries: u64,
    /// The first entry of each page.
    fences: Vec<Entry>,
    /// For the indexes of hashes.
    sieve: Sieve,
    /// For the others.
    turned: Turned,
}

/// All runs, by index, the oldest and largest first.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Runs {
    by_index: [Vec<Arc<Run>>; Index::ALL.len()],
    next_id: u64,
}

/// All entries with a key.
pub(super) fn of_key(key: u64) -> RangeInclusive<Entry> {
    (key, 0)..=(key, u64::MAX)
}

impl Runs {
    /// The runs in the tables.
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        let mut runs = Self::default();
        let sql = "SELECT run_id, index_id, level, entries, fences FROM runs ORDER BY run_id";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let (id, index) = (uint(row, 0)?, usize::from(row.get::<_, u8>(1)?));
            let (level, entries) = (row.get(2)?, uint(row, 3)?);
            let blob = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
            let damaged = || Fault::damaged(format!("run {id} of the indexes cannot be read"));
            let fences = decode_fences(blob, index, level, entries).ok_or_else(damaged)?;
            if level >= LEVELS_MAX || id >= 1 << (63 - PAGE_BITS) {
                return Err(damaged());
            }
            runs.next_id = runs.next_id.max(id + 1);
            runs.by_index.get_mut(index).ok_or_else(damaged)?.push(Arc::new(Run {
                id,
                level,
                entries,
                fences,
                sieve: Sieve::default(),
                turned: Turned::default(),
            }));
        }
        runs.by_index.iter_mut().for_each(|runs| runs.sort_by_key(|run| (Reverse(run.level), run.id)));
        Ok(runs)
    }

    /// Entries of an index.
    pub(super) fn entries(&self, index: Index) -> u64 {
        self.of(index).iter().map(|run| run.entries).sum()
    }

    /// Tells this set of runs from all others.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (index, runs) in (0u64..).zip(&self.by_index) {
            for run in runs {
                for number in [index, run.id, u64::from(run.level), run.entries] {
                    hasher.update(&number.to_le_bytes());
                }
            }
        }
        *hasher.finalize().as_bytes()
    }

    fn of(&self, index: Index) -> &[Arc<Run>] {
        &self.by_index[index as usize]
    }

    /// Calls `visit` with the entries of a range until it breaks: in ascending order within each run, the largest run first.
    pub(super) fn visit(
        &self,
        connection: &Connection,
        index: Index,
        range: &RangeInclusive<Entry>,
        mut visit: impl FnMut(Entry) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        for run in self.of(index) {
            if run.visit(connection, range, &mut visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Calls `visit` with the values of the hashes that begin with these bytes until it breaks, in an index of hashes.
    pub(super) fn of_hash(
        &self,
        connection: &Connection,
        index: Index,
        prefix: u64,
        mut visit: impl FnMut(u64) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        for run in self.of(index).iter().filter(|run| run.sieve.may_hold(prefix)) {
            let mut is_in_vain = true;
            let flow = run.visit(connection, &of_key(prefix), &mut |(_, value)| {
                is_in_vain = false;
                visit(value)
            })?;
            if flow.is_break() {
                return Ok(flow);
            }
            if is_in_vain && run.sieve.is_worth_learning(run.entries) {
                // A page that cannot be read is told by the question that needs it, which this one may not be.
                run.learn(connection)
                    .unwrap_or_else(|fault| tracing::debug!("run {} is not learned: {fault:?}", run.id));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds the first entries of a range, as many of each run.
    pub(super) fn first_of_each(
        &self,
        connection: &Connection,
        index: Index,
        range: &RangeInclusive<Entry>,
        limit: usize,
        found: &mut Vec<Entry>,
    ) -> Result<()> {
        for run in self.of(index) {
            let end = found.len().saturating_add(limit);
            let _: ControlFlow<()> = run.visit_in_turn(connection, range, &mut |entry| {
                found.push(entry);
                Ok(if found.len() < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
        }
        Ok(())
    }

    /// Writes a run of ascending entries, and merges runs where there are enough of a level. Part of a transaction; if that
    /// fails, this is of no use any more.
    pub(super) fn add(&mut self, txn: &Connection, index: Index, entries: impl Iterator<Item = Entry>) -> Result<()> {
        let mut writer = RunWriter::new(txn, self.next_id, index, 0);
        for entry in entries {
            writer.push(entry)?;
        }
        self.finish(index, writer)?;
        for level in 0..LEVELS_MAX - 1 {
            let of_level: Vec<_> = self.of(index).iter().filter(|run| run.level == level).cloned().collect();
            if of_level.len() < FANOUT {
                break;
            }
            self.merge(txn, index, level + 1, &of_level)?;
        }
        Ok(())
    }

    fn finish(&mut self, index: Index, writer: RunWriter<'_>) -> Result<()> {
        if let Some(run) = writer.finish()? {
            self.next_id += 1;
            let runs = &mut self.by_index[index as usize];
            runs.push(Arc::new(run));
            runs.sort_by_key(|run| (Reverse(run.level), run.id));
        }
        Ok(())
    }

    fn merge(&mut self, txn: &Connection, index: Index, level: u32, sources: &[Arc<Run>]) -> Result<()> {
        let mut writer = RunWriter::new(txn, self.next_id, index, level);
        let mut cursors: Vec<Cursor<'_>> = sources.iter().map(|run| Cursor::new(txn, run)).collect();
        let mut next = BinaryHeap::new();
        for (at, cursor) in cursors.iter_mut().enumerate() {
            next.extend(cursor.next()?.map(|entry| Reverse((entry, at))));
        }
        while let Some(Reverse((entry, at))) = next.pop() {
            writer.push(entry)?;
            if let Some(cursor) = cursors.get_mut(at) {
                next.extend(cursor.next()?.map(|entry| Reverse((entry, at))));
            }
        }
        drop(cursors);
        self.finish(index, writer)?;
        for run in sources {
            txn.prepare_cached("DELETE FROM runs WHERE run_id = ?1")?.execute([int(run.id)])?;
            let pages = "DELETE FROM run_pages WHERE page_id BETWEEN ?1 AND ?2";
            txn.prepare_cached(pages)?.execute((int(page_id(run.id, 0)), int(page_id(run.id + 1, 0)) - 1))?;
        }
        self.by_index[index as usize].retain(|run| sources.iter().all(|source| source.id != run.id));
        Ok(())
    }
}

/// Number of a page's row.
fn page_id(run: u64, page: u64) -> u64 {
    run << PAGE_BITS | page
}

impl Run {
    /// The page in which an entry stands, if it stands in this run.
    fn page_of(&self, entry: Entry) -> usize {
        self.fences.partition_point(|fence| *fence <= entry).saturating_sub(1)
    }

    fn visit(
        &self,
        connection: &Connection,
        range: &RangeInclusive<Entry>,
        visit: &mut impl FnMut(Entry) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        for page in self.page_of(*range.start())..self.fences.len() {
            if self.fences.get(page).is_none_or(|fence| fence > range.end()) {
                break;
            }
            let mut is_past = false;
            let flow = self.page(connection, page, |entry| {
                if entry > *range.end() {
                    is_past = true;
                    return Ok(ControlFlow::Break(()));
                }
                if entry >= *range.start() { visit(entry) } else { Ok(ControlFlow::Continue(())) }
            })?;
            if flow.is_break() {
                return Ok(if is_past { ControlFlow::Continue(()) } else { flow });
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The same where the next question is likely to be for what stands beside.
    fn visit_in_turn(
        &self,
        connection: &Connection,
        range: &RangeInclusive<Entry>,
        visit: &mut impl FnMut(Entry) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let (start, end) = (range.start(), range.end());
        if self.turned.ends_before(start) {
            return Ok(ControlFlow::Continue(()));
        }
        for page in self.page_of(*start)..self.fences.len() {
            if self.fences.get(page).is_none_or(|fence| fence > end) {
                break;
            }
            let (mut is_past, mut last) = (false, None);
            let mut meet = |entry| {
                last = Some(entry);
                is_past = entry > *end;
                match () {
                    () if is_past => Ok(ControlFlow::Break(())),
                    () if entry >= *start => visit(entry),
                    () => Ok(ControlFlow::Continue(())),
                }
            };
            let flow = match self.turned.turn_to(page) {
                Turn::First => self.page(connection, page, &mut meet)?,
                Turn::Again => {
                    let entries = self.entries_of(connection, page)?;
                    self.turned.keep(page, entries.clone());
                    meet_from(&entries, start, &mut meet)?
                }
                Turn::Kept(entries) => meet_from(&entries, start, &mut meet)?,
            };
            if flow.is_break() {
                return Ok(if is_past { ControlFlow::Continue(()) } else { flow });
            }
            if let Some(last) = last.filter(|_| page + 1 == self.fences.len()) {
                self.turned.ends_with(last);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn entries_of(&self, connection: &Connection, page: usize) -> Result<Arc<[Entry]>> {
        let mut entries = Vec::new();
        let _: ControlFlow<()> = self.page(connection, page, |entry| {
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries.into())
    }

    /// Lets later questions for what the run does not hold be answered from memory.
    fn learn(&self, connection: &Connection) -> Result<()> {
        let mut prefixes = Vec::with_capacity(usize::try_from(self.entries).unwrap_or(0));
        for page in 0..self.fences.len() {
            let _: ControlFlow<()> = self.page(connection, page, |(prefix, _)| {
                prefixes.push(prefix);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        self.sieve.learn(&prefixes);
        Ok(())
    }

    /// Calls `visit` with the entries of a page until it breaks.
    fn page(
        &self,
        connection: &Connection,
        page: usize,
        visit: impl FnMut(Entry) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let damaged = || Fault::damaged(format!("page {page} of run {} of the indexes cannot be read", self.id));
        let first = *self.fences.get(page).ok_or_else(damaged)?;
        let mut select = connection.prepare_cached("SELECT bytes FROM run_pages WHERE page_id = ?1")?;
        let mut rows = select.query([int(page_id(self.id, page as u64))])?;
        let row = rows.next()?.ok_or_else(damaged)?;
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        visit_page(checked(bytes).ok_or_else(damaged)?, first, visit)?.ok_or_else(damaged)
    }
}

/// Calls `meet` with the ascending entries from `start` on until it breaks, and with the one before.
fn meet_from(
    entries: &[Entry],
    start: &Entry,
    meet: &mut impl FnMut(Entry) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let from = entries.partition_point(|entry| entry < start).saturating_sub(1);
    for entry in entries.iter().skip(from) {
        if meet(*entry)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Walks over all entries of a run, a page at a time.
struct Cursor<'a> {
    connection: &'a Connection,
    run: &'a Run,
    page: usize,
    entries: std::vec::IntoIter<Entry>,
}

impl<'a> Cursor<'a> {
    fn new(connection: &'a Connection, run: &'a Run) -> Self {
        Self { connection, run, page: 0, entries: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            if self.page == self.run.fences.len() {
                return Ok(None);
            }
            let mut entries = Vec::new();
            let _: ControlFlow<()> = self.run.page(self.connection, self.page, |entry| {
                entries.push(entry);
                Ok(ControlFlow::Continue(()))
            })?;
            self.entries = entries.into_iter();
            self.page += 1;
        }
    }
}

/// Writes one run.
struct RunWriter<'a> {
    txn: &'a Connection,
    index: Index,
    run: Run,
    page: Vec<u8>,
    last: Entry,
}

impl<'a> RunWriter<'a> {
    fn new(txn: &'a Connection, id: u64, index: Index, level: u32) -> Self {
        let run = Run { id, level, entries: 0, fences: Vec::new(), sieve: Sieve::default(), turned: Turned::default() };
        Self { txn, index, run, page: Vec::with_capacity(PAGE_BYTES_MAX), last: (0, 0) }
    }

    /// Adds an entry that is not less than all before; one that is there is added no second time.
    fn push(&mut self, entry: Entry) -> Result<()> {
        if self.run.entries > 0 && entry == self.last {
            return Ok(());
        }
        if self.page.len() + ENTRY_BYTES_MAX > PAGE_BYTES_MAX {
            self.end_page()?;
        }
        if self.page.is_empty() {
            self.page.extend_from_slice(&[0; CHECKSUM_BYTES]);
            self.run.fences.push(entry);
        } else {
            encode_number(&mut self.page, entry.0 - self.last.0);
            encode_number(&mut self.page, zigzag(entry.1.wrapping_sub(self.last.1)));
        }
        self.last = entry;
        self.run.entries += 1;
        Ok(())
    }

    fn end_page(&mut self) -> Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        seal(&mut self.page);
        let id = page_id(self.run.id, self.run.fences.len() as u64 - 1);
        let sql = "INSERT INTO run_pages (page_id, bytes) VALUES (?1, ?2)";
        self.txn.prepare_cached(sql)?.execute((int(id), &self.page))?;
        self.page.clear();
        Ok(())
    }

    /// The run, unless nothing was in it.
    fn finish(mut self) -> Result<Option<Run>> {
        self.end_page()?;
        if self.run.entries == 0 {
            return Ok(None);
        }
        let Run { id, level, entries, fences, sieve: _, turned: _ } = &self.run;
        let blob = encode_fences(fences, self.index as usize, *level, *entries);
        let sql = "INSERT INTO runs (run_id, index_id, level, entries, fences) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.txn.prepare_cached(sql)?.execute((int(*id), self.index as u8, level, int(*entries), blob))?;
        Ok(Some(self.run))
    }
}

/// Fills in the checksum at the beginning.
fn seal(bytes: &mut [u8]) {
    if let Some((checksum, rest)) = bytes.split_first_chunk_mut::<CHECKSUM_BYTES>() {
        *checksum = crc32fast::hash(rest).to_le_bytes();
    }
}

/// What stands behind the checksum, if it fits.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    (crc32fast::hash(rest).to_le_bytes() == *checksum).then_some(rest)
}

/// The fences with what the run's row says of it, which the checksum covers too.
fn encode_fences(fences: &[Entry], index: usize, level: u32, entries: u64) -> Vec<u8> {
    let mut bytes = vec![0; CHECKSUM_BYTES];
    for number in [index as u64, u64::from(level), entries] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for (key, value) in fences {
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    seal(&mut bytes);
    bytes
}

fn decode_fences(bytes: &[u8], index: usize, level: u32, entries: u64) -> Option<Vec<Entry>> {
    let (numbers, rest) = checked(bytes)?.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let is_of_row = rest.is_empty()
        && numbers.next()? == index as u64
        && numbers.next()? == u64::from(level)
        && numbers.next()? == entries;
    let mut fences = Vec::with_capacity(numbers.len() / 2);
    while let Some(key) = numbers.next() {
        fences.push((key, numbers.next()?));
    }
    (is_of_row && !fences.is_empty() && fences.is_sorted()).then_some(fences)
}

/// `None` where the page cannot be decoded.
fn visit_page(
    mut bytes: &[u8],
    first: Entry,
    mut visit: impl FnMut(Entry) -> Result<ControlFlow<()>>,
) -> Result<Option<ControlFlow<()>>> {
    let mut entry = first;
    loop {
        if visit(entry)?.is_break() {
            return Ok(Some(ControlFlow::Break(())));
        }
        if bytes.is_empty() {
            return Ok(Some(ControlFlow::Continue(())));
        }
        let (Some(key), Some(value)) = (decode_number(&mut bytes), decode_number(&mut bytes)) else { return Ok(None) };
        let Some(key) = entry.0.checked_add(key) else { return Ok(None) };
        let next = (key, entry.1.wrapping_add(unzigzag(value)));
        if next <= entry {
            return Ok(None);
        }
        entry = next;
    }
}

/// Small numbers for small distances in either direction.
fn zigzag(distance: u64) -> u64 {
    let signed = distance.cast_signed();
    (signed << 1 ^ signed >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    number >> 1 ^ (number & 1).wrapping_neg()
}

fn encode_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn decode_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Whether all pages of all runs can be read and hold as many entries as they should.
pub(super) fn check(connection: &Connection, runs: &Runs) -> Result<()> {
    for run in Index::ALL.iter().flat_map(|index| runs.of(*index)) {
        let mut cursor = Cursor::new(connection, run);
        let mut entries = 0u64;
        let mut last = None;
        while let Some(entry) = cursor.next()? {
            if last >= Some(entry) {
                return Err(Fault::damaged(format!("run {} of the indexes is not in order", run.id)));
            }
            last = Some(entry);
            entries += 1;
        }
        if entries != run.entries {
            return Err(Fault::damaged(format!("run {} of the indexes lacks entries", run.id)));
        }
    }
    let pages = connection.query_row("SELECT count(*) FROM run_pages", (), |row| uint(row, 0)).optional()?;
    let expected: usize = Index::ALL.iter().flat_map(|index| runs.of(*index)).map(|run| run.fences.len()).sum();
    match pages == Some(expected as u64) {
        true => Ok(()),
        false => Err(Fault::damaged("the indexes have pages that belong to no run")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection, 0).unwrap();
        connection
    }

    fn list(connection: &Connection, runs: &Runs, range: RangeInclusive<Entry>, limit: usize) -> Vec<Entry> {
        let mut found = Vec::new();
        runs.first_of_each(connection, Index::Children, &range, limit, &mut found).unwrap();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// Keys that repeat, lie close together and lie far apart.
    fn entry() -> impl Strategy<Value = Entry> {
        let number = prop_oneof![0..50u64, any::<u64>(), Just(u64::MAX)];
        (number.clone(), number)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn runs_answer_like_one_sorted_set_however_they_were_merged(
            batches in prop::collection::vec(prop::collection::btree_set(entry(), 0..300), 1..30),
            ranges in prop::collection::vec((entry(), entry(), 0..400usize), 20),
        ) {
            let connection = database();
            let mut runs = Runs::default();
            let mut all = BTreeSet::new();
            for batch in batches {
                let new: Vec<Entry> = batch.difference(&all).copied().collect();
                runs.add(&connection, Index::Children, new.iter().copied()).unwrap();
                all.extend(new);
            }
            prop_assert_eq!(runs.entries(Index::Children), all.len() as u64);
            check(&connection, &runs).unwrap();
            prop_assert_eq!(&Runs::load(&connection).unwrap(), &runs);
            for (start, end, limit) in ranges {
                let expected: Vec<Entry> = all.iter().copied().filter(|entry| (start..=end).contains(entry)).take(limit).collect();
                prop_assert_eq!(list(&connection, &runs, start..=end, limit), expected);
            }
            for (key, value) in all.iter().step_by(7) {
                let mut found = Vec::new();
                let _ = runs.visit(&connection, Index::Children, &of_key(*key), |entry| {
                    found.push(entry.1);
                    Ok(ControlFlow::Continue(()))
                }).unwrap();
                found.sort_unstable();
                prop_assert!(found.binary_search(value).is_ok());
                prop_assert_eq!(found, all.range(of_key(*key)).map(|entry| entry.1).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn sixty_four_runs_become_one() {
        let connection = database();
        let mut runs = Runs::default();
        for run in 0..64u64 {
            runs.add(&connection, Index::Blocks, (0..100).map(|at| (at * 64 + run, run))).unwrap();
        }
        assert_eq!(runs.of(Index::Blocks).iter().map(|run| (run.level, run.entries)).collect::<Vec<_>>(), [(2, 6400)]);
        check(&connection, &runs).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_run_that_is_asked_in_vain_often_still_gives_all_that_it_holds(
            batches in prop::collection::vec(prop::collection::btree_map(any::<u64>(), any::<u64>(), 1..500), 2..6),
            absent in prop::collection::vec(any::<u64>(), 50),
        ) {
            let connection = database();
            let mut runs = Runs::default();
            for batch in &batches {
                runs.add(&connection, Index::Blocks, batch.iter().map(|(prefix, value)| (*prefix, *value))).unwrap();
            }
            let values = |prefix: u64| {
                let mut found = BTreeSet::new();
                let _ = runs.of_hash(&connection, Index::Blocks, prefix, |value| {
                    found.insert(value);
                    Ok(ControlFlow::Continue(()))
                }).unwrap();
                found
            };
            for prefix in batches.iter().flat_map(|batch| batch.keys()).chain(&absent) {
                let expected: BTreeSet<u64> = batches.iter().filter_map(|batch| batch.get(prefix)).copied().collect();
                prop_assert_eq!(values(*prefix), expected);
            }
            let has_learned = |run: &Arc<Run>| absent.iter().any(|prefix| !run.sieve.may_hold(*prefix));
            prop_assert!(runs.of(Index::Blocks).iter().all(has_learned), "50 questions in vain are enough for 500 entries");
        }
    }

    #[test]
    fn no_single_bit_of_a_page_or_of_a_runs_row_can_change_unseen() {
        let connection = database();
        let mut runs = Runs::default();
        runs.add(&connection, Index::Children, (0..2000).map(|at| (at * at, at))).unwrap();
        let flip = |sql: &str, bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            connection.execute(sql, [bytes]).unwrap();
        };
        let column = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let page = column("SELECT bytes FROM run_pages LIMIT 1");
        for at in (0..page.len() * 8).step_by(3) {
            flip("UPDATE run_pages SET bytes = ?1 WHERE page_id = (SELECT min(page_id) FROM run_pages)", &page, at);
            assert!(check(&connection, &runs).is_err(), "bit {at} of a page");
        }
        let fences = column("SELECT fences FROM runs");
        for at in 0..fences.len() * 8 {
            flip("UPDATE runs SET fences = ?1", &fences, at);
            assert!(Runs::load(&connection).is_err(), "bit {at} of the fences");
        }
        connection.execute("UPDATE runs SET fences = ?1, level = 1", [fences]).unwrap();
        assert!(Runs::load(&connection).is_err(), "the level");
    }
}
