//! What is held, by whom, and what nothing holds: [`Verdict`] for each content of a forgotten block.
//!
//! Everything that is not forgotten is held, so that only contents of forgotten blocks are looked at. Each is spared by the
//! first of these that is found: another block of it that is not forgotten, a pin, the retention rule, a listing that stays
//! and names it, a stake on a chain that stands for one of its blocks. Listings are read only if something is left to go after the first three; then all that stay are read, and
//! those that they name. A listing that stays and cannot be read may name anything, so that nothing goes until it can.
//!
//! Memory: a page of blocks and one listing, at most 64 MiB and a small multiple of it; the sets stand in a temporary file.

use super::{PAGE, Pages, decide::Retention, ranges::LeafRanges, replay::Difference};
use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    cid::{self, Cid},
    get::{ContentReader, GetError},
    listing::find_cid,
    sqlite::scratch::Scratch,
    tree::{self, Entry, LISTING_BYTES_MAX, Node, TreeError},
};
use pakit_primitives::{BlockHash, ContentHash};
use std::sync::Arc;

/// Why nothing can be said about what is held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A listing that stays cannot be read.
    #[error("a folder's listing that stays cannot be read, so nothing is given up: {0}")]
    Unreadable(#[source] Box<GetError>),
    /// A listing that stays is none, though it begins like one.
    #[error("a folder's listing that stays is malformed, so nothing is given up: block {block_hash}: {source}")]
    Malformed {
        /// Its block.
        block_hash: BlockHash,
        /// What is wrong with it.
        source: TreeError,
    },
    /// What is marked is not what the audit trail says.
    #[error("what was decided cannot be relied on, so nothing is given up: {0}")]
    Marks(#[from] Difference),
    /// A block of the log is not there.
    #[error("the repository is damaged: block {0} of the log is missing")]
    MissingBlock(u64),
}

/// What becomes of the content of a forgotten block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nothing holds it.
    Goes,
    /// The block of this leaf index has the same content and is not forgotten.
    HeldByBlock(u64),
    /// The listing of the block of this leaf index stays and leads to it.
    HeldByListing(u64),
    /// The pin of the block of this leaf index holds it.
    HeldByPin(u64),
    /// The retention rule holds it.
    Waits {
        /// Unix milliseconds from which on it does not, at the earliest.
        until_ms: u64,
    },
    /// A content that stays lists it as one of its chunks.
    PartOfAnother,
    /// A stake on a chain stands for the block of this leaf index: that it is removed was not declared, or is not in effect yet.
    Undeclared(u64),
}

/// What becomes of a content, and of how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The content.
    pub content_hash: ContentHash,
    /// The first forgotten block of it.
    pub leaf_index: u64,
    /// Plaintext bytes.
    pub bytes: u64,
    /// Whether it is a list of chunks and not one chunk.
    pub is_list: bool,
    /// What becomes of it.
    pub fate: Fate,
}

/// The rules of the moment.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) now_ms: u64,
    pub(crate) retention: Retention,
    /// The only leaves whose contents may go, where there is a stake.
    pub(crate) declared: Option<LeafRanges>,
}

/// Looks for whatever holds contents.
pub(crate) struct Holders<'a> {
    pub(crate) backend: &'a Arc<dyn DagBackend>,
    pub(crate) scratch: &'a Scratch,
    pub(crate) rules: Rules,
}

