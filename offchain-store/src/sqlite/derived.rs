//! What is derived from the rows in order to find them: the existence filter, the indexes, the counts of children, and the
//! log nodes of the tile that is not complete.
//!
//! All of it stands in memory and follows each commit. It is saved within the transaction of a commit once enough rows
//! have come ([`blocks_between_saves`]), so that opening reads what was saved and a bounded number of rows, also after a
//! crash. What was saved and is damaged is made anew from the rows.
//!
//! A process that only reads follows another one's commits: before each answer it compares its [`Position`] with the one
//! in the snapshot that it is about to read.

use super::{
    fault::{Fault, Result},
    read,
    recent::Recent,
    rows::{decode_parents, from_time_key, int, uint},
    runs::{Entry, Index, Runs, of_key},
};
use crate::{
    backend::LogNode,
    filter::ExistenceFilter,
    plan::{BlockPlan, Plan},
};
use pakit_primitives::{SoftwareHasher, hasher::Digest, log::hash_node};
use rusqlite::{Connection, OptionalExtension};
use std::{
    collections::{BTreeSet, HashMap},
    ops::{ControlFlow, RangeInclusive},
};

/// Bytes of the filter, and counts of children, per row.
const PAGE_BYTES: usize = 1 << 16;
/// Rows of blocks or payloads that are read at once when all is made anew.
const REBUILT_ROWS: u64 = 1 << 16;
/// A count of children that stands for itself and all greater ones.
const COUNT_MAX: u8 = u8::MAX;

/// Level of the roots of tiles: 256 leaves.
pub(super) const TILE_LEVEL: u32 = 8;

/// Blocks after which everything is saved again: what an opening has to catch up with. Grows with the log, so that saving the
/// filter and the counts, which are written whole, costs at most 400 bytes a block: 64 x (5 for the filter at its emptiest + 1).
fn blocks_between_saves(blocks: u64) -> u64 {
    (blocks / 64).max(1 << 16)
}

/// Up to where rows are derived from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Position {
    /// How often everything was saved.
    pub(super) generation: u64,
    /// The next block.
    pub(super) blocks: u64,
    /// The next payload.
    pub(super) payload_next: u64,
    /// The last payload that was named late.
    pub(super) late_sequence: u64,
}

impl Position {
    /// Whether rows came after this position that `self` knows of.
    fn is_beyond(&self, other: &Self) -> bool {
        self.blocks > other.blocks || self.payload_next > other.payload_next || self.late_sequence > other.late_sequence
    }
}

/// What some rows add.
#[derive(Default, Debug)]
pub(super) struct Additions {
    entries: [Vec<Entry>; Index::ALL.len()],
    /// A parent for each edge.
    parents: Vec<u64>,
    /// Inner nodes up to the roots of tiles, by level and place.
    nodes: HashMap<(u32, u64), Digest>,
    /// Hashes for the filter, of rows that were read. A plan's are noted before its rows are committed.
    hashes: Vec<Digest>,
}

