//! [`MemoryBackend`]: blocks kept in this process's memory, for tests, examples and whoever needs a DAG for a moment.

use crate::{
    backend::{BackendError, BlockKey, ChunkRef, DagBackend, Hop, PayloadInfo, StoredChunk, Totals, WriteBatch},
    block::DagBlock,
    bulk::{BULK_ROWS_MAX, BulkBackend, Extent, ListedChunk, Note, NoteKind, StoredPayload},
    dictionary::{Dictionary, Shelf},
    plan::{
        BlockPlan, Known, ListPlan, ParentRow, PayloadKind, PayloadRow, Plan, Removal, Staging, Stagings, node_number,
    },
    removal::marks::{BlockMark, Mark, MarkTotals, Marks, Pin},
};
use pakit_primitives::{BlockHash, Compression, ContentHash, MetadataHash, hasher::Digest};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::{Bound, RangeInclusive},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// A backend without a disk. Everything in it goes with it.
///
/// ```
/// use offchain_store::{DagBackend, memory::MemoryBackend};
/// let backend = MemoryBackend::new();
/// assert_eq!(backend.totals().unwrap().blocks, 0);
/// ```
#[derive(Debug, Default)]
pub struct MemoryBackend {
    state: RwLock<State>,
    dictionaries: Shelf,
}

#[derive(Debug)]
struct Payload {
    content_hash: Option<ContentHash>,
    original_size: u64,
    stored_size: u64,
    compression: Compression,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Chunk(Vec<u8>),
    /// Chunk numbers by offset.
    List(BTreeMap<u64, u64>),
    /// Nothing; headers name it.
    Removed,
}

#[derive(Debug, Default)]
struct State {
    totals: Totals,
    blocks: Vec<DagBlock>,
    hops: Vec<Option<Hop>>,
    by_hash: BTreeMap<BlockHash, u64>,
    by_key: BTreeMap<BlockKey, u64>,
    by_content: BTreeSet<(ContentHash, u64)>,
    by_depth: BTreeSet<(u32, u64)>,
    by_time: BTreeSet<(u64, u64)>,
    edges: BTreeSet<(u64, u64)>,
    frontier: BTreeSet<u64>,
    log_nodes: BTreeMap<u64, Digest>,
    payloads: BTreeMap<u64, Payload>,
    payload_ids: BTreeMap<ContentHash, u64>,
    payload_next: u64,
    metadata: BTreeMap<MetadataHash, Vec<u8>>,
    settings: BTreeMap<String, Vec<u8>>,
    notes: BTreeMap<(NoteKind, u64), Note>,
    stagings: Stagings,
    /// Forgotten blocks, with the audit blocks that tell of them.
    forgotten: BTreeMap<u64, u64>,
    pins: BTreeMap<u64, Pin>,
    audits: BTreeSet<u64>,
}

impl MemoryBackend {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    // A batch is checked before it is carried out, and carrying it out does not fail, so that a thread that panicked
    // while it held the lock left a whole state behind.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known for State {
    fn totals(&self) -> Result<Totals, BackendError> {
        Ok(self.totals)
    }

    fn payload_next(&self) -> Result<u64, BackendError> {
        Ok(self.payload_next)
    }

    fn payload(&self, hash: &ContentHash) -> Result<Option<PayloadRow>, BackendError> {
        Ok(self.find_payload(hash).map(|(id, payload)| PayloadRow {
            id,
            list_id: id,
            kind: match payload.data {
                Data::Chunk(_) => PayloadKind::Chunk,
                Data::List(_) => PayloadKind::List,
                Data::Removed => PayloadKind::Removed,
            },
            original_size: payload.original_size,
            stored_size: payload.stored_size,
        }))
    }

    fn list(&self, id: u64) -> Result<Vec<(u64, u64)>, BackendError> {
        Ok(match self.payloads.get(&id) {
            Some(Payload { data: Data::List(list), .. }) => list.iter().map(|(offset, id)| (*offset, *id)).collect(),
            _ => Vec::new(),
        })
    }

