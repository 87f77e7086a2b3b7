//! Hot blocks in memory: least recently used, bounded in bytes.

use crate::block::DagBlock;
use lru::LruCache;
use pakit_primitives::BlockHash;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Content of a block is kept with it up to this many bytes; larger contents would drive too many blocks out.
pub const CACHED_CONTENT_BYTES_MAX: u64 = 64 << 10;

/// What an entry costs beyond its content: block, key, list node and hash table slot, rounded up.
const ENTRY_BYTES: usize = 640;

/// A block and, where it is small and was read, its verified content.
#[derive(Clone, Debug)]
pub struct CachedBlock {
    /// The block.
    pub block: Arc<DagBlock>,
    /// Its content.
    pub content: Option<Arc<[u8]>>,
}

impl CachedBlock {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.content.as_ref().map_or(0, |content| content.len())
    }
}

/// The cache. All methods take a short lock.
pub struct BlockCache {
    inner: Mutex<Inner>,
    bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Inner {
    blocks: LruCache<BlockHash, CachedBlock>,
    bytes: usize,
}

impl BlockCache {
    /// An empty cache of at most `bytes_max` bytes; 0 caches nothing.
    pub fn new(bytes_max: usize) -> Self {
        let inner = Mutex::new(Inner { blocks: LruCache::unbounded(), bytes: 0 });
        Self { inner, bytes_max, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    // A panic elsewhere while the lock was held can at worst have left the byte count off; the cache stays usable.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block, which becomes the most recently used.
    pub fn get(&self, block_hash: &BlockHash) -> Option<CachedBlock> {
        let found = self.lock().blocks.get(block_hash).cloned();
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// How often a block was found, and how often not.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Keeps a block and drops the least recently used ones beyond the bound.
    pub fn insert(&self, entry: CachedBlock) {
        if entry.bytes() > self.bytes_max {
            return;
        }
        let mut inner = self.lock();
        inner.bytes += entry.bytes();
        if let Some(replaced) = inner.blocks.put(entry.block.block_hash(), entry) {
            inner.bytes = inner.bytes.saturating_sub(replaced.bytes());
        }
        while inner.bytes > self.bytes_max {
            let Some((_, dropped)) = inner.blocks.pop_lru() else { break };
            inner.bytes = inner.bytes.saturating_sub(dropped.bytes());
        }
    }

    /// Drops all of them.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.blocks.clear();
        inner.bytes = 0;
    }

    /// Blocks that are kept now.
    pub fn len(&self) -> usize {
        self.lock().blocks.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::{DagBuilder, NewBlock};

    fn entry(number: u64, content: Option<&[u8]>) -> CachedBlock {
        let block = DagBuilder::new(0, 0).genesis(NewBlock::raw(&number.to_le_bytes()), number).unwrap();
        CachedBlock { block: Arc::new(block), content: content.map(Arc::from) }
    }

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let cache = BlockCache::new(3 * ENTRY_BYTES);
        let entries: Vec<CachedBlock> = (0..4).map(|number| entry(number, None)).collect();
        entries[..3].iter().for_each(|entry| cache.insert(entry.clone()));
        assert!(cache.get(&entries[0].block.block_hash()).is_some());
        cache.insert(entries[3].clone());
        assert!(cache.get(&entries[1].block.block_hash()).is_none(), "the oldest unused one is gone");
        assert!(cache.get(&entries[0].block.block_hash()).is_some(), "the one just used is kept");
        assert_eq!(cache.len(), 3);
        assert_eq!(cache.counts(), (2, 1));
    }

    #[test]
    fn contents_count_and_an_entry_above_the_bound_is_not_kept() {
        let cache = BlockCache::new(2 * ENTRY_BYTES);
        cache.insert(entry(0, Some(&[0; 3 * ENTRY_BYTES])));
        assert!(cache.is_empty());
        cache.insert(entry(1, None));
        cache.insert(entry(2, Some(&[0; ENTRY_BYTES])));
        assert_eq!(cache.len(), 1);
        // The same block again, now without content: its bytes are counted once.
        cache.insert(entry(2, None));
        cache.insert(entry(3, None));
        assert_eq!(cache.len(), 2);
        assert!(BlockCache::new(0).get(&entry(1, None).block.block_hash()).is_none());
    }
}
