//! Dictionaries: what small chunks of a store have in common, kept once, so that each is compressed against it.
//!
//! A record of two KiB alone shows zstd little that repeats. A dictionary trained on other records of the store shows it what
//! they share. Each has a number; the zstd frame of a chunk names the one that it needs, so that newer dictionaries take
//! nothing from older chunks. A dictionary is kept in two copies, each behind its BLAKE3 hash, since all chunks that name it
//! are lost without it.
//!
//! Training samples what is kept, not what passes by: a store that gets one small file a day comes to its dictionary too.

use crate::{
    backend::{BackendError, DagBackend},
    compress::{CompressError, Compressor, decompress},
    config::Config,
};
use pakit_primitives::{Compression, ContentHash};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};
use zstd::zstd_safe::{self, DDict};

/// Greatest chunk that is compressed against a dictionary, in bytes: of a larger one zstd learns enough by itself.
pub const DICTIONARY_CHUNK_BYTES_MAX: usize = 32 << 10;
/// Greatest dictionary, in bytes; each process that reads holds it twice.
const DICTIONARY_BYTES_MAX: usize = 64 << 10;
/// Where zstd looks for a dictionary's number in its bytes, behind the magic number.
const NUMBER_AT: usize = 4;
/// Numbers below are reserved by zstd's registrar; ours are offset by it in frames.
const FRAME_NUMBER_FIRST: u32 = 1 << 15;
/// Most dictionaries of a store; with the chunks doubling thrice between two, never reached.
const DICTIONARIES_MAX: u32 = 1 << 10;

/// Chunks that are kept before the first training.
const TRAINING_CHUNKS_FIRST: u64 = 1_000;
/// The next training is due when there are this many times as many.
const TRAINING_GROWTH: u64 = 8;
/// Chunks that are looked at for samples, and their bytes in all.
const SAMPLES_MAX: usize = 4_096;
const SAMPLES_BYTES_MAX: usize = 8 << 20;
/// Fewer samples train nothing that is worth keeping.
const SAMPLES_MIN: usize = 256;
/// A new dictionary has to save at least one part in this many of what is stored without it.
const GAIN_DIVISOR: usize = 16;

/// Settings' names in a store.
const SETTING_NEWEST: &str = "dictionaries";
const SETTING_TRIED: &str = "dictionaries/tried";

/// Bytes of the hash in front of a stored dictionary.
const HASH_BYTES: usize = 32;

/// A dictionary, ready to decompress with.
pub struct Dictionary {
    number: u32,
    bytes: Vec<u8>,
    decoder: DDict<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("number", &self.number).field("bytes", &self.bytes.len()).finish()
    }
}

impl Dictionary {
    /// Its number in the store, from 1 on.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The dictionary in zstd's format.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn decoder(&self) -> &DDict<'static> {
        &self.decoder
    }

    /// `None` unless the bytes are a dictionary of zstd's with this number.
    fn new(number: u32, bytes: Vec<u8>) -> Option<Self> {
        let named = zstd_safe::get_dict_id_from_dict(&bytes)?.get();
        let decoder = DDict::try_create(&bytes)?;
        (named == number.checked_add(FRAME_NUMBER_FIRST)?).then_some(Self { number, bytes, decoder })
    }

    /// Trains one; `None` where the samples have too little in common, or are too few.
    fn train(number: u32, samples: &[Vec<u8>]) -> Option<Self> {
        let mut bytes = zstd::dict::from_samples(samples, DICTIONARY_BYTES_MAX).ok()?;
        let place = bytes.get_mut(NUMBER_AT..)?.first_chunk_mut()?;
        *place = number.checked_add(FRAME_NUMBER_FIRST)?.to_le_bytes();
        Self::new(number, bytes)
    }

    /// The number of the dictionary that a zstd frame names, if it names one.
    pub(crate) fn of_frame(frame: &[u8]) -> Option<u32> {
        zstd_safe::get_dict_id_from_frame(frame)?.get().checked_sub(FRAME_NUMBER_FIRST)
    }

    /// As it is stored: BLAKE3 of the rest, then zstd's bytes.
    fn encode(&self) -> Vec<u8> {
        [blake3::hash(&self.bytes).as_bytes(), self.bytes.as_slice()].concat()
    }

    fn decode(number: u32, stored: &[u8]) -> Option<Self> {
        let (hash, bytes) = stored.split_first_chunk::<HASH_BYTES>()?;
        (blake3::hash(bytes).as_bytes() == hash).then(|| Self::new(number, bytes.to_vec()))?
    }
}

/// What the names of the settings that hold dictionaries begin with.
pub(crate) const SETTINGS: &str = "dictionary/";

/// The settings that hold a dictionary.
fn copies(number: u32) -> [String; 2] {
    [format!("{SETTINGS}{number}"), format!("{SETTINGS}{number}/copy")]
}