    fn parent(&self, leaf_index: u64) -> Result<Option<ParentRow>, BackendError> {
        let is_frontier = self.frontier.contains(&leaf_index);
        let steps = self.hop(leaf_index).map_or(0, |hop| hop.steps);
        Ok(self.block(leaf_index).map(|block| ParentRow { info: block.into(), steps, is_frontier }))
    }

    fn has_metadata(&self, hash: &MetadataHash) -> Result<bool, BackendError> {
        Ok(self.metadata.contains_key(hash))
    }

    fn is_held(&self, hash: &ContentHash) -> Result<bool, BackendError> {
        let mut blocks = self.by_content.range((*hash, 0)..=(*hash, u64::MAX));
        Ok(blocks.any(|(_, leaf_index)| !self.forgotten.contains_key(leaf_index)))
    }

    fn listed(&self, ids: &HashSet<u64>) -> Result<HashSet<u64>, BackendError> {
        let lists = self.payloads.values().filter_map(|payload| match &payload.data {
            Data::List(list) => Some(list.values()),
            Data::Chunk(_) | Data::Removed => None,
        });
        Ok(lists.flatten().filter(|id| ids.contains(id)).copied().collect())
    }
}

impl State {
    fn block(&self, leaf_index: u64) -> Option<&DagBlock> {
        self.blocks.get(usize::try_from(leaf_index).ok()?)
    }

    fn hop(&self, leaf_index: u64) -> Option<Hop> {
        self.hops.get(usize::try_from(leaf_index).ok()?).copied().flatten()
    }

    fn find_payload(&self, hash: &ContentHash) -> Option<(u64, &Payload)> {
        let id = *self.payload_ids.get(hash)?;
        Some((id, self.payloads.get(&id)?))
    }

    fn apply(&mut self, plan: Plan) {
        for (id, chunk) in plan.chunks.into_iter().chain(plan.restored) {
            self.payload_ids.insert(chunk.chunk_hash, id);
            let payload = Payload {
                content_hash: Some(chunk.chunk_hash),
                original_size: u64::from(chunk.original_size),
                stored_size: chunk.bytes.len() as u64,
                compression: chunk.compression,
                data: Data::Chunk(chunk.bytes),
            };
            self.payloads.insert(id, payload);
        }
        for (id, content_hash, original_size) in plan.absent {
            self.payload_ids.insert(content_hash, id);
            let payload = Payload {
                content_hash: Some(content_hash),
                original_size,
                stored_size: 0,
                compression: Compression::None,
                data: Data::Removed,
            };
            self.payloads.insert(id, payload);
        }
        for (id, list) in plan.lists {
            self.apply_list(id, list);
        }
        self.metadata.extend(plan.metadata);
        for BlockPlan { block, hop, .. } in plan.blocks {
            self.hops.push(hop);
            self.apply_block(block);
        }
        self.edges.extend(plan.edges);
        self.frontier.extend(plan.frontier_joined);
        for leaf_index in plan.frontier_left {
            self.frontier.remove(&leaf_index);
        }
        for node in plan.log_nodes {
            if let Some(number) = node_number(node.level, node.index) {
                self.log_nodes.insert(number, node.hash);
            }
        }
        self.totals = plan.totals;
        self.payload_next = plan.payload_next;
        self.stagings = plan.stagings;
        self.audits.extend(plan.audits);
        plan.marks.into_iter().for_each(|mark| self.apply_mark(mark));
        self.settings.extend(plan.settings);
        plan.removed.into_iter().for_each(|removal| self.apply_removal(removal));
    }

    fn apply_mark(&mut self, mark: Mark) {
        match mark {
            Mark::Forget { leaf_index, audit } => {
                self.forgotten.insert(leaf_index, audit);
            }
            Mark::Restore { leaf_index } => {
                self.forgotten.remove(&leaf_index);
            }
            Mark::Pin(pin) => {
                self.pins.insert(pin.leaf_index, pin);
            }
            Mark::Unpin { leaf_index } => {
                self.pins.remove(&leaf_index);
            }
        }
    }

