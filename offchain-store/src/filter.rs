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

    /// The bits, eight to a byte from the lowest on, in pages of so many times 8 bytes: a whole copy would take as much memory again.
    pub fn pages(&self, page_words: usize) -> impl Iterator<Item = Vec<u8>> {
        let bytes_of = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.words.chunks(page_words.max(1)).map(bytes_of)
    }

    /// Bytes of all pages of a filter of this capacity.
    pub fn byte_count(capacity: u64) -> u64 {
        (capacity / 8).saturating_mul(BITS_PER_CAPACITY)
    }

    /// A filter from the bytes of its [`ExistenceFilter::pages`]; `None` if the sizes contradict each other.
    pub fn from_words(capacity: u64, keys: u64, words: Vec<u64>) -> Option<Self> {
        let fits = capacity.is_power_of_two()
            && capacity >= CAPACITY_MIN
            // Compared as a product that cannot overflow.
            && words.len() as u128 * 64 == u128::from(capacity) * u128::from(BITS_PER_CAPACITY);
        fits.then_some(Self { words, capacity, keys })
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

    /// Back from pages of a length that no filter is a multiple of.
    fn words_of(filter: &ExistenceFilter) -> Vec<u64> {
        let bytes: Vec<u8> = filter.pages(77).flatten().collect();
        bytes.as_chunks::<8>().0.iter().copied().map(u64::from_le_bytes).collect()
    }

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
    fn words_of_another_size_are_refused() {
        let filter = ExistenceFilter::with_capacity(0);
        let words = words_of(&filter);
        assert_eq!((words.len(), ExistenceFilter::byte_count(1 << 16)), (10_240, 81_920));
        assert_eq!(ExistenceFilter::from_words(1 << 16, 0, words.clone()), Some(filter));
        for (capacity, length) in [(1 << 17, 10_240), (65_537, 10_240), (1 << 16, 10_239), (1 << 16, 0), (0, 0)] {
            let words = words[..length].to_vec();
            assert_eq!(ExistenceFilter::from_words(capacity, 0, words), None, "{capacity}, {length}");
        }
        assert_eq!(ExistenceFilter::from_words(1 << 63, 0, Vec::new()), None);
        assert_eq!(ExistenceFilter::from_words(u64::MAX, 0, words), None);
    }

    proptest! {
        #[test]
        fn a_key_that_was_noted_is_never_denied_even_by_a_copy(keys: Vec<[u8; 32]>) {
            let mut filter = ExistenceFilter::with_capacity(keys.len() as u64);
            keys.iter().for_each(|key| filter.insert(key));
            let copy = ExistenceFilter::from_words(filter.capacity(), filter.keys(), words_of(&filter)).unwrap();
            for key in &keys {
                prop_assert!(filter.may_contain(key) && copy.may_contain(key));
            }
        }
    }
}