impl Additions {
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let mut additions = Self::default();
        for (id, chunk) in &plan.chunks {
            additions.payload(*id, &chunk.chunk_hash.to_bytes());
        }
        for (id, hash, _) in &plan.absent {
            additions.payload(*id, &hash.to_bytes());
        }
        for (id, list) in plan.lists.iter().filter(|(_, list)| !list.is_dropped && list.restores.is_none()) {
            if let Some((hash, _)) = list.name {
                additions.payload(*id, &hash.to_bytes());
            }
        }
        for BlockPlan { block, payload_id, .. } in &plan.blocks {
            let header = block.header();
            let parents = header.parents.iter().map(|parent| parent.leaf_index);
            let (hash, leaf_index) = (block.block_hash().to_bytes(), block.leaf_index());
            additions.block(leaf_index, &hash, *payload_id, header.depth, header.timestamp_ms, parents);
        }
        let nodes = plan.log_nodes.iter().filter(|node| node.level <= TILE_LEVEL);
        additions.nodes = nodes.map(|LogNode { level, index, hash }| ((*level, *index), *hash)).collect();
        additions
    }

    fn push(&mut self, index: Index, key: u64, value: u64) {
        self.entries[index as usize].push((key, value));
    }

    fn payload(&mut self, id: u64, hash: &Digest) {
        self.push(Index::Payloads, prefix(hash), id);
    }

    fn block(
        &mut self,
        leaf_index: u64,
        hash: &Digest,
        payload_id: u64,
        depth: u32,
        timestamp_ms: u64,
        parents: impl Iterator<Item = u64>,
    ) {
        self.push(Index::Blocks, prefix(hash), leaf_index);
        self.push(Index::Contents, payload_id, leaf_index);
        self.push(Index::Depths, u64::from(depth), leaf_index);
        self.push(Index::Times, timestamp_ms, leaf_index);
        for parent in parents {
            self.push(Index::Children, parent, leaf_index);
            self.parents.push(parent);
        }
    }
}

/// First 8 bytes of a hash, so that the order of the numbers is that of the hashes.
pub(super) fn prefix(hash: &Digest) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Everything that is derived, at one position.
#[derive(Clone, Default, Debug)]
pub(super) struct Derived {
    position: Position,
    /// The position when everything was saved.
    saved: Position,
    filter: Option<ExistenceFilter>,
    /// Entries that are in no run yet.
    recent: [Recent; Index::ALL.len()],
    /// Children of each block, by leaf index, up to [`COUNT_MAX`].
    counts: Vec<u8>,
    /// Inner nodes of the tile that is not complete.
    nodes: HashMap<(u32, u64), Digest>,
    runs: Runs,
}