    fn apply_removal(&mut self, removal: Removal) {
        let (Removal::Chunk(id) | Removal::List { id, .. } | Removal::Again(id)) = removal;
        let Some(payload) = self.payloads.get_mut(&id) else { return };
        let data = std::mem::replace(&mut payload.data, Data::Removed);
        (payload.stored_size, payload.compression) = (0, Compression::None);
        if let Removal::List { rows_to, .. } = removal {
            let unnamed =
                Payload { content_hash: None, original_size: 0, stored_size: 0, compression: Compression::None, data };
            self.payloads.insert(rows_to, unnamed);
        }
    }

    /// Lists that have no name and are not being written, and chunks that neither a list nor a block names.
    fn clear_unnamed(&mut self) {
        let staged: HashSet<u64> = self.stagings.values().map(Staging::id).collect();
        self.payloads.retain(|id, payload| payload.content_hash.is_some() || staged.contains(id));
        let listed: HashSet<u64> = self
            .payloads
            .values()
            .flat_map(|payload| match &payload.data {
                Data::List(list) => list.values().copied().collect(),
                Data::Chunk(_) | Data::Removed => Vec::new(),
            })
            .collect();
        let is_named = |id: &u64, hash: &ContentHash| {
            listed.contains(id) || self.by_content.range((*hash, 0)..=(*hash, u64::MAX)).next().is_some()
        };
        let unnamed: Vec<(u64, ContentHash)> = self
            .payloads
            .iter()
            .filter_map(|(id, payload)| Some((*id, payload.content_hash?)))
            .filter(|(id, hash)| !is_named(id, hash))
            .collect();
        for (id, hash) in unnamed {
            self.payload_ids.remove(&hash);
            if let Some(Payload { data: Data::Chunk(_), original_size, stored_size, .. }) = self.payloads.remove(&id) {
                self.totals.chunks -= 1;
                self.totals.unique_bytes -= original_size;
                self.totals.stored_bytes -= stored_size;
            }
        }
    }

    fn apply_list(&mut self, id: u64, plan: ListPlan) {
        if plan.is_dropped {
            self.payloads.remove(&id);
            return;
        }
        // A removed content is kept again under its own number, with what was staged of it under another one.
        let begun = match plan.restores {
            Some(_) => self.payloads.remove(&id),
            None => None,
        };
        let id = plan.restores.unwrap_or(id);
        let payload = self.payloads.entry(id).or_insert_with(|| Payload {
            content_hash: None,
            original_size: 0,
            stored_size: 0,
            compression: Compression::None,
            data: Data::Removed,
        });
        if let Data::Removed = payload.data {
            payload.data = begun.map_or_else(|| Data::List(BTreeMap::new()), |begun| begun.data);
        }
        if let Data::List(list) = &mut payload.data {
            list.extend(plan.rows);
        }
        if let Some((content_hash, info)) = plan.name {
            payload.content_hash = Some(content_hash);
            payload.original_size = info.original_size;
            payload.stored_size = info.stored_size;
            payload.compression = info.compression;
            self.payload_ids.insert(content_hash, id);
        }
    }

    fn apply_block(&mut self, block: DagBlock) {
        let (leaf_index, header) = (block.leaf_index(), block.header());
        self.by_hash.insert(block.block_hash(), leaf_index);
        self.by_key.entry(block.key()).or_insert(leaf_index);
        self.by_content.insert((header.content_hash, leaf_index));
        self.by_depth.insert((header.depth, leaf_index));
        self.by_time.insert((header.timestamp_ms, leaf_index));
        self.blocks.push(block);
    }

    fn chunk_ref(&self, offset: u64, id: u64) -> Result<ChunkRef, BackendError> {
        let damaged = || BackendError::Damaged(format!("payload {id} is no chunk, yet a content lists it"));
        let chunk = self.payloads.get(&id).ok_or_else(damaged)?;
        Ok(ChunkRef {
            offset,
            chunk_hash: chunk.content_hash.ok_or_else(damaged)?,
            original_size: u32::try_from(chunk.original_size).map_err(|_| damaged())?,
        })
    }
}

/// Items of an ordered set above `after` and up to `last`, at most `limit`.
fn page<T: Copy + Ord>(set: &BTreeSet<T>, first: T, after: Option<T>, last: T, limit: usize) -> Vec<T> {
    let start = match after {
        Some(after) if after >= first => Bound::Excluded(after),
        _ => Bound::Included(first),
    };
    // `BTreeSet::range` panics where the start is behind the end.
    if first > last || after.is_some_and(|after| after >= last) {
        return Vec::new();
    }
    set.range((start, Bound::Included(last))).take(limit).copied().collect()
}

