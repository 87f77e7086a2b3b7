//! Compression of single chunks, behind the five codes of the header.

use crate::{
    backend::BackendError,
    dictionary::{DICTIONARY_CHUNK_BYTES_MAX, Dictionary},
};
use pakit_primitives::Compression;
use std::{
    borrow::Cow,
    cell::RefCell,
    io::{self, Read, Write},
    ops::RangeInclusive,
    sync::Arc,
};
use zstd::zstd_safe::{self, CCtx, CDict, CParameter, DCtx};

/// A compressed chunk is kept as it is unless compression saves at least one part in this many: a smaller gain is not worth
/// the work of every later read.
const GAIN_DIVISOR: usize = 32;

/// zstd's level where none is asked for: about a quarter of level 9's time for nine tenths of its gain on text.
pub const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// Window of brotli as log2 of bytes; a chunk is at most 16 MiB.
const BROTLI_WINDOW_LOG2: u32 = 22;

/// The compressions' names, for configuration and people.
const NAMES: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("zstd", Compression::Zstd),
    ("lz4", Compression::Lz4),
    ("gzip", Compression::Gzip),
    ("brotli", Compression::Brotli),
];

/// The compression of a name.
pub fn from_name(name: &str) -> Option<Compression> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, compression)| *compression)
}

/// The name of a compression.
pub fn name(compression: Compression) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == compression).map_or("none", |(name, _)| name)
}

/// The levels that a compression knows. Those without levels accept any of zstd's, so that a level may stay configured.
pub fn level_range(compression: Compression) -> RangeInclusive<i32> {
    match compression {
        Compression::Gzip => 0..=9,
        Compression::Brotli => 0..=11,
        Compression::None | Compression::Zstd | Compression::Lz4 => -7..=22,
    }
}

/// Why a chunk could not be compressed or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The compressor failed, for want of memory.
    #[error("{compression:?} could not compress: {source}")]
    Compress {
        /// The compression.
        compression: Compression,
        /// What it said.
        source: io::Error,
    },
    /// The bytes are not of that compression.
    #[error("the bytes are not valid {compression:?}: {source}")]
    Malformed {
        /// The compression.
        compression: Compression,
        /// What it said.
        source: io::Error,
    },
    /// The bytes were compressed against a dictionary that is not there.
    #[error("dictionary {0} is missing, which the bytes were compressed against")]
    NoDictionary(u32),
    /// A dictionary could not be read or kept.
    #[error("a dictionary: {0}")]
    Dictionary(#[source] BackendError),
    /// The plaintext is shorter, or would be longer, than it has to be. Nothing beyond that length was produced.
    #[error("the chunk does not restore to {expected} bytes")]
    WrongSize {
        /// Bytes it has to have.
        expected: u32,
    },
}

/// Compresses chunk after chunk with one set of working memory.
pub struct Compressor {
    compression: Compression,
    level: i32,
    zstd: CCtx<'static>,
    dictionary: Option<CDict<'static>>,
    /// What the last chunk became, with room for the worst case. Chunks wait for their commit by the thousand, and must not hold
    /// that room while they do.
    packed: Vec<u8>,
}

impl Compressor {
    /// A compressor that prefers `compression`. `level` is in the compression's own scale; lz4 has none.
    pub fn new(compression: Compression, level: i32) -> Result<Self, CompressError> {
        let failed = |what| CompressError::Compress { compression, source: io::Error::other(what) };
        let mut zstd = CCtx::try_create().ok_or_else(|| failed("no memory"))?;
        if compression == Compression::Zstd {
            zstd.set_parameter(CParameter::CompressionLevel(level))
                .map_err(|code| failed(zstd_safe::get_error_name(code)))?;
        }
        Ok(Self { compression, level, zstd, dictionary: None, packed: Vec::new() })
    }

    /// Compresses small chunks against a dictionary from now on, or against none. Only zstd does.
    pub fn set_dictionary(&mut self, dictionary: Option<&Dictionary>) -> Result<(), CompressError> {
        let source = || io::Error::other("the dictionary does not load");
        let load = |dictionary: &Dictionary| {
            CDict::try_create(dictionary.bytes(), self.level)
                .ok_or_else(|| CompressError::Compress { compression: Compression::Zstd, source: source() })
        };
        self.dictionary = match self.compression {
            Compression::Zstd => dictionary.map(load).transpose()?,
            _ => None,
        };
        Ok(())
    }

    /// Compresses, or gives the plaintext back under [`Compression::None`] where compression does not pay.
    pub fn compress<'a>(&mut self, plain: &'a [u8]) -> Result<(Compression, Cow<'a, [u8]>), CompressError> {
        if self.compression == Compression::None || plain.is_empty() {
            return Ok((Compression::None, Cow::Borrowed(plain)));
        }
        let compression = self.compression;
        self.pack(plain).map_err(|source| CompressError::Compress { compression, source })?;
        if self.packed.len() + plain.len() / GAIN_DIVISOR < plain.len() {
            Ok((compression, Cow::Owned(self.packed.clone())))
        } else {
            Ok((Compression::None, Cow::Borrowed(plain)))
        }
    }

    fn pack(&mut self, plain: &[u8]) -> io::Result<()> {
        let positive_level = u32::try_from(self.level).unwrap_or(0);
        match self.compression {
            Compression::Zstd => {
                self.packed.clear();
                self.packed.reserve(zstd_safe::compress_bound(plain.len()));
                let dictionary = self.dictionary.as_ref().filter(|_| plain.len() <= DICTIONARY_CHUNK_BYTES_MAX);
                let done = match dictionary {
                    Some(dictionary) => self.zstd.compress_using_cdict(&mut self.packed, plain, dictionary),
                    None => self.zstd.compress2(&mut self.packed, plain),
                };
                done.map_err(zstd_error)?;
            }
            Compression::Lz4 => self.packed = lz4_flex::block::compress(plain),
            Compression::Gzip => {
                let level = flate2::Compression::new(positive_level.min(9));
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain)?;
                self.packed = encoder.finish()?;
            }
            Compression::Brotli => {
                self.packed.clear();
                let quality = positive_level.min(11);
                brotli::CompressorWriter::new(&mut self.packed, 4096, quality, BROTLI_WINDOW_LOG2).write_all(plain)?;
            }
            Compression::None => self.packed = plain.to_vec(),
        }
        Ok(())
    }
}

