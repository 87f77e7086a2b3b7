//! Where an audit stands, as it is written down: [`CheckState`].

use super::{Checker, Depth, Frontier, PROBLEMS_LISTED_MAX, Phase, Problem};
use crate::{
    backend::{BackendError, DagBackend, Totals},
    log::LogReader,
};
use pakit_primitives::{ContentHash, hasher::Digest, log::Accumulator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// No count that is written down is greater, so that going on counting cannot overflow.
const COUNT_MAX: u64 = 1 << 62;

/// Everything that an audit knows between two steps, but for what it can read again. A few KiB, and with the problems that
/// it lists a few MiB at most.
///
/// It is no proof: whoever may write it may write that all is well. [`super::StateFile`] notices what was damaged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckState {
    depth: Depth,
    /// The repository's first leaf, as it is stored.
    #[serde(with = "optional_digest")]
    genesis: Option<Digest>,
    /// Blocks that were looked at.
    blocks: u64,
    /// Root of the log at as many blocks, as its stored nodes give it; absent where they do not.
    #[serde(with = "optional_digest")]
    root: Option<Digest>,
    phase: Phase,
    steps_done: u64,
    stored: Totals,
    counted: Totals,
    is_continuous: bool,
    is_counted: bool,
    edges_listed: u64,
    /// Nodes that the log goes on from, as they were computed.
    #[serde(with = "optional_digests")]
    log: Option<Vec<Digest>>,
    frontier_after: Option<u64>,
    is_frontier_read: bool,
    chunks: u64,
    removed_payloads: u64,
    problem_count: u64,
    problems: Vec<Problem>,
}