impl DagBackend for MemoryBackend {
    fn totals(&self) -> Result<Totals, BackendError> {
        Ok(self.read().totals)
    }

    fn block(&self, leaf_index: u64) -> Result<Option<DagBlock>, BackendError> {
        Ok(self.read().block(leaf_index).cloned())
    }

    fn hop(&self, leaf_index: u64) -> Result<Option<Hop>, BackendError> {
        Ok(self.read().hop(leaf_index))
    }

    fn find_block(&self, block_hash: &BlockHash) -> Result<Option<u64>, BackendError> {
        Ok(self.read().by_hash.get(block_hash).copied())
    }

    fn find_blocks(
        &self,
        hashes: RangeInclusive<BlockHash>,
        limit: usize,
    ) -> Result<Vec<(BlockHash, u64)>, BackendError> {
        // `BTreeMap::range` panics where the start is behind the end.
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.read().by_hash.range(hashes).take(limit).map(|(hash, leaf_index)| (*hash, *leaf_index)).collect())
    }

    fn find_key(&self, key: &BlockKey) -> Result<Option<u64>, BackendError> {
        Ok(self.read().by_key.get(key).copied())
    }

    fn find_content(
        &self,
        content_hash: &ContentHash,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, BackendError> {
        let (first, last) = ((*content_hash, 0), (*content_hash, u64::MAX));
        let found = page(&self.read().by_content, first, after.map(|after| (*content_hash, after)), last, limit);
        Ok(found.into_iter().map(|(_, leaf_index)| leaf_index).collect())
    }

    fn log_node(&self, level: u32, index: u64) -> Result<Option<Digest>, BackendError> {
        let state = self.read();
        Ok(match level {
            0 => state.block(index).map(|block| block.block_hash().to_bytes()),
            _ => node_number(level, index).and_then(|number| state.log_nodes.get(&number).copied()),
        })
    }

    fn children(&self, leaf_index: u64, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        let (first, last) = ((leaf_index, 0), (leaf_index, u64::MAX));
        let found = page(&self.read().edges, first, after.map(|after| (leaf_index, after)), last, limit);
        Ok(found.into_iter().map(|(_, child)| child).collect())
    }

    fn child_count_at(&self, leaf_index: u64) -> Result<(u64, u64), BackendError> {
        let tables = self.read();
        let children = tables.edges.range((leaf_index, 0)..=(leaf_index, u64::MAX)).count();
        Ok((children as u64, tables.totals.blocks))
    }

    fn frontier(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        Ok(page(&self.read().frontier, 0, after, u64::MAX, limit))
    }

    fn by_depth(
        &self,
        depths: RangeInclusive<u32>,
        after: Option<(u32, u64)>,
        limit: usize,
    ) -> Result<Vec<(u32, u64)>, BackendError> {
        Ok(page(&self.read().by_depth, (*depths.start(), 0), after, (*depths.end(), u64::MAX), limit))
    }

    fn by_time(
        &self,
        times_ms: RangeInclusive<u64>,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<(u64, u64)>, BackendError> {
        Ok(page(&self.read().by_time, (*times_ms.start(), 0), after, (*times_ms.end(), u64::MAX), limit))
    }

    fn payload(&self, content_hash: &ContentHash) -> Result<Option<PayloadInfo>, BackendError> {
        Ok(self.read().find_payload(content_hash).map(|(_, payload)| PayloadInfo {
            original_size: payload.original_size,
            stored_size: payload.stored_size,
            compression: payload.compression,
            is_kept: !matches!(payload.data, Data::Removed),
        }))
    }

    fn chunks(&self, content_hash: &ContentHash, from: u64, limit: usize) -> Result<Vec<ChunkRef>, BackendError> {
        let state = self.read();
        let Some((id, payload)) = state.find_payload(content_hash) else { return Ok(Vec::new()) };
        if from > 0 && from >= payload.original_size {
            return Ok(Vec::new());
        }
        match &payload.data {
            Data::Removed => Ok(Vec::new()),
            Data::Chunk(_) => (0..limit.min(1)).map(|_| state.chunk_ref(0, id)).collect(),
            Data::List(list) => {
                let first = list.range(..=from).next_back().map_or(0, |(offset, _)| *offset);
                list.range(first..).take(limit).map(|(offset, id)| state.chunk_ref(*offset, *id)).collect()
            }
        }
    }

    fn chunk(&self, chunk_hash: &ContentHash) -> Result<Option<StoredChunk>, BackendError> {
        let state = self.read();
        let Some((id, Payload { data: Data::Chunk(bytes), compression, .. })) = state.find_payload(chunk_hash) else {
            return Ok(None);
        };
        let original_size = state.chunk_ref(0, id)?.original_size;
        Ok(Some(StoredChunk {
            chunk_hash: *chunk_hash,
            compression: *compression,
            original_size,
            bytes: bytes.clone(),
        }))
    }

    fn metadata(&self, metadata_hash: &MetadataHash) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.read().metadata.get(metadata_hash).cloned())
    }

    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.read().settings.get(key).cloned())
    }

    fn dictionary(&self, number: u32) -> Result<Option<Arc<Dictionary>>, BackendError> {
        self.dictionaries.get(number, |key| self.setting(key))
    }

    fn set_setting(&self, key: &str, value: &[u8]) -> Result<(), BackendError> {
        self.write().settings.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), BackendError> {
        let mut state = self.write();
        let plan = Plan::new(&*state, &state.stagings, batch)?;
        state.apply(plan);
        Ok(())
    }

    fn chunk_hashes(&self, after: Option<ContentHash>, limit: usize) -> Result<Vec<ContentHash>, BackendError> {
        let state = self.read();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = state.payload_ids.range((start, Bound::Unbounded));
        let is_chunk = |id| matches!(state.payloads.get(id), Some(Payload { data: Data::Chunk(_), .. }));
        Ok(ids.filter(|(_, id)| is_chunk(id)).take(limit).map(|(hash, _)| *hash).collect())
    }
}