fn zstd_error(code: zstd_safe::ErrorCode) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// Restores a chunk of `original_size` bytes. Never produces more than that, whatever the bytes claim to hold. `dictionary`
/// finds a dictionary by its number, if the bytes name one.
pub fn decompress(
    compression: Compression,
    bytes: &[u8],
    original_size: u32,
    dictionary: impl FnOnce(u32) -> Result<Option<Arc<Dictionary>>, BackendError>,
) -> Result<Vec<u8>, CompressError> {
    let expected = original_size as usize;
    let malformed = |source| CompressError::Malformed { compression, source };
    let plain = match compression {
        Compression::None => bytes.to_vec(),
        Compression::Zstd => {
            let dictionary = match Dictionary::of_frame(bytes) {
                None => None,
                Some(number) => Some(
                    dictionary(number)
                        .map_err(CompressError::Dictionary)?
                        .ok_or(CompressError::NoDictionary(number))?,
                ),
            };
            decompress_zstd(bytes, expected, dictionary.as_deref()).map_err(malformed)?
        }
        Compression::Lz4 => lz4_flex::block::decompress(bytes, expected)
            .map_err(|error| malformed(io::Error::new(io::ErrorKind::InvalidData, error)))?,
        Compression::Gzip => read_bounded(flate2::read::GzDecoder::new(bytes), expected).map_err(malformed)?,
        Compression::Brotli => read_bounded(brotli::Decompressor::new(bytes, 4096), expected).map_err(malformed)?,
    };
    if plain.len() == expected { Ok(plain) } else { Err(CompressError::WrongSize { expected: original_size }) }
}

/// With working memory that each thread keeps: setting it up takes longer than a small chunk.
fn decompress_zstd(bytes: &[u8], expected: usize, dictionary: Option<&Dictionary>) -> io::Result<Vec<u8>> {
    thread_local! {
        static ZSTD: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    }
    ZSTD.with_borrow_mut(|zstd| {
        let zstd = match zstd {
            Some(zstd) => zstd,
            None => zstd.insert(DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?),
        };
        let mut plain = Vec::with_capacity(expected);
        let done = match dictionary {
            Some(dictionary) => zstd.decompress_using_ddict(&mut plain, bytes, dictionary.decoder()),
            None => zstd.decompress(&mut plain, bytes),
        };
        done.map_err(zstd_error)?;
        Ok(plain)
    })
}

/// Reads up to one byte more than expected, which is enough to tell that there is more.
fn read_bounded(reader: impl Read, expected: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(expected);
    reader.take(expected as u64 + 1).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn compress_with(compression: Compression, plain: &[u8]) -> (Compression, Vec<u8>) {
        let mut compressor = Compressor::new(compression, 3).unwrap();
        let (used, bytes) = compressor.compress(plain).unwrap();
        (used, bytes.into_owned())
    }

    fn restore(compression: Compression, bytes: &[u8], original_size: u32) -> Result<Vec<u8>, CompressError> {
        decompress(compression, bytes, original_size, |_| Ok(None))
    }

    #[test]
    fn what_compression_does_not_shrink_is_kept_as_it_is() {
        let mut noise = vec![0; 10_000];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
        for compression in Compression::ALL {
            assert_eq!(compress_with(compression, &noise), (Compression::None, noise.clone()), "{compression:?}");
            assert_eq!(compress_with(compression, b""), (Compression::None, Vec::new()), "{compression:?}");
        }
    }

    #[test]
    fn a_decompression_bomb_stops_at_the_expected_size() {
        let zeros = vec![0; 8 << 20];
        for compression in Compression::ALL.into_iter().filter(|c| *c != Compression::None) {
            let (used, bomb) = compress_with(compression, &zeros);
            assert_eq!(used, compression);
            for expected in [0, 1, 1024, (8 << 20) - 1] {
                assert!(restore(compression, &bomb, expected).is_err(), "{compression:?} to {expected} bytes");
            }
            assert!(restore(compression, &bomb, (8 << 20) + 1).is_err(), "{compression:?}");
        }
    }

    proptest! {
        #[test]
        fn every_chunk_is_restored(plain in prop::collection::vec(0u8..4, 0..5_000), code in 0u8..5) {
            let (used, bytes) = compress_with(Compression::from_code(code).unwrap(), &plain);
            prop_assert_eq!(restore(used, &bytes, plain.len() as u32).unwrap(), plain);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500), code in 0u8..5, size in 0u32..100_000) {
            let _ = restore(Compression::from_code(code).unwrap(), &bytes, size);
        }
    }
}
