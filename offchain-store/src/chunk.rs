//! Cutting content into chunks where the content itself says so (FastCDC 2020), so that equal stretches of different
//! contents become equal chunks.

use fastcdc::v2020::StreamCDC;
use std::io::{Chain, Cursor, Read};

/// Least average chunk size that may be configured, in bytes.
pub const CHUNK_BYTES_MIN: u32 = 4 << 10;
/// Greatest average chunk size that may be configured, in bytes.
pub const CHUNK_BYTES_MAX: u32 = 4 << 20;
/// Average chunk size where none is configured, in bytes. A larger chunk compresses better; a smaller one is found again in more
/// changed files.
pub const CHUNK_BYTES_DEFAULT: u32 = 1 << 20;

/// A chunk is at most this many times the average; FastCDC's authors' choice.
const MAX_TO_AVERAGE: u32 = 4;
/// A chunk is at least the average divided by this; FastCDC's authors' choice.
const AVERAGE_TO_MIN: u32 = 4;

/// Greatest chunk of any configuration, in bytes: what a reader must be ready to hold.
pub const CHUNK_BYTES_LIMIT: u32 = CHUNK_BYTES_MAX * MAX_TO_AVERAGE;

/// The chunks of one content. Memory: at most two chunks of the greatest size.
pub enum Chunks<R: Read> {
    /// Content up to the average size is one chunk (also empty content).
    Whole(Option<Vec<u8>>),
    /// Longer content is cut.
    Cut(Box<StreamCDC<Chain<Cursor<Vec<u8>>, R>>>),
}

impl<R: Read> Chunks<R> {
    /// Reads enough to know whether there is more than one chunk.
    pub fn new(mut reader: R, average: u32) -> std::io::Result<Self> {
        let mut start = Vec::new();
        reader.by_ref().take(u64::from(average) + 1).read_to_end(&mut start)?;
        Ok(Self::begun(start, reader, average))
    }

    /// The same where the content's start was read already: all of it, or more than `average` bytes.
    pub fn begun(start: Vec<u8>, reader: R, average: u32) -> Self {
        if start.len() as u64 <= u64::from(average) {
            return Self::Whole(Some(start));
        }
        let cutter = StreamCDC::new(
            Cursor::new(start).chain(reader),
            (average / AVERAGE_TO_MIN) as usize,
            average as usize,
            (average * MAX_TO_AVERAGE) as usize,
        );
        Self::Cut(Box::new(cutter))
    }

    /// Whether the content is a single chunk.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Whole(chunk) => chunk.take().map(Ok),
            Self::Cut(cutter) => cutter.next().map(|cut| cut.map(|chunk| chunk.data).map_err(std::io::Error::from)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const AVERAGE: u32 = 16 << 10;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cut(content: &[u8]) -> Vec<Vec<u8>> {
        Chunks::new(content, AVERAGE).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn chunks_joined_are_the_content_at_every_boundary() {
        let average = AVERAGE as usize;
        for length in [0, 1, average - 1, average, average + 1, 4 * average, 4 * average + 1, 50 * average] {
            let content = noise(length);
            let chunks = cut(&content);
            assert_eq!(chunks.concat(), content);
            assert_eq!(chunks.len() == 1, length <= average || chunks[0].len() == length, "{length} bytes");
            assert!(chunks.iter().all(|chunk| chunk.len() <= 4 * average));
        }
    }

    #[test]
    fn a_byte_put_in_front_leaves_most_chunks_as_they_were() {
        let content = noise(100 * AVERAGE as usize);
        let shifted = [b"!", content.as_slice()].concat();
        let before: std::collections::HashSet<Vec<u8>> = cut(&content).into_iter().collect();
        let after = cut(&shifted);
        let shared = after.iter().filter(|chunk| before.contains(*chunk)).count();
        assert!(shared * 10 >= after.len() * 9, "{shared} of {} chunks are shared", after.len());
    }
}