impl BulkBackend for MemoryBackend {
    fn extent(&self) -> Result<Extent, BackendError> {
        let state = self.read();
        Ok(Extent { blocks: state.totals.blocks, payload_next: state.payload_next })
    }

    fn payload_rows(&self, from: u64, below: u64, bytes_max: usize) -> Result<Vec<(u64, StoredPayload)>, BackendError> {
        let state = self.read();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let range = if from < below { from..below } else { 0..0 };
        for (number, payload) in state.payloads.range(range).take(BULK_ROWS_MAX) {
            let row = match (&payload.data, payload.content_hash) {
                (Data::Removed, _) | (_, None) => StoredPayload::Absent,
                (Data::Chunk(stored), Some(chunk_hash)) => {
                    bytes += stored.len();
                    let original_size = state.chunk_ref(0, *number)?.original_size;
                    let (compression, bytes) = (payload.compression, stored.clone());
                    StoredPayload::Chunk(StoredChunk { chunk_hash, compression, original_size, bytes })
                }
                (Data::List(_), Some(content_hash)) => {
                    let Payload { original_size, stored_size, compression, .. } = *payload;
                    let info = PayloadInfo { original_size, stored_size, compression, is_kept: true };
                    StoredPayload::List { content_hash, info }
                }
            };
            rows.push((*number, row));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(rows)
    }

    fn removed_rows(&self, from: u64) -> Result<Vec<u64>, BackendError> {
        let state = self.read();
        let removed = state.payloads.range(from..).filter(|(_, payload)| matches!(payload.data, Data::Removed));
        Ok(removed.map(|(number, _)| *number).take(BULK_ROWS_MAX).collect())
    }

    fn list_rows(&self, number: u64, from: u64) -> Result<Vec<ListedChunk>, BackendError> {
        let state = self.read();
        let Some(Payload { data: Data::List(list), .. }) = state.payloads.get(&number) else { return Ok(Vec::new()) };
        let rows = list.range(from..).take(BULK_ROWS_MAX);
        let listed = |(offset, number): (&u64, &u64)| {
            let stored_size = state.payloads.get(number).map_or(0, |chunk| chunk.stored_size);
            Ok(ListedChunk { number: *number, stored_size, chunk: state.chunk_ref(*offset, *number)? })
        };
        rows.map(listed).collect()
    }

    fn block_rows(&self, from: u64, limit: usize) -> Result<Vec<(DagBlock, u64)>, BackendError> {
        let state = self.read();
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(state.blocks.len());
        let blocks = state.blocks.iter().skip(from).take(limit.min(BULK_ROWS_MAX));
        let with_number = |block: &DagBlock| {
            let found = state.find_payload(&block.header().content_hash);
            let missing = || BackendError::Damaged(format!("block {} has no payload", block.leaf_index()));
            Ok((block.clone(), found.ok_or_else(missing)?.0))
        };
        blocks.map(with_number).collect()
    }

    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, BackendError> {
        let state = self.read();
        Ok(state.settings.iter().take(BULK_ROWS_MAX).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn notes(&self, kind: NoteKind, from: u64) -> Result<Vec<Note>, BackendError> {
        let state = self.read();
        let notes = state.notes.range((kind, from)..=(kind, u64::MAX));
        Ok(notes.take(BULK_ROWS_MAX).map(|(_, note)| note.clone()).collect())
    }

    fn keep_notes(&self, notes: &[Note]) -> Result<(), BackendError> {
        let notes = notes.iter().map(|note| ((note.kind, note.number), note.clone()));
        self.write().notes.extend(notes);
        Ok(())
    }
}

impl Marks for MemoryBackend {
    fn mark(&self, leaf_index: u64) -> Result<BlockMark, BackendError> {
        let state = self.read();
        Ok(BlockMark {
            forgotten: state.forgotten.get(&leaf_index).copied(),
            pin: state.pins.get(&leaf_index).copied(),
            is_audit: state.audits.contains(&leaf_index),
        })
    }

    fn forgotten(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .read()
            .forgotten
            .range((start, Bound::Unbounded))
            .take(limit)
            .map(|(leaf_index, _)| *leaf_index)
            .collect())
    }

    fn pins(&self, after: Option<u64>, limit: usize) -> Result<Vec<Pin>, BackendError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.read().pins.range((start, Bound::Unbounded)).take(limit).map(|(_, pin)| *pin).collect())
    }