impl Holders<'_> {
    /// Judges the contents of all forgotten blocks, and of those chosen in the scratch as if they were forgotten too.
    pub(crate) fn judge_all(&self) -> Result<(), HoldError> {
        self.judge_held()?;
        let Some(declared) = &self.rules.declared else { return Ok(()) };
        if self.scratch.has_going()? {
            self.spare_undeclared(declared)?;
            // What they are made of.
            self.spare_parts_of_others()?;
        }
        Ok(())
    }

    /// The same, whatever a chain was told.
    pub(super) fn judge_held(&self) -> Result<(), HoldError> {
        let mut forgotten = Pages::new(|after| self.backend.forgotten(after, PAGE));
        while let Some(leaf_index) = forgotten.next()? {
            self.judge(leaf_index)?;
        }
        let mut chosen = Pages::new(|after| self.scratch.chosen(after, PAGE));
        while let Some(leaf_index) = chosen.next()? {
            self.judge(leaf_index)?;
        }
        if self.scratch.has_going()? {
            self.spare_what_listings_name()?;
            self.spare_parts_of_others()?;
        }
        Ok(())
    }

    pub(crate) fn block(&self, leaf_index: u64) -> Result<DagBlock, HoldError> {
        self.backend.block(leaf_index)?.ok_or(HoldError::MissingBlock(leaf_index))
    }

    /// What is left of a content: its bytes, or what a repair set aside of them.
    fn judge(&self, leaf_index: u64) -> Result<(), HoldError> {
        let content_hash = self.block(leaf_index)?.header().content_hash;
        if self.scratch.is_judged(&content_hash)? {
            return Ok(());
        }
        let Some(info) = self.backend.payload(&content_hash)? else { return Ok(()) };
        if !info.is_kept && !self.backend.is_set_aside(&content_hash)? {
            return Ok(());
        }
        let first = self.backend.chunks(&content_hash, 0, 1)?;
        let is_list = first.first().is_some_and(|chunk| chunk.chunk_hash != content_hash);
        let fate = self.fate_by_blocks(&content_hash)?;
        self.scratch.judge(&Verdict { content_hash, leaf_index, bytes: info.original_size, is_list, fate })?;
        Ok(())
    }

    fn fate_by_blocks(&self, content_hash: &ContentHash) -> Result<Fate, HoldError> {
        let mut waits = Fate::Goes;
        let mut blocks = Pages::new(|after| self.backend.find_content(content_hash, after, PAGE));
        while let Some(leaf_index) = blocks.next()? {
            match self.holds(leaf_index)? {
                Fate::Goes => {}
                Fate::Waits { until_ms } => match waits {
                    Fate::Waits { until_ms: other } if other >= until_ms => {}
                    _ => waits = Fate::Waits { until_ms },
                },
                held => return Ok(held),
            }
        }
        Ok(waits)
    }

    /// What the block itself does for its content.
    fn holds(&self, leaf_index: u64) -> Result<Fate, HoldError> {
        let mark = self.backend.mark(leaf_index)?;
        if mark.forgotten.is_none() && !self.scratch.is_chosen(leaf_index)? {
            return Ok(Fate::HeldByBlock(leaf_index));
        }
        if mark.pin.is_some_and(|pin| pin.holds(self.rules.now_ms)) {
            return Ok(Fate::HeldByPin(leaf_index));
        }
        let info = self.backend.parent(leaf_index)?.ok_or(HoldError::MissingBlock(leaf_index))?;
        let until_ms = self.rules.retention.until_ms(info.timestamp_ms);
        Ok(if until_ms > self.rules.now_ms { Fate::Waits { until_ms } } else { Fate::Goes })
    }

    /// Reads all listings that stay, and spares what they name.
    fn spare_what_listings_name(&self) -> Result<(), HoldError> {
        let mut listings = Pages::new(|after| self.backend.of_codec(cid::DAG_CBOR, after, PAGE));
        while let Some(leaf_index) = listings.next()? {
            if self.backend.mark(leaf_index)?.is_audit {
                continue;
            }
            let content_hash = self.block(leaf_index)?.header().content_hash;
            let is_forgotten_and_gone = |fate| {
                let is_kept = self.backend.payload(&content_hash)?.is_some_and(|info| info.is_kept);
                Ok::<_, HoldError>(!matches!(fate, Fate::HeldByBlock(_)) && !is_kept)
            };
            let fate = match self.holds(leaf_index)? {
                Fate::Goes => continue,
                // What was removed before the rule was made longer holds nothing any more.
                fate if is_forgotten_and_gone(fate)? => continue,
                Fate::HeldByBlock(_) => Fate::HeldByListing(leaf_index),
                fate => fate,
            };
            self.scratch.queue(&content_hash, leaf_index, fate)?;
        }
        self.follow(|cid, fate| Ok(self.scratch.spare(&cid.content_hash(), fate).map(|_| ())?))
    }

    /// Tells `named` of each file and folder that the queued listings lead to, and follows the folders among them.
    pub(crate) fn follow(&self, mut named: impl FnMut(&Cid, Fate) -> Result<(), HoldError>) -> Result<(), HoldError> {
        let mut last = 0;
        while let Some(listing) = self.scratch.next_listing(last)? {
            last = listing.id;
            for entry in self.entries(&self.block(listing.leaf_index)?)?.unwrap_or_default() {
                let (Node::File(cid) | Node::Folder(cid)) = entry.node else { continue };
                named(&cid, listing.fate)?;
                if !matches!(entry.node, Node::Folder(_)) {
                    continue;
                }
                // A folder that has no block, or whose listing was removed before it was named, leads nowhere.
                let Some(block) = find_cid(self.backend.as_ref(), &cid)? else { continue };
                let info = self.backend.payload(&cid.content_hash())?;
                let is_gone =
                    !info.is_some_and(|info| info.is_kept) && !self.backend.is_set_aside(&cid.content_hash())?;
                if !is_gone {
                    self.scratch.queue(&cid.content_hash(), block.leaf_index(), listing.fate)?;
                }
            }
        }
        Ok(())
    }

    /// The entries of a listing; nothing where the content is none. It is read to its end and verified in either case.
    pub(crate) fn entries(&self, block: &DagBlock) -> Result<Option<Vec<Entry>>, HoldError> {
        let (block_hash, unreadable) = (block.block_hash(), |error| match error {
            GetError::Backend(error) => HoldError::Backend(error),
            error => HoldError::Unreadable(Box::new(error)),
        });
        if block.header().codec != cid::DAG_CBOR {
            return Ok(None);
        }
        let mut reader = ContentReader::new(self.backend.clone(), block.clone(), None).map_err(unreadable)?;
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next_piece().map_err(unreadable)? {
            if bytes.len() as u64 <= LISTING_BYTES_MAX {
                bytes.extend(piece);
            }
        }
        if !tree::begins_like_a_listing(&bytes) {
            return Ok(None);
        }
        tree::decode(&bytes).map(Some).map_err(|source| HoldError::Malformed { block_hash, source })
    }

    /// Chunks that contents which stay are made of.
    fn spare_parts_of_others(&self) -> Result<(), HoldError> {
        let goes = |hash: &ContentHash| Ok(self.scratch.fate(hash)? == Some(Fate::Goes));
        let mut after = None;
        loop {
            let page = self.scratch.verdicts(Some(false), after, PARTS_PAGE)?;
            let hashes: Vec<ContentHash> = page.iter().map(|verdict| verdict.content_hash).collect();
            after = hashes.last().copied();
            let listed = if hashes.is_empty() { Vec::new() } else { self.backend.listed(&hashes, &goes)? };
            for (hash, _) in hashes.iter().zip(listed).filter(|(_, is_listed)| *is_listed) {
                self.scratch.spare(hash, Fate::PartOfAnother)?;
            }
            if hashes.len() < PARTS_PAGE {
                return Ok(());
            }
        }
    }
}

/// Contents that are looked for in one walk over all lists of chunks: 3 MB.
const PARTS_PAGE: usize = 1 << 16;