/// Questions.
impl Derived {
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Whether a hash may be kept; `false` is certain.
    pub(super) fn may_contain(&self, hash: &Digest) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.may_contain(hash))
    }

    /// The first value that satisfies `is_it` among those of the hashes that begin with these bytes, in an index of hashes.
    pub(super) fn find<T>(
        &self,
        connection: &Connection,
        index: Index,
        prefix: u64,
        mut is_it: impl FnMut(u64) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        for (_, value) in self.recent[index as usize].range(of_key(prefix)) {
            if let Some(found) = is_it(value)? {
                return Ok(Some(found));
            }
        }
        let mut found = None;
        let _: ControlFlow<()> = self.runs.of_hash(connection, index, prefix, |value| {
            found = is_it(value)?;
            Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    /// The first entries of a range, ascending.
    pub(super) fn list(
        &self,
        connection: &Connection,
        index: Index,
        range: RangeInclusive<Entry>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        if limit == 0 || range.is_empty() {
            return Ok(Vec::new());
        }
        let mut found: Vec<Entry> = self.recent[index as usize].first_of_each(range.clone(), limit).collect();
        self.runs.first_of_each(connection, index, &range, limit, &mut found)?;
        found.sort_unstable();
        found.dedup();
        found.truncate(limit);
        Ok(found)
    }

    /// How many blocks name this one as a parent.
    pub(super) fn child_count(&self, connection: &Connection, leaf_index: u64) -> Result<u64> {
        match self.count_at(leaf_index) {
            None => Ok(0),
            Some(COUNT_MAX) => {
                let mut children = self.recent[Index::Children as usize].range(of_key(leaf_index)).count() as u64;
                let _: ControlFlow<()> = self.runs.visit(connection, Index::Children, &of_key(leaf_index), |_| {
                    children += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(children)
            }
            Some(count) => Ok(u64::from(count)),
        }
    }

    /// The same, where it is known without the tables.
    pub(super) fn exact_child_count(&self, leaf_index: u64) -> Option<u64> {
        self.count_at(leaf_index).filter(|count| *count < COUNT_MAX).map(u64::from)
    }

    fn count_at(&self, leaf_index: u64) -> Option<u8> {
        self.counts.get(usize::try_from(leaf_index).ok()?).copied()
    }

    pub(super) fn is_frontier(&self, leaf_index: u64) -> bool {
        self.count_at(leaf_index) == Some(0)
    }

    /// Blocks without children, ascending.
    pub(super) fn frontier(&self, after: Option<u64>, limit: usize) -> Vec<u64> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let counts = usize::try_from(from).ok().and_then(|from| self.counts.get(from..)).unwrap_or_default();
        let without = counts.iter().zip(from..).filter(|(count, _)| **count == 0);
        without.map(|(_, leaf_index)| leaf_index).take(limit).collect()
    }

    /// A node of the tile that is not complete.
    pub(super) fn tail_node(&self, level: u32, index: u64) -> Option<Digest> {
        self.nodes.get(&(level, index)).copied()
    }

    /// A node up to a tile's root as it is once the additions are made.
    pub(super) fn node_with(&self, additions: &Additions, level: u32, index: u64) -> Option<Digest> {
        self.tail_node(level, index).or_else(|| additions.nodes.get(&(level, index)).copied())
    }

    /// Hashes noted and capacity.
    #[cfg(test)]
    pub(super) fn filter_size(&self) -> (u64, u64) {
        self.filter.as_ref().map_or((0, 0), |filter| (filter.keys(), filter.capacity()))
    }

    /// Whether the saved indexes can be read and cover all rows: exactly, or without those of blocks that are lost.
    pub(super) fn check(&self, connection: &Connection, are_blocks_lost: bool) -> Result<()> {
        super::runs::check(connection, &self.runs)?;
        let entries = |index: Index| self.runs.entries(index) + self.recent[index as usize].len() as u64;
        let (totals, _) = read::totals(connection)?;
        for (index, expected) in [
            (Index::Blocks, totals.blocks),
            (Index::Contents, totals.blocks),
            (Index::Depths, totals.blocks),
            (Index::Times, totals.blocks),
            (Index::Children, totals.edges),
        ] {
            let found = entries(index);
            if found > expected || (found < expected && !are_blocks_lost) {
                return Err(Fault::damaged(format!(
                    "the index of {index:?} has {found} entries instead of {expected}"
                )));
            }
        }
        Ok(())
    }
}

/// Changes in memory.
impl Derived {
    /// Notes hashes before their rows are committed: if that fails, the filter only says "maybe" more often.
    pub(super) fn note(&mut self, hashes: impl Iterator<Item = Digest>) {
        if let Some(filter) = &mut self.filter {
            hashes.for_each(|hash| filter.insert(&hash));
        }
    }

    /// Follows a commit of which `note` knows the hashes.
    pub(super) fn add(&mut self, additions: Additions, position: Position) {
        let Additions { entries, parents, nodes, hashes: _ } = additions;
        for (recent, entries) in self.recent.iter_mut().zip(entries) {
            recent.extend(entries);
        }
        count(&mut self.counts, position.blocks, &parents);
        self.nodes.extend(nodes);
        let tile = position.blocks >> TILE_LEVEL;
        self.nodes.retain(|(level, index), _| *level <= TILE_LEVEL && index >> (TILE_LEVEL - level) >= tile);
        self.position = position;
    }

    /// Replaces this with what [`Self::save_with`] made, whose transaction is committed.
    pub(super) fn saved_is(&mut self, saved: Saved, additions: Additions, position: Position) {
        self.add(additions, position);
        self.recent = Default::default();
        self.runs = saved.runs;
        self.filter = saved.larger_filter.or(self.filter.take());
        self.position.generation = saved.generation;
        self.saved = self.position;
    }
}

/// Lets blocks up to `blocks` be counted, and counts their parents.
fn count(counts: &mut Vec<u8>, blocks: u64, parents: &[u64]) {
    // A repository's blocks fit into its machine's address space, one byte each.
    counts.resize(usize::try_from(blocks).unwrap_or(usize::MAX), 0);
    for parent in parents {
        if let Some(count) = usize::try_from(*parent).ok().and_then(|parent| counts.get_mut(parent)) {
            *count = count.saturating_add(1);
        }
    }
}

/// The same counts in pages to be saved, without a copy of all of them.
fn pages_of_counts(counts: &[u8], blocks: u64, parents: &[u64]) -> impl Iterator<Item = Vec<u8>> {
    let mut parents = parents.to_vec();
    parents.sort_unstable();
    let end = usize::try_from(blocks).unwrap_or(usize::MAX);
    (0..end).step_by(PAGE_BYTES).map(move |first| {
        let known = counts.get(first..).unwrap_or_default();
        let mut page: Vec<u8> = known.iter().copied().take(PAGE_BYTES).collect();
        page.resize(PAGE_BYTES.min(end - first), 0);
        let begin = parents.partition_point(|parent| *parent < first as u64);
        for parent in parents.iter().skip(begin) {
            let Some(count) = page.get_mut((*parent - first as u64) as usize) else { break };
            *count = count.saturating_add(1);
        }
        page
    })
}

/// What a transaction saved, to be taken over when it is committed.
pub(super) struct Saved {
    runs: Runs,
    larger_filter: Option<ExistenceFilter>,
    generation: u64,
}

/// Saving and loading.
impl Derived {
    /// Whether everything is to be saved in the transaction that comes to `position`.
    pub(super) fn is_save_due(&self, position: Position) -> bool {
        let since = |now: u64, saved: u64| now.saturating_sub(saved) >= blocks_between_saves(position.blocks);
        since(position.blocks, self.saved.blocks)
            || since(position.payload_next, self.saved.payload_next)
            || self.filter.as_ref().is_some_and(ExistenceFilter::is_over_full)
    }

    /// Saves everything as it is after the additions, whose rows stand in the transaction.
    pub(super) fn save_with(&self, txn: &Connection, additions: &Additions, position: Position) -> Result<Saved> {
        let mut runs = self.runs.clone();
        for index in Index::ALL {
            let added = &additions.entries[index as usize];
            let mut entries: Vec<Entry> = self.recent[index as usize].iter().chain(added.iter().copied()).collect();
            entries.sort_unstable();
            runs.add(txn, index, entries.into_iter())?;
        }
        let larger_filter = match self.filter.as_ref().is_none_or(ExistenceFilter::is_over_full) {
            true => Some(filter_of_rows(txn, position)?),
            false => None,
        };
        let generation = self.position.generation + 1;
        if let Some(filter) = larger_filter.as_ref().or(self.filter.as_ref()) {
            let counts = pages_of_counts(&self.counts, position.blocks, &additions.parents);
            save(txn, &Position { generation, ..position }, filter, counts, &runs)?;
        }
        Ok(Saved { runs, larger_filter, generation })
    }

    /// What was saved, with the rows that came since; for a process that reads. What is damaged is made anew in memory.
    pub(super) fn of_reader(connection: &Connection) -> Result<Self> {
        check_sums(connection)?;
        let mut derived = match load(connection)? {
            Loaded::Never => Self::empty(),
            Loaded::Whole(derived) => *derived,
            Loaded::Damaged => {
                tracing::warn!(
                    "the saved indexes are damaged; they are made anew from the rows, until a writer saves them"
                );
                Self::empty()
            }
        };
        derived.catch_up(connection)?;
        Ok(derived)
    }

    /// The same for the writer, who saves what had to be made anew.
    pub(super) fn of_writer(connection: &mut Connection) -> Result<Self> {
        check_sums(connection)?;
        let loaded = load(connection)?;
        if matches!(loaded, Loaded::Damaged) {
            tracing::warn!("the saved indexes are damaged; they are made anew from the rows");
        }
        let mut derived = match loaded {
            Loaded::Whole(derived) => *derived,
            Loaded::Never | Loaded::Damaged => {
                connection.execute_batch(FORGET)?;
                let generation = position(connection)?.generation;
                Self { position: Position { generation, ..Position::default() }, ..Self::empty() }
            }
        };
        check_gap(connection, &derived.position, &position(connection)?)?;
        loop {
            let txn = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let end = position(&txn)?;
            let to = derived.position.step_towards(&end, &txn)?;
            let additions = additions_between(&txn, &derived.position, &to)?;
            derived.note(additions.hashes.iter().copied());
            match derived.is_save_due(to) {
                true => {
                    let saved = derived.save_with(&txn, &additions, to)?;
                    txn.commit()?;
                    derived.saved_is(saved, additions, to);
                }
                false => derived.add(additions, Position { generation: derived.position.generation, ..to }),
            }
            if !end.is_beyond(&derived.position) {
                break;
            }
        }
        derived.nodes = tail_nodes(connection, derived.position.blocks)?;
        Ok(derived)
    }

    fn empty() -> Self {
        Self { filter: Some(ExistenceFilter::with_capacity(0)), ..Self::default() }
    }

    /// Whether this knows all rows of the snapshot, and its runs are there.
    pub(super) fn fits(&self, snapshot: &Position) -> bool {
        self.position.generation == snapshot.generation && !snapshot.is_beyond(&self.position)
    }

    /// Takes in the rows of a snapshot; loads anew what was saved meanwhile.
    pub(super) fn catch_up(&mut self, snapshot: &Connection) -> Result<()> {
        let end = position(snapshot)?;
        if self.position.generation > end.generation || self.fits(&end) {
            return Ok(());
        }
        if end.generation > self.position.generation {
            *self = match load(snapshot)? {
                Loaded::Whole(derived) => *derived,
                Loaded::Never | Loaded::Damaged => Self::empty(),
            };
        }
        check_gap(snapshot, &self.position, &end)?;
        let additions = additions_between(snapshot, &self.position, &end)?;
        self.note(additions.hashes.iter().copied());
        self.add(additions, end);
        self.nodes = tail_nodes(snapshot, self.position.blocks)?;
        Ok(())
    }
}

impl Position {
    /// At most [`REBUILT_ROWS`] rows further.
    fn step_towards(&self, end: &Self, connection: &Connection) -> Result<Self> {
        // By rows and not by numbers, of which many may have been given back.
        let sql = "SELECT payload_id FROM payloads WHERE payload_id >= ?1 ORDER BY payload_id LIMIT 1 OFFSET ?2";
        let mut select = connection.prepare_cached(sql)?;
        let next = select.query_row((int(self.payload_next), int(REBUILT_ROWS)), |row| uint(row, 0)).optional()?;
        Ok(Self {
            generation: self.generation,
            blocks: self.blocks.saturating_add(REBUILT_ROWS).min(end.blocks),
            payload_next: next.map_or(end.payload_next, |next| next.min(end.payload_next)),
            late_sequence: end.late_sequence,
        })
    }
}

/// Blocks that the sums may tell of beyond the last row there is: more is no loss but a sum that is damaged, and room for their
/// counts would take all memory.
pub(super) const LOST_AT_END_MAX: u64 = 1 << 20;

fn check_sums(connection: &Connection) -> Result<()> {
    let last: Option<i64> = connection.query_row("SELECT max(leaf_index) FROM blocks", (), |row| row.get(0))?;
    let end = last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last.saturating_add(1));
    let told = position(connection)?.blocks;
    if told == 0 && last.is_some() {
        // Whoever took it for a repository that was not completely made would make a second genesis.
        return Err(Fault::damaged("the sums tell of no block, and there are some"));
    }
    match told.saturating_sub(end) > LOST_AT_END_MAX {
        true => Err(Fault::damaged(format!("the sums tell of {told} blocks, and the last one there is ends {end}"))),
        false => Ok(()),
    }
}

/// A block that stands far beyond all others lets the sums tell of as many: what is walked and counted by numbers has to be by rows.
fn check_gap(connection: &Connection, from: &Position, to: &Position) -> Result<()> {
    let numbers = to.blocks.saturating_sub(from.blocks);
    if numbers <= LOST_AT_END_MAX {
        return Ok(());
    }
    let sql = "SELECT count(*) FROM blocks WHERE leaf_index >= ?1 AND leaf_index < ?2";
    let rows = connection.query_row(sql, (int(from.blocks), int(to.blocks)), |row| uint(row, 0))?;
    match numbers.saturating_sub(rows) > LOST_AT_END_MAX {
        true => Err(Fault::damaged(format!("the sums tell of {} blocks, and most are missing", to.blocks))),
        false => Ok(()),
    }
}

/// Where the rows end.
pub(super) fn position(connection: &Connection) -> Result<Position> {
    let sql = "SELECT generation, blocks, payload_next, late_sequence FROM totals WHERE id = 1";
    let found = connection.prepare_cached(sql)?.query_row((), |row| {
        Ok(Position {
            generation: uint(row, 0)?,
            blocks: uint(row, 1)?,
            payload_next: uint(row, 2)?,
            late_sequence: uint(row, 3)?,
        })
    });
    found.optional()?.ok_or_else(|| Fault::damaged("the row of the totals is missing"))
}

const PAYLOADS_BETWEEN: &str =
    "SELECT payload_id, hash FROM payloads WHERE payload_id >= ?1 AND payload_id < ?2 AND hash IS NOT NULL";
/// Contents that were begun before and completed since.
const LATE_BETWEEN: &str =
    "SELECT p.payload_id, p.hash FROM late_names l JOIN payloads p ON p.payload_id = l.payload_id
    WHERE l.sequence > ?1 AND l.sequence <= ?2 AND p.hash IS NOT NULL";

// Rows that do not hold what was written into them are lost to whoever asks for them, and an audit tells of them. The rest
// can be found all the same.

fn payloads_between(connection: &Connection, from: &Position, to: &Position) -> Result<BTreeSet<(u64, Digest)>> {
    let mut found = BTreeSet::new();
    let ranges =
        [(PAYLOADS_BETWEEN, from.payload_next, to.payload_next), (LATE_BETWEEN, from.late_sequence, to.late_sequence)];
    for (sql, from, to) in ranges {
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query((int(from), int(to)))?;
        while let Some(row) = rows.next()? {
            found.extend(uint(row, 0).and_then(|id| Ok((id, row.get(1)?))).ok());
        }
    }
    Ok(found)
}

fn hashes_between(connection: &Connection, from: &Position, to: &Position) -> Result<Vec<Digest>> {
    let mut hashes: Vec<Digest> = payloads_between(connection, from, to)?.into_iter().map(|(_, hash)| hash).collect();
    let sql = "SELECT block_hash FROM blocks WHERE leaf_index >= ?1 AND leaf_index < ?2";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query((int(from.blocks), int(to.blocks)))?;
    while let Some(row) = rows.next()? {
        hashes.extend(row.get::<_, Digest>(0).ok());
    }
    Ok(hashes)
}

fn additions_between(connection: &Connection, from: &Position, to: &Position) -> Result<Additions> {
    let mut additions = Additions::default();
    for (id, hash) in payloads_between(connection, from, to)? {
        additions.payload(id, &hash);
        additions.hashes.push(hash);
    }
    let sql = "SELECT leaf_index, block_hash, payload_id, depth, timestamp_key, parents FROM blocks
        WHERE leaf_index >= ?1 AND leaf_index < ?2";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query((int(from.blocks), int(to.blocks)))?;
    while let Some(row) = rows.next()? {
        let mut add = || -> Result<()> {
            let leaf_index = uint(row, 0)?;
            let parents = decode_parents(leaf_index, row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?)?;
            let (payload_id, timestamp_ms) = (uint(row, 2)?, from_time_key(row, 4)?);
            let hash = row.get(1)?;
            additions.block(leaf_index, &hash, payload_id, row.get(3)?, timestamp_ms, parents.into_iter());
            additions.hashes.push(hash);
            Ok(())
        };
        if let Err(fault) = add() {
            tracing::warn!("a block's row cannot be read: {fault}");
        }
    }
    Ok(additions)
}

/// A filter over all rows before a position, with room for as many again. By rows, which numbers may be far more than.
fn filter_of_rows(txn: &Connection, to: Position) -> Result<ExistenceFilter> {
    let payloads = txn.query_row("SELECT count(*) FROM payloads", (), |row| uint(row, 0))?;
    let mut filter = ExistenceFilter::with_capacity(to.blocks.saturating_add(payloads));
    let mut from = Position::default();
    while to.is_beyond(&from) {
        let step = from.step_towards(&to, txn)?;
        hashes_between(txn, &from, &step)?.iter().for_each(|hash| filter.insert(hash));
        from = step;
    }
    Ok(filter)
}

/// The inner nodes of the tile that is not complete, from its leaves. Where a leaf is missing or no hash, so are the nodes above it:
/// the rest of a damaged repository can still be read.
fn tail_nodes(connection: &Connection, blocks: u64) -> Result<HashMap<(u32, u64), Digest>> {
    let first = blocks >> TILE_LEVEL << TILE_LEVEL;
    let mut nodes: HashMap<(u32, u64), Digest> = HashMap::new();
    let sql = "SELECT leaf_index, block_hash FROM blocks WHERE leaf_index >= ?1 AND leaf_index < ?2";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query((int(first), int(blocks)))?;
    while let Some(row) = rows.next()? {
        nodes.extend(uint(row, 0).and_then(|leaf_index| Ok(((0, leaf_index), row.get(1)?))).ok());
    }
    for level in 1..TILE_LEVEL {
        for index in first >> level..blocks >> level {
            if let (Some(left), Some(right)) =
                (nodes.get(&(level - 1, 2 * index)), nodes.get(&(level - 1, 2 * index + 1)))
            {
                nodes.insert((level, index), hash_node::<SoftwareHasher>(left, right));
            }
        }
    }
    nodes.retain(|(level, _), _| *level > 0);
    Ok(nodes)
}

/// What is derived is forgotten, and made anew by whoever opens the repository.
pub(super) const FORGET: &str =
    "DELETE FROM runs; DELETE FROM run_pages; DELETE FROM derived; DELETE FROM filter_pages;
    DELETE FROM child_counts;";

enum Loaded {
    Never,
    Whole(Box<Derived>),
    /// Wrong bits could deny what is kept, so that none are believed.
    Damaged,
}

fn load(connection: &Connection) -> Result<Loaded> {
    let sql =
        "SELECT generation, blocks, payload_next, late_sequence, capacity, keys, checksum FROM derived WHERE id = 1";
    let state = connection
        .prepare_cached(sql)?
        .query_row((), |row| {
            let position = Position {
                generation: uint(row, 0)?,
                blocks: uint(row, 1)?,
                payload_next: uint(row, 2)?,
                late_sequence: uint(row, 3)?,
            };
            Ok((position, uint(row, 4)?, uint(row, 5)?, row.get::<_, Digest>(6)?))
        })
        .optional()?;
    let Some((position, capacity, keys, checksum)) = state else { return Ok(Loaded::Never) };
    let mut hasher = sum_of(&position, capacity, keys);
    let (mut words, mut counts) = (Vec::new(), Vec::new());
    visit_pages(connection, "SELECT bits FROM filter_pages ORDER BY page", |page| {
        hasher.update(page);
        words.extend(page.as_chunks::<8>().0.iter().copied().map(u64::from_le_bytes));
    })?;
    visit_pages(connection, "SELECT counts FROM child_counts ORDER BY page", |page| {
        hasher.update(page);
        counts.extend_from_slice(page);
    })?;
    let end = self::position(connection)?;
    let (Some(filter), Ok(runs)) = (ExistenceFilter::from_words(capacity, keys, words), Runs::load(connection)) else {
        return Ok(Loaded::Damaged);
    };
    let is_whole = *hasher.update(&runs.digest()).finalize().as_bytes() == checksum
        && counts.len() as u64 == position.blocks
        && position.generation == end.generation
        && !position.is_beyond(&end);
    if !is_whole {
        return Ok(Loaded::Damaged);
    }
    let nodes = tail_nodes(connection, position.blocks)?;
    let derived =
        Derived { position, saved: position, filter: Some(filter), counts, nodes, runs, ..Derived::default() };
    Ok(Loaded::Whole(Box::new(derived)))
}

fn visit_pages(connection: &Connection, sql: &str, mut visit: impl FnMut(&[u8])) -> Result<()> {
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        visit(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    Ok(())
}

/// The beginning of the BLAKE3 over all that is saved: behind it come the bits, the counts, and of the runs, which have checksums
/// of their own, which ones there are.
fn sum_of(position: &Position, capacity: u64, keys: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    let Position { generation, blocks, payload_next, late_sequence } = *position;
    let bytes = ExistenceFilter::byte_count(capacity);
    for number in [generation, blocks, payload_next, late_sequence, capacity, keys, bytes] {
        hasher.update(&number.to_le_bytes());
    }
    hasher
}

fn save(
    txn: &Connection,
    position: &Position,
    filter: &ExistenceFilter,
    counts: impl Iterator<Item = Vec<u8>>,
    runs: &Runs,
) -> Result<()> {
    let mut hasher = sum_of(position, filter.capacity(), filter.keys());
    let mut write = |sql: &str, pages: &mut dyn Iterator<Item = Vec<u8>>| -> Result<()> {
        let mut insert = txn.prepare_cached(sql)?;
        for (page, bytes) in (0i64..).zip(pages) {
            hasher.update(&bytes);
            insert.execute((page, bytes))?;
        }
        Ok(())
    };
    write("INSERT OR REPLACE INTO filter_pages (page, bits) VALUES (?1, ?2)", &mut filter.pages(PAGE_BYTES / 8))?;
    write("INSERT OR REPLACE INTO child_counts (page, counts) VALUES (?1, ?2)", &mut { counts })?;
    // Both only ever grow, so that no page is left over.
    let sql = "INSERT OR REPLACE INTO derived
        (id, generation, blocks, payload_next, late_sequence, capacity, keys, checksum)
        VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let Position { generation, blocks, payload_next, late_sequence } = *position;
    let (capacity, keys) = (filter.capacity(), filter.keys());
    let checksum: Digest = *hasher.update(&runs.digest()).finalize().as_bytes();
    let places = (int(generation), int(blocks), int(payload_next), int(late_sequence));
    txn.execute(sql, (places.0, places.1, places.2, places.3, int(capacity), int(keys), checksum))?;
    txn.execute("UPDATE totals SET generation = ?1 WHERE id = 1", [int(generation)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn counts_are_saved_as_they_will_be_counted(
            counts in prop::collection::vec(250u8..=255, 0..3 * PAGE_BYTES),
            more in 0..2 * PAGE_BYTES as u64,
            parents in prop::collection::vec(0..5 * PAGE_BYTES as u64, 0..200),
        ) {
            let blocks = counts.len() as u64 + more;
            let parents: Vec<u64> = parents.into_iter().filter(|parent| *parent < blocks).collect();
            let pages: Vec<Vec<u8>> = pages_of_counts(&counts, blocks, &parents).collect();
            prop_assert!(pages.iter().rev().skip(1).all(|page| page.len() == PAGE_BYTES));
            let mut counted = counts;
            count(&mut counted, blocks, &parents);
            prop_assert_eq!(pages.concat(), counted);
        }
    }
}