    fn audits(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        Ok(page(&self.read().audits, 0, after, u64::MAX, limit))
    }

    fn audit_count(&self) -> Result<u64, BackendError> {
        Ok(self.read().audits.len() as u64)
    }

    fn of_codec(&self, codec: u32, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        let state = self.read();
        let with_codec = state.blocks.iter().filter(|block| block.header().codec == codec).map(DagBlock::leaf_index);
        Ok(with_codec.filter(|leaf_index| after.is_none_or(|after| *leaf_index > after)).take(limit).collect())
    }

    fn mark_totals(&self) -> Result<MarkTotals, BackendError> {
        let state = self.read();
        let removed = || state.payloads.values().filter(|payload| matches!(payload.data, Data::Removed));
        Ok(MarkTotals {
            audits: state.audits.len() as u64,
            forgotten: state.forgotten.len() as u64,
            pins: state.pins.len() as u64,
            removed: removed().count() as u64,
            removed_bytes: removed().map(|payload| payload.original_size).sum(),
        })
    }

    fn listed(
        &self,
        contents: &[ContentHash],
        except: &dyn Fn(&ContentHash) -> Result<bool, BackendError>,
    ) -> Result<Vec<bool>, BackendError> {
        let state = self.read();
        let mut listed = HashSet::new();
        for payload in state.payloads.values() {
            let Data::List(list) = &payload.data else { continue };
            if !payload.content_hash.map_or(Ok(false), |hash| except(&hash))? {
                listed.extend(list.values().copied());
            }
        }
        Ok(contents.iter().map(|hash| state.payload_ids.get(hash).is_some_and(|id| listed.contains(id))).collect())
    }

    fn clear_unnamed(&self) -> Result<bool, BackendError> {
        self.write().clear_unnamed();
        Ok(false)
    }
}