/// The number of the newest dictionary, 0 where there is none.
pub(crate) fn newest(backend: &dyn DagBackend) -> Result<u32, BackendError> {
    let Some(value) = backend.setting(SETTING_NEWEST)? else { return Ok(0) };
    let number = value.try_into().ok().map(u32::from_le_bytes).filter(|number| *number <= DICTIONARIES_MAX);
    number.ok_or_else(|| BackendError::Damaged("the number of the newest dictionary cannot be read".into()))
}

/// A dictionary from its settings, by whatever reads settings.
pub(crate) fn read(
    number: u32,
    mut setting: impl FnMut(&str) -> Result<Option<Vec<u8>>, BackendError>,
) -> Result<Option<Dictionary>, BackendError> {
    let mut is_there = false;
    for key in copies(number) {
        let Some(stored) = setting(&key)? else { continue };
        is_there = true;
        if let Some(dictionary) = Dictionary::decode(number, &stored) {
            return Ok(Some(dictionary));
        }
        tracing::warn!("a copy of dictionary {number} is damaged; run `pakit repair`");
    }
    match is_there {
        true => Err(BackendError::Damaged(format!("both copies of dictionary {number}"))),
        false => Ok(None),
    }
}

/// Numbers of the dictionaries of which a copy is missing or damaged, and whether the other one is whole.
pub(crate) fn damaged(backend: &dyn DagBackend) -> Result<Vec<(u32, bool)>, BackendError> {
    let mut found = Vec::new();
    for number in 1..=newest(backend)? {
        let mut whole = 0;
        for key in copies(number) {
            let stored = backend.setting(&key)?;
            whole += usize::from(stored.is_some_and(|stored| Dictionary::decode(number, &stored).is_some()));
        }
        if whole < copies(number).len() {
            found.push((number, whole > 0));
        }
    }
    Ok(found)
}

/// Reads all dictionaries, and writes anew the copies that are damaged, by whatever reads and writes settings. Says how
/// many settings were written.
pub(crate) fn repair<E>(
    setting: impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
    mut set_setting: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(HashMap<u32, Arc<Dictionary>>, u64), E> {
    let (mut whole, mut written, mut last) = (HashMap::new(), 0, 0u32);
    for number in 1..=DICTIONARIES_MAX {
        let stored = copies(number).map(|key| setting(&key).map(|stored| (key, stored)));
        let mut damaged = Vec::new();
        for copy in stored {
            let (key, stored) = copy?;
            match stored.as_deref().and_then(|stored| Dictionary::decode(number, stored)) {
                Some(dictionary) => drop(whole.insert(number, Arc::new(dictionary))),
                None => damaged.push((key, stored.is_some())),
            }
        }
        if damaged.len() == copies(number).len() && damaged.iter().all(|(_, is_there)| !is_there) {
            break;
        }
        last = number;
        for (key, _) in damaged {
            if let Some(dictionary) = whole.get(&number) {
                set_setting(&key, &dictionary.encode())?;
                written += 1;
            }
        }
    }
    let newest = last.to_le_bytes();
    if last > 0 && setting(SETTING_NEWEST)?.is_none_or(|value| value != newest) {
        set_setting(SETTING_NEWEST, &newest)?;
        written += 1;
    }
    Ok((whole, written))
}

fn write(backend: &dyn DagBackend, dictionary: &Dictionary) -> Result<(), BackendError> {
    let stored = dictionary.encode();
    copies(dictionary.number).iter().try_for_each(|key| backend.set_setting(key, &stored))
}

/// Dictionaries that a backend has read.
#[derive(Default, Debug)]
pub(crate) struct Shelf {
    known: RwLock<HashMap<u32, Arc<Dictionary>>>,
}

impl Shelf {
    /// A dictionary, read once.
    pub(crate) fn get(
        &self,
        number: u32,
        setting: impl FnMut(&str) -> Result<Option<Vec<u8>>, BackendError>,
    ) -> Result<Option<Arc<Dictionary>>, BackendError> {
        // Only whole dictionaries are put in, in one step.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
        if known.is_some() || !(1..=DICTIONARIES_MAX).contains(&number) {
            return Ok(known);
        }
        let Some(dictionary) = read(number, setting)?.map(Arc::new) else { return Ok(None) };
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(number, dictionary.clone());
        Ok(Some(dictionary))
    }
}

/// Whether so many chunks are enough for a first training, or for the next one.
pub(crate) fn is_training_due(backend: &dyn DagBackend, chunks: u64) -> Result<bool, BackendError> {
    if chunks < TRAINING_CHUNKS_FIRST {
        return Ok(false);
    }
    let tried = backend.setting(SETTING_TRIED)?.and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes);
    Ok(chunks / TRAINING_GROWTH >= tried)
}

