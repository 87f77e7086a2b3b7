//! The part of an audit that is about payloads: chunk lists, chunks, contents and metadata.

use super::{Checker, Depth, NodeState, PAGE, Problem, problem::shortened};
use crate::{
    backend::{PackPlace, PayloadInfo},
    block::DagBlock,
    chunk::CHUNK_BYTES_LIMIT,
    compress::decompress,
};
use pakit_primitives::ContentHash;

impl Checker<'_> {
    /// The content and metadata of a block. A content that several blocks name is looked at with the first of them.
    pub(super) fn check_payload(&mut self, block: &DagBlock) {
        self.check_metadata(block);
        let (leaf_index, content_hash) = (block.leaf_index(), block.header().content_hash);
        let named = self.backend.find_content(&content_hash, None, 1);
        let Some(named) = self.read(named, || format!("blocks with the content of {leaf_index}")) else { return };
        if named.first().is_some_and(|first| *first != leaf_index) {
            return;
        }
        let info = self.backend.payload(&content_hash);
        let Some(info) = self.read(info, || format!("payload of block {leaf_index}")) else { return };
        match info {
            None => self.found(Problem::MissingPayload { leaf_index }),
            Some(info) if info.original_size != block.header().original_size => {
                self.found(Problem::WrongChunkList { leaf_index, what: "the payload has another size" });
            }
            Some(info) if !info.is_kept => {
                let is_set_aside = self.backend.is_set_aside(&content_hash);
                match self.read(is_set_aside, || format!("payload of block {leaf_index}")) {
                    Some(true) => self.found(Problem::LostContent { leaf_index }),
                    _ => {
                        self.report.removed_payloads += 1;
                        self.check_forgotten(&content_hash);
                    }
                }
            }
            Some(info) => self.check_chunk_list(leaf_index, &content_hash, &info),
        }
    }

    fn check_metadata(&mut self, block: &DagBlock) {
        let metadata_hash = block.header().metadata_hash;
        if !metadata_hash.is_some() {
            return;
        }
        let leaf_index = block.leaf_index();
        let map = self.backend.metadata(&metadata_hash);
        let state = match self.read(map, || format!("metadata of block {leaf_index}")) {
            Some(None) => NodeState::Missing,
            Some(Some(map)) if blake3::hash(&map).as_bytes() != metadata_hash.as_bytes() => NodeState::Wrong,
            _ => return,
        };
        self.found(Problem::WrongMetadata { leaf_index, state });
    }

    /// That the chunks follow each other, are there and add up; in a full audit, that they are the content.
    fn check_chunk_list(&mut self, leaf_index: u64, content_hash: &ContentHash, info: &PayloadInfo) {
        let mut hasher = blake3::Hasher::new();
        let (mut offset, mut stored_size) = (0u64, 0u64);
        loop {
            let page = self.backend.chunks(content_hash, offset, PAGE);
            let Some(page) = self.read(page, || format!("chunks of block {leaf_index}")) else { return };
            let is_first = offset == 0;
            for chunk in &page {
                if chunk.offset != offset {
                    let what = "they do not follow each other";
                    return self.found(Problem::WrongChunkList { leaf_index, what });
                }
                if chunk.chunk_hash == *content_hash {
                    // The content is this one chunk, and is looked at among the chunks.
                    if u64::from(chunk.original_size) != info.original_size || page.len() != 1 {
                        let what = "a chunk is its own content and not all of it";
                        self.found(Problem::WrongChunkList { leaf_index, what });
                    }
                    return;
                }
                let Some(size) = self.check_listed(leaf_index, &chunk.chunk_hash, chunk.original_size) else { return };
                if self.report.depth == Depth::Full && !self.hash_chunk(leaf_index, &chunk.chunk_hash, &mut hasher) {
                    return;
                }
                stored_size = stored_size.saturating_add(size);
                // A chunk in a list is not empty, so that this goes on.
                offset = offset.saturating_add(chunk.original_size.into());
            }
            if page.is_empty() && is_first {
                return self.found(Problem::WrongChunkList { leaf_index, what: "there are none" });
            }
            if offset >= info.original_size || page.is_empty() {
                break;
            }
        }
        if offset != info.original_size || stored_size != info.stored_size {
            self.found(Problem::WrongChunkList { leaf_index, what: "they do not add up to its size" });
        } else if self.report.depth == Depth::Full && hasher.finalize().as_bytes() != content_hash.as_bytes() {
            self.found(Problem::WrongContent { leaf_index });
        }
    }

    /// A chunk of a list by what is known of it: its stored size, if it is sound.
    fn check_listed(&mut self, leaf_index: u64, chunk_hash: &ContentHash, original_size: u32) -> Option<u64> {
        let info = self.backend.payload(chunk_hash);
        let info = self.read(info, || format!("chunk {chunk_hash}"))?;
        let Some(info) = info.filter(|info| info.is_kept) else {
            self.found(Problem::MissingChunk { leaf_index, chunk_hash: *chunk_hash });
            return None;
        };
        if original_size == 0 || info.original_size != u64::from(original_size) {
            self.found(Problem::WrongChunkList { leaf_index, what: "a chunk has another size than is listed" });
            return None;
        }
        Some(info.stored_size)
    }

    /// Adds a chunk's plaintext; whether it could be restored. Its own hash is checked among the chunks.
    fn hash_chunk(&mut self, leaf_index: u64, chunk_hash: &ContentHash, hasher: &mut blake3::Hasher) -> bool {
        match self.restore(chunk_hash) {
            Ok(plain) => {
                hasher.update(&plain);
                true
            }
            Err(_) => {
                self.found(Problem::WrongContent { leaf_index });
                false
            }
        }
    }

    /// The next of all chunks that are kept, whether a content names it or not; nothing behind the last one.
    pub(super) fn check_next_chunk(&mut self, after: Option<ContentHash>) -> Option<ContentHash> {
        if self.chunks.is_empty() && !self.are_chunks_listed {
            let page = self.backend.chunk_hashes(after, PAGE);
            let page = self.read(page, || "the list of chunks".into()).unwrap_or_default();
            self.are_chunks_listed = page.len() < PAGE;
            self.chunks.extend(page);
        }
        let chunk_hash = self.chunks.pop_front()?;
        self.check_chunk(&chunk_hash);
        self.count_steps(1);
        Some(chunk_hash)
    }

    fn check_chunk(&mut self, chunk_hash: &ContentHash) {
        self.report.chunks += 1;
        self.counted.chunks += 1;
        let info = self.backend.payload(chunk_hash);
        let Some(info) = self.read(info, || format!("chunk {chunk_hash}")) else { return };
        let Some(info) = info else {
            return self.damaged(chunk_hash, "it is listed and not there".into());
        };
        self.counted.unique_bytes = self.counted.unique_bytes.saturating_add(info.original_size);
        self.counted.stored_bytes = self.counted.stored_bytes.saturating_add(info.stored_size);
        if self.report.depth == Depth::Structure {
            return;
        }
        match self.restore(chunk_hash) {
            Ok(plain) if plain.len() as u64 != info.original_size => {
                self.damaged(chunk_hash, "it has another size than is known of it".into());
            }
            Ok(plain) if blake3::hash(&plain).as_bytes() != chunk_hash.as_bytes() => {
                self.damaged(chunk_hash, "its bytes do not match its hash".into());
            }
            Ok(_) => {}
            Err(what) => self.damaged(chunk_hash, what),
        }
    }

    /// The next record of a pack, with what no chunk's hash covers: its header, the places and numbers of its chunks, and bytes that
    /// nothing names any more. Gives where to go on; nothing behind the last one.
    pub(super) fn check_record(&mut self, from: PackPlace) -> Option<PackPlace> {
        let checked = self.backend.check_pack(from);
        let checked = self.read(checked, || format!("pack {} from byte {} on", from.0, from.1))??;
        if let Some(what) = checked.damage {
            let (pack, offset) = checked.at;
            self.found(Problem::DamagedPack { pack, offset, what: shortened(what) });
        }
        Some(checked.next)
    }

    fn damaged(&mut self, chunk_hash: &ContentHash, what: String) {
        // Where it is a whole content, say whose. If that cannot be read either, the chunk is named all the same.
        let leaf_index = self.backend.find_content(chunk_hash, None, 1).unwrap_or_default().first().copied();
        self.found(Problem::DamagedChunk { chunk_hash: *chunk_hash, leaf_index, what: shortened(what) });
    }

    /// A chunk's plaintext, or what is wrong with it. Produces no more than a chunk can have.
    pub(super) fn restore(&self, chunk_hash: &ContentHash) -> Result<Vec<u8>, String> {
        let chunk = self.backend.chunk(chunk_hash).map_err(|error| error.to_string())?;
        let chunk = chunk.ok_or("it is missing")?;
        if chunk.original_size > CHUNK_BYTES_LIMIT {
            return Err(format!("it claims {} bytes, more than a chunk can have", chunk.original_size));
        }
        decompress(chunk.compression, &chunk.bytes, chunk.original_size, |number| self.backend.dictionary(number))
            .map_err(|error| error.to_string())
    }
}
