//! [`ExistenceFilter`]: says of most hashes that are not kept that they are not, without asking the disk.
//!
//! A Bloom filter over block hashes and payload hashes: 7 bits per key among 10 bits per key of its capacity. A full filter
//! answers (1 - e^(-7/10))^7 = 0.82 % of the absent keys with "maybe"; a kept key is never answered with "no". The keys are
//! hashes, evenly spread already, so the bits are taken from their bytes instead of hashing them again.

use pakit_primitives::hasher::Digest;

/// Bits set per key.
const BITS_PER_KEY: usize = 7;
/// Bits of the filter per key of its capacity.
const BITS_PER_CAPACITY: u64 = 10;
/// Least capacity: 80 KiB of bits, enough for 32,768 blocks of a content each.
const CAPACITY_MIN: u64 = 1 << 16;
/// Bytes between the windows of a hash that the bits are taken from. Each window has 8 bytes, of which the first 4 are its
/// own; the shared rest only matters where a filter has more than 2^32 bits.
const WINDOW_STEP: usize = 4;
const WINDOW_BYTES: usize = 8;

/// A Bloom filter for a number of keys that is known when it is made.
///
/// ```
/// use offchain_store::filter::ExistenceFilter;
/// let mut filter = ExistenceFilter::with_capacity(1_000);
/// filter.insert(&[7; 32]);
/// assert!(filter.may_contain(&[7; 32]));
/// assert!(!filter.may_contain(&[200; 32]));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExistenceFilter {
    words: Vec<u64>,
    capacity: u64,
    keys: u64,
}

impl ExistenceFilter {
    /// An empty filter for at least this many keys: the next power of two, and at least 65,536.
    pub fn with_capacity(keys: u64) -> Self {
        let capacity = keys.max(CAPACITY_MIN).checked_next_power_of_two().unwrap_or(1 << 63);
        Self { words: vec![0; word_count(capacity)], capacity, keys: 0 }
    }

    /// Notes that a key is kept.
    pub fn insert(&mut self, key: &Digest) {
        self.keys = self.keys.saturating_add(1);
        for place in places(key, self.words.len()) {
            if let Some(word) = self.words.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
    }

    /// Whether a key may be kept; `false` is certain.
    pub fn may_contain(&self, key: &Digest) -> bool {
        places(key, self.words.len())
            .all(|place| self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1))
    }

    /// Keys noted, repeated ones counted each time.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Keys up to which at most 1 % of the answers "maybe" are wrong.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether more keys were noted than the filter was made for. It still never denies a kept key.
    pub fn is_over_full(&self) -> bool {
        self.keys > self.capacity
    }

    /// The bits, eight to a byte from the lowest on.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A filter as it was when [`ExistenceFilter::to_bytes`] was called; `None` if the sizes contradict each other.
    pub fn from_bytes(capacity: u64, keys: u64, bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let fits = capacity.is_power_of_two()
            && capacity >= CAPACITY_MIN
            && rest.is_empty()
            // Compared as a product that cannot overflow, before anything of that size is computed.
            && words.len() as u128 * 64 == u128::from(capacity) * u128::from(BITS_PER_CAPACITY);
        fits.then(|| Self { words: words.iter().copied().map(u64::from_le_bytes).collect(), capacity, keys })
    }
}

/// 64-bit words for a capacity, which is a power of two of at least [`CAPACITY_MIN`].
fn word_count(capacity: u64) -> usize {
    usize::try_from(capacity / 64 * BITS_PER_CAPACITY).unwrap_or(usize::MAX)
}

/// Bit positions of a key in a filter of that many words.
fn places(key: &Digest, words: usize) -> impl Iterator<Item = usize> {
    let bits = words as u128 * 64;
    key.windows(WINDOW_BYTES).step_by(WINDOW_STEP).take(BITS_PER_KEY).map(move |window| {
        let number = window.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        // number / 2^64 is a fraction of 1; that fraction of the bits is below `bits`, which fits a usize.
        ((u128::from(number) * bits) >> 64) as usize
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn key(number: u64) -> Digest {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn a_full_filter_is_wrong_about_at_most_one_absent_key_in_a_hundred() {
        let mut filter = ExistenceFilter::with_capacity(200_000);
        assert_eq!(filter.capacity(), 1 << 18);
        for number in 0..filter.capacity() {
            filter.insert(&key(number));
        }
        assert!(!filter.is_over_full());
        let asked = 200_000;
        let wrong = (0..asked).filter(|number| filter.may_contain(&key(1 << 32 | number))).count();
        assert!(wrong * 100 <= asked as usize, "{wrong} of {asked}");
        assert!(wrong > 0, "a filter of this size that is never wrong was not asked properly");
    }

    #[test]
    fn two_hundred_thousand_kept_keys_are_never_denied() {
        let mut filter = ExistenceFilter::with_capacity(200_000);
        (0..200_000).for_each(|number| filter.insert(&key(number)));
        assert!((0..200_000).all(|number| filter.may_contain(&key(number))));
    }

    #[test]
    fn bytes_of_another_size_are_refused() {
        let filter = ExistenceFilter::with_capacity(0);
        let bytes = filter.to_bytes();
        assert_eq!(bytes.len(), 81_920);
        assert_eq!(ExistenceFilter::from_bytes(1 << 16, 0, &bytes), Some(filter));
        for (capacity, length) in [(1 << 17, 81_920), (65_537, 81_920), (1 << 16, 81_919), (1 << 16, 0), (0, 0)] {
            assert_eq!(ExistenceFilter::from_bytes(capacity, 0, &bytes[..length]), None, "{capacity}, {length}");
        }
        assert_eq!(ExistenceFilter::from_bytes(1 << 63, 0, &[]), None);
        assert_eq!(ExistenceFilter::from_bytes(u64::MAX, 0, &bytes), None);
    }

    proptest! {
        #[test]
        fn a_key_that_was_noted_is_never_denied_even_by_a_copy(keys: Vec<[u8; 32]>) {
            let mut filter = ExistenceFilter::with_capacity(keys.len() as u64);
            keys.iter().for_each(|key| filter.insert(key));
            let copy = ExistenceFilter::from_bytes(filter.capacity(), filter.keys(), &filter.to_bytes()).unwrap();
            for key in &keys {
                prop_assert!(filter.may_contain(key) && copy.may_contain(key));
            }
        }
    }
}
