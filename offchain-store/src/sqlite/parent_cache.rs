//! What the newest blocks' children ask of earlier blocks, in memory: parents are drawn from all of history, and each would
//! cost a look-up in the tables.

use crate::backend::ParentInfo;

use pakit_primitives::BlockHash;
use std::sync::{Mutex, PoisonError};

/// A block, and the steps from it to genesis.
pub(super) type Kept = (ParentInfo, u32);

/// Leaf index + 1, the block hash in four parts, depth and steps, time. All zeros where nothing is kept, so that memory is taken
/// only as it is used.
type Slot = [u64; 7];

/// Most slots: 224 MiB, of which only those are taken that are used.
const SLOTS_MAX: usize = 1 << 22;

/// Blocks in the slots of their lowest bits; a later one takes an earlier one's slot.
#[derive(Debug)]
pub(super) struct ParentCache {
    slots: Mutex<Vec<Slot>>,
}

impl ParentCache {
    /// With room for as many blocks as fit into so many bytes, and at least one.
    pub(super) fn new(bytes: u64) -> Self {
        let slots = usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<Slot>();
        Self { slots: Mutex::new(vec![Slot::default(); 1 << slots.clamp(1, SLOTS_MAX).ilog2()]) }
    }

    pub(super) fn keep(&self, blocks: impl Iterator<Item = Kept>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mask = slots.len() - 1;
        for kept in blocks {
            if let Some(slot) = slots.get_mut(kept.0.leaf_index as usize & mask) {
                *slot = encode(&kept);
            }
        }
    }

    /// What is kept, or else what `read` finds, which is kept then.
    pub(super) fn get_or_read<E>(
        &self,
        leaf_index: u64,
        read: impl FnOnce() -> Result<Option<Kept>, E>,
    ) -> Result<Option<Kept>, E> {
        if let Some(kept) = self.get(leaf_index) {
            return Ok(Some(kept));
        }
        let found = read()?;
        self.keep(found.into_iter());
        Ok(found)
    }

    fn get(&self, leaf_index: u64) -> Option<Kept> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .get(leaf_index as usize & (slots.len() - 1))
            .and_then(decode)
            .filter(|kept| kept.0.leaf_index == leaf_index)
    }
}

fn encode((info, steps): &Kept) -> Slot {
    let numbers = u64::from(*steps) << 32 | u64::from(info.depth);
    let mut slot = [info.leaf_index + 1, 0, 0, 0, 0, numbers, info.timestamp_ms];
    let words = info.block_hash.as_bytes().as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    slot.iter_mut().skip(1).zip(words).for_each(|(part, word)| *part = word);
    slot
}

fn decode(slot: &Slot) -> Option<Kept> {
    let [leaf, a, b, c, d, numbers, timestamp_ms] = *slot;
    let mut hash = [0; 32];
    hash.as_chunks_mut::<8>().0.iter_mut().zip([a, b, c, d]).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    let leaf_index = leaf.checked_sub(1)?;
    // Both were numbers of 32 bits when they were kept.
    let (depth, steps) = (numbers as u32, (numbers >> 32) as u32);
    Some((ParentInfo { leaf_index, block_hash: BlockHash::new(hash), depth, timestamp_ms }, steps))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn info(leaf_index: u64) -> Kept {
        let block_hash = BlockHash::new(*blake3::hash(&leaf_index.to_le_bytes()).as_bytes());
        let (depth, timestamp_ms) = (u32::MAX - leaf_index as u32, u64::MAX - leaf_index);
        (ParentInfo { leaf_index, block_hash, depth, timestamp_ms }, leaf_index as u32)
    }

    #[test]
    fn what_is_kept_comes_back_and_what_lost_its_slot_is_read() {
        let cache = ParentCache::new(8 * size_of::<Slot>() as u64);
        cache.keep((0..12).map(info));
        for leaf_index in 4..12 {
            assert_eq!(cache.get(leaf_index), Some(info(leaf_index)));
        }
        assert_eq!(cache.get(3), None);
        let read = cache.get_or_read(3, || Ok::<_, ()>(Some(info(3)))).unwrap();
        assert_eq!((read, cache.get(3), cache.get(11)), (Some(info(3)), Some(info(3)), None));
        assert_eq!(cache.get_or_read(99, || Ok::<_, ()>(None)), Ok(None));
    }

    #[test]
    fn a_cache_without_room_keeps_one_block() {
        let cache = ParentCache::new(0);
        cache.keep([info(0), info(1)].into_iter());
        assert_eq!((cache.get(0), cache.get(1)), (None, Some(info(1))));
    }
}
