//! Compression of single chunks, behind the five codes of the header.

use pakit_primitives::Compression;
use std::{
    borrow::Cow,
    io::{Read, Write},
    ops::RangeInclusive,
};

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
        source: std::io::Error,
    },
    /// The bytes are not of that compression.
    #[error("the bytes are not valid {compression:?}: {source}")]
    Malformed {
        /// The compression.
        compression: Compression,
        /// What it said.
        source: std::io::Error,
    },
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
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    /// A compressor that prefers `compression`. `level` is in the compression's own scale; lz4 has none.
    pub fn new(compression: Compression, level: i32) -> Result<Self, CompressError> {
        let zstd = match compression {
            Compression::Zstd => Some(
                zstd::bulk::Compressor::new(level).map_err(|source| CompressError::Compress { compression, source })?,
            ),
            _ => None,
        };
        Ok(Self { compression, level, zstd })
    }

    /// Compresses, or gives the plaintext back under [`Compression::None`] where compression does not pay.
    pub fn compress<'a>(&mut self, plain: &'a [u8]) -> Result<(Compression, Cow<'a, [u8]>), CompressError> {
        if self.compression == Compression::None || plain.is_empty() {
            return Ok((Compression::None, Cow::Borrowed(plain)));
        }
        let compression = self.compression;
        let packed = self.pack(plain).map_err(|source| CompressError::Compress { compression, source })?;
        if packed.len() + plain.len() / GAIN_DIVISOR < plain.len() {
            Ok((compression, Cow::Owned(packed)))
        } else {
            Ok((Compression::None, Cow::Borrowed(plain)))
        }
    }

    fn pack(&mut self, plain: &[u8]) -> std::io::Result<Vec<u8>> {
        let positive_level = u32::try_from(self.level).unwrap_or(0);
        match (self.compression, &mut self.zstd) {
            (Compression::Zstd, Some(zstd)) => zstd.compress(plain),
            (Compression::Lz4, _) => Ok(lz4_flex::block::compress(plain)),
            (Compression::Gzip, _) => {
                let level = flate2::Compression::new(positive_level.min(9));
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain)?;
                encoder.finish()
            }
            (Compression::Brotli, _) => {
                let mut packed = Vec::new();
                let quality = positive_level.min(11);
                brotli::CompressorWriter::new(&mut packed, 4096, quality, BROTLI_WINDOW_LOG2).write_all(plain)?;
                Ok(packed)
            }
            (Compression::None | Compression::Zstd, _) => Ok(plain.to_vec()),
        }
    }
}

/// Restores a chunk of `original_size` bytes. Never produces more than that, whatever the bytes claim to hold.
pub fn decompress(compression: Compression, bytes: &[u8], original_size: u32) -> Result<Vec<u8>, CompressError> {
    let expected = original_size as usize;
    let malformed = |source| CompressError::Malformed { compression, source };
    let plain = match compression {
        Compression::None => bytes.to_vec(),
        Compression::Zstd => zstd::bulk::decompress(bytes, expected).map_err(malformed)?,
        Compression::Lz4 => lz4_flex::block::decompress(bytes, expected)
            .map_err(|error| malformed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?,
        Compression::Gzip => read_bounded(flate2::read::GzDecoder::new(bytes), expected).map_err(malformed)?,
        Compression::Brotli => read_bounded(brotli::Decompressor::new(bytes, 4096), expected).map_err(malformed)?,
    };
    if plain.len() == expected { Ok(plain) } else { Err(CompressError::WrongSize { expected: original_size }) }
}

/// Reads up to one byte more than expected, which is enough to tell that there is more.
fn read_bounded(reader: impl Read, expected: usize) -> std::io::Result<Vec<u8>> {
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
                assert!(decompress(compression, &bomb, expected).is_err(), "{compression:?} to {expected} bytes");
            }
            assert!(decompress(compression, &bomb, (8 << 20) + 1).is_err(), "{compression:?}");
        }
    }

    proptest! {
        #[test]
        fn every_chunk_is_restored(plain in prop::collection::vec(0u8..4, 0..5_000), code in 0u8..5) {
            let (used, bytes) = compress_with(Compression::from_code(code).unwrap(), &plain);
            prop_assert_eq!(decompress(used, &bytes, plain.len() as u32).unwrap(), plain);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500), code in 0u8..5, size in 0u32..100_000) {
            let _ = decompress(Compression::from_code(code).unwrap(), &bytes, size);
        }
    }
}