/// Why an audit is not gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The state says what no audit comes to.
    #[error("the state of the interrupted check contradicts itself: {0}")]
    Contradiction(&'static str),
    /// It is of a repository with another genesis.
    #[error("the interrupted check was one of another repository")]
    OtherRepository,
    /// The blocks that were looked at are not those that are there now.
    #[error("the log was rewritten since the check was interrupted")]
    Rewritten,
    /// Something was stored, removed or repaired. What was compared already cannot be compared with the sums that there are now.
    #[error("the repository was written since the check was interrupted: it had {before} blocks and has {now}")]
    WrittenSince {
        /// Blocks then.
        before: u64,
        /// Blocks now.
        now: u64,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl CheckState {
    /// How thorough the audit is.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// How far it came, in whole percent.
    pub fn percent(&self) -> u64 {
        let steps = u128::from(steps(&self.stored).max(1));
        u64::try_from(u128::from(self.steps_done) * 100 / steps).unwrap_or(100).min(100)
    }

    /// What holds for every state that an audit comes to, and what keeps one that goes on from overflowing.
    fn validate(&self) -> Result<(), ResumeError> {
        let counts = [self.blocks, self.edges_listed, self.chunks, self.removed_payloads, self.problem_count];
        let Totals { edges, frontier, chunks, .. } = self.counted;
        if counts.into_iter().chain([edges, frontier, chunks, self.stored.blocks]).any(|count| count > COUNT_MAX) {
            return Err(ResumeError::Contradiction("a count is too great"));
        }
        let is_among_blocks = matches!(self.phase, Phase::Blocks {});
        if self.blocks > self.stored.blocks || (!is_among_blocks && self.blocks != self.stored.blocks) {
            return Err(ResumeError::Contradiction("the blocks that were looked at are not those before its place"));
        }
        if self.problems.len() as u64 != self.problem_count.min(PROBLEMS_LISTED_MAX as u64) {
            return Err(ResumeError::Contradiction("it lists more or fewer problems than it counts"));
        }
        let is_behind_chunks =
            matches!(self.phase, Phase::Chunks { .. } | Phase::Packs { .. } | Phase::Marks {} | Phase::Indexes {});
        if self.chunks != chunks || (self.chunks > 0 && !is_behind_chunks) {
            return Err(ResumeError::Contradiction("it counts chunks that it has not come to"));
        }
        if !self.is_counted && self.problem_count == 0 {
            return Err(ResumeError::Contradiction("a block was lost and no problem found"));
        }
        Ok(())
    }
}

/// Steps in all. Blocks are visited once by themselves and once in each of two indices.
pub(super) fn steps(stored: &Totals) -> u64 {
    stored.blocks.saturating_mul(3).saturating_add(stored.chunks)
}

/// The first leaf, and the log's root at `size` blocks, as they are stored. What cannot be read is absent: an audit of a damaged
/// repository goes on as well.
fn stored_log(backend: &dyn DagBackend, size: u64) -> (Option<Digest>, Option<Digest>) {
    let genesis = backend.log_node(0, 0).ok().flatten();
    let root = LogReader::new(backend).head_at(size).ok().map(|head| head.root.to_bytes());
    (genesis, root)
}

impl<'a> Checker<'a> {
    /// Where the audit stands; nothing at its end. Reads a node of the log or two for each of its levels.
    pub fn state(&self) -> Option<CheckState> {
        let phase = self.phase?;
        let (genesis, root) = stored_log(self.backend, self.report.blocks);
        Some(CheckState {
            depth: self.report.depth,
            genesis,
            blocks: self.report.blocks,
            root,
            phase,
            steps_done: self.steps_done,
            stored: self.stored,
            counted: self.counted,
            is_continuous: self.is_continuous,
            is_counted: self.is_counted,
            edges_listed: self.edges_listed,
            log: self.log.as_ref().map(|log| log.peaks().to_vec()),
            frontier_after: self.frontier.taken,
            is_frontier_read: self.frontier.is_read && self.frontier.page.is_empty(),
            chunks: self.report.chunks,
            removed_payloads: self.report.removed_payloads,
            problem_count: self.report.problem_count,
            problems: self.report.problems.clone(),
        })
    }

    /// Goes on with an audit that was interrupted. What was looked at before is not looked at again.
    pub fn resume(backend: &'a dyn DagBackend, state: CheckState) -> Result<Self, ResumeError> {
        state.validate()?;
        let mut checker = Self::new(backend, state.depth)?;
        let (genesis, root) = stored_log(backend, state.blocks);
        let now = checker.stored;
        if genesis != state.genesis {
            return Err(ResumeError::OtherRepository);
        }
        if now.blocks < state.blocks || root != state.root {
            return Err(ResumeError::Rewritten);
        }
        if now != state.stored {
            return Err(ResumeError::WrittenSince { before: state.stored.blocks, now: now.blocks });
        }
        checker.log = match state.log {
            None => None,
            Some(peaks) => {
                let log = Accumulator::resume(state.blocks, peaks);
                Some(log.ok_or(ResumeError::Contradiction("the nodes of the log are not those of its size"))?)
            }
        };
        // The page that was read is read again, from behind the last one that was taken.
        let is_read = state.is_frontier_read;
        let after = state.frontier_after;
        checker.frontier = Frontier { after, taken: after, is_read, ..Frontier::default() };
        checker.phase = Some(state.phase);
        checker.steps_done = state.steps_done.min(checker.steps);
        checker.counted = state.counted;
        (checker.is_continuous, checker.is_counted) = (state.is_continuous, state.is_counted);
        checker.edges_listed = state.edges_listed;
        let report = &mut checker.report;
        (report.blocks, report.chunks) = (state.blocks, state.chunks);
        report.removed_payloads = state.removed_payloads;
        (report.problem_count, report.problems) = (state.problem_count, state.problems);
        if !matches!(state.phase, Phase::Blocks {}) {
            report.head = checker.log.as_ref().and_then(Accumulator::head);
        }
        Ok(checker)
    }
}

/// 32 bytes of `0x` and 64 digits.
pub(super) fn digest_of(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut digest).ok()?;
    Some(digest)
}

fn text_of(digest: &Digest) -> String {
    format!("0x{}", hex::encode(digest))
}

fn read_digest<E: de::Error>(text: &str) -> Result<Digest, E> {
    digest_of(text).ok_or_else(|| E::custom("a hash has to be 0x and 64 digits"))
}

mod optional_digest {
    use super::*;

    pub(super) fn serialize<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
        digest.as_ref().map(text_of).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| read_digest(&text)).transpose()
    }
}

mod optional_digests {
    use super::*;

    pub(super) fn serialize<S: Serializer>(digests: &Option<Vec<Digest>>, serializer: S) -> Result<S::Ok, S::Error> {
        digests.as_ref().map(|digests| digests.iter().map(text_of).collect::<Vec<_>>()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Digest>>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?;
        texts.map(|texts| texts.iter().map(|text| read_digest(text)).collect()).transpose()
    }
}

pub(super) mod optional_hash {
    use super::*;

    pub(in crate::check) fn serialize<S: Serializer>(
        hash: &Option<ContentHash>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        optional_digest::serialize(&hash.map(ContentHash::to_bytes), serializer)
    }

    pub(in crate::check) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ContentHash>, D::Error> {
        Ok(optional_digest::deserialize(deserializer)?.map(ContentHash::new))
    }
}