/// Trains a dictionary on what is kept, and keeps it if it gains enough. Part of no commit: chunks that name it come later.
pub(crate) fn train(
    backend: &dyn DagBackend,
    level: i32,
    start: ContentHash,
) -> Result<Option<Arc<Dictionary>>, CompressError> {
    let failed = CompressError::Dictionary;
    let chunks = backend.totals().map_err(failed)?.chunks;
    backend.set_setting(SETTING_TRIED, &chunks.to_le_bytes()).map_err(failed)?;
    let newest = newest(backend).map_err(failed)?;
    let samples = samples(backend, start)?;
    if samples.len() < SAMPLES_MIN || newest == DICTIONARIES_MAX {
        return Ok(None);
    }
    // Every other sample is kept from the training, so that the dictionary is measured on what it has not seen.
    let (mut seen, mut unseen) = (Vec::new(), Vec::new());
    for (at, sample) in samples.into_iter().enumerate() {
        if at % 2 == 0 { seen.push(sample) } else { unseen.push(sample) }
    }
    let Some(trained) = Dictionary::train(newest + 1, &seen) else { return Ok(None) };
    let current = backend.dictionary(newest).map_err(failed)?;
    let before = compressed_bytes(&unseen, level, current.as_deref())?;
    let after = compressed_bytes(&unseen, level, Some(&trained))?;
    let is_better = after + before / GAIN_DIVISOR <= before;
    tracing::info!("dictionary {}: {before} bytes of samples become {after}; kept: {is_better}", trained.number);
    if !is_better {
        return Ok(None);
    }
    write(backend, &trained).map_err(failed)?;
    backend.set_setting(SETTING_NEWEST, &trained.number.to_le_bytes()).map_err(failed)?;
    backend.dictionary(trained.number).map_err(failed)
}

fn compressed_bytes(samples: &[Vec<u8>], level: i32, dictionary: Option<&Dictionary>) -> Result<usize, CompressError> {
    let mut compressor = Compressor::new(Compression::Zstd, level)?;
    compressor.set_dictionary(dictionary)?;
    samples.iter().try_fold(0, |sum, sample| Ok(sum + compressor.compress(sample)?.1.len()))
}

/// Small chunks in the order of their hashes from `start` on, which is no order of theirs.
fn samples(backend: &dyn DagBackend, start: ContentHash) -> Result<Vec<Vec<u8>>, CompressError> {
    let failed = CompressError::Dictionary;
    let mut hashes = backend.chunk_hashes(Some(start), SAMPLES_MAX).map_err(failed)?;
    if hashes.len() < SAMPLES_MAX {
        let from_first = backend.chunk_hashes(None, SAMPLES_MAX - hashes.len()).map_err(failed)?;
        hashes.extend(from_first.into_iter().filter(|hash| *hash <= start));
    }
    let (mut samples, mut bytes) = (Vec::new(), 0);
    for hash in hashes {
        let Some(chunk) = backend.chunk(&hash).map_err(failed)? else { continue };
        if chunk.original_size == 0 || chunk.original_size as usize > DICTIONARY_CHUNK_BYTES_MAX {
            continue;
        }
        // A damaged chunk is the audit's to tell of, and teaches nothing.
        let find = |number| backend.dictionary(number);
        let Ok(plain) = decompress(chunk.compression, &chunk.bytes, chunk.original_size, find) else { continue };
        bytes += plain.len();
        samples.push(plain);
        if bytes >= SAMPLES_BYTES_MAX {
            break;
        }
    }
    Ok(samples)
}

/// The newest dictionary for whoever compresses, and its training when enough has come.
pub(crate) struct Trainer {
    backend: Arc<dyn DagBackend>,
    level: i32,
    /// Whether chunks are compressed with zstd at all.
    is_useful: bool,
    /// Number of the newest, so that asking whether there is a newer one takes no lock.
    number: AtomicU32,
    newest: RwLock<Option<Arc<Dictionary>>>,
}

impl Trainer {
    pub(crate) fn new(backend: Arc<dyn DagBackend>, config: &Config) -> Result<Self, BackendError> {
        let is_useful = config.compression == Compression::Zstd;
        let number = if is_useful { newest(backend.as_ref())? } else { 0 };
        let newest = RwLock::new(if number > 0 { backend.dictionary(number)? } else { None });
        Ok(Self { backend, level: config.compression_level, is_useful, number: number.into(), newest })
    }

    /// Number of the newest dictionary; 0 where there is none.
    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Acquire)
    }

    /// The newest dictionary.
    pub(crate) fn newest(&self) -> Option<Arc<Dictionary>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether enough chunks are kept to train on.
    pub(crate) fn is_due(&self) -> Result<bool, BackendError> {
        Ok(self.is_useful && is_training_due(self.backend.as_ref(), self.backend.totals()?.chunks)?)
    }

    /// Trains. Chunks are compressed well enough without, so that a failure is told and ends nothing.
    pub(crate) fn train(&self) {
        match train(self.backend.as_ref(), self.level, ContentHash::new(rand::random())) {
            Ok(Some(trained)) => {
                let number = trained.number;
                *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(trained);
                self.number.store(number, Ordering::Release);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("no dictionary was trained: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
