#![allow(clippy::unwrap_used)]

//! A chain in memory, for tests: it forks, finalizes, forgets its pool, and takes an anchor by the pallet's own verification.

use super::{
    client::{
        AccountState, Balance, BlockRef, Call, CallFailure, ChainClient, ChainDag, ChainError, ChainHead,
        ChainIdentity, ChainRecord, ChainStake, Connect, DeclaredRange, Ends, Outcome, RemovalTerms, Submission,
    },
    key::SigningKey,
};
use crate::sqlite::outbox::{
    ids::{AccountId, ChainBlockHash, ExtrinsicHash},
    rows::{Era, SignedExtrinsic},
};
use pakit_primitives::{
    BlockHash, Head, SoftwareHasher,
    chain::{AnchorNumber, DagId, DepositSubject, verify_extension},
    possession::RangeNumber,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The only DAG.
pub(super) const DAG: DagId = 0;
/// Blocks from a declaration to its effect.
pub(super) const PERIOD: u64 = 20;

#[derive(Clone, Debug)]
struct Extrinsic {
    hash: ExtrinsicHash,
    signer: AccountId,
    nonce: u64,
    era: Era,
    call: Call,
}

/// What is so after a block.
#[derive(Clone, Debug, Default)]
struct State {
    nonces: BTreeMap<AccountId, u64>,
    heads: Vec<(AnchorNumber, ChainHead)>,
    ranges: Vec<DeclaredRange>,
}

#[derive(Clone, Debug)]
struct Block {
    number: u64,
    held: Vec<(Extrinsic, Outcome)>,
    state: State,
}

/// The chain as its one node knows it.
#[derive(Debug)]
pub(super) struct Chain {
    owner: AccountId,
    genesis: BlockHash,
    /// Every block there ever was, left behind or not.
    blocks: HashMap<ChainBlockHash, Block>,
    /// The best chain, from block 0 on.
    best: Vec<ChainBlockHash>,
    /// Number of the last finalized block.
    finalized: u64,
    pool: Vec<Extrinsic>,
    /// Everything that was ever signed, by its bytes.
    signed: HashMap<Vec<u8>, Extrinsic>,
    /// Whether a stake stands behind the DAG.
    pub(super) is_staked: bool,
}

/// The only block 0.
pub(super) fn genesis_hash() -> ChainBlockHash {
    ChainBlockHash::new([0; 32])
}

impl Chain {
    /// With the DAG of a log created in block 1, which is final.
    pub(super) fn new(owner: AccountId, genesis: BlockHash) -> Self {
        let block = Block { number: 0, held: Vec::new(), state: State::default() };
        let blocks = HashMap::from([(genesis_hash(), block)]);
        let (best, pool, signed) = (vec![genesis_hash()], Vec::new(), HashMap::new());
        let mut chain = Self { owner, genesis, blocks, best, finalized: 0, pool, signed, is_staked: false };
        let head = Head { size: 1, root: genesis.as_root_of_one() };
        let created = ChainHead { head, depth: 0, slices: 0, block_number: 1 };
        let state = State { nonces: BTreeMap::from([(owner, 1)]), heads: vec![(1, created)], ranges: Vec::new() };
        chain.push(Vec::new(), state);
        chain.finalized = 1;
        chain
    }

    pub(super) fn block_at(&self, number: u64) -> Option<BlockRef> {
        let hash = *self.best.get(usize::try_from(number).ok()?)?;
        Some(BlockRef { number, hash })
    }

    pub(super) fn ends(&self) -> Ends {
        let best = self.block_at(self.best_number()).unwrap();
        Ends { finalized: self.block_at(self.finalized).unwrap(), best }
    }

    /// The head of the best block's state.
    pub(super) fn latest(&self) -> Head {
        self.state().heads.last().unwrap().1.head
    }

    fn best_number(&self) -> u64 {
        self.best.len() as u64 - 1
    }

    fn state(&self) -> &State {
        &self.blocks[self.best.last().unwrap()].state
    }

    fn push(&mut self, held: Vec<(Extrinsic, Outcome)>, state: State) {
        let mut bytes = [0xff; 32];
        bytes[..8].copy_from_slice(&(self.blocks.len() as u64).to_le_bytes());
        let hash = ChainBlockHash::new(bytes);
        self.blocks.insert(hash, Block { number: self.best.len() as u64, held, state });
        self.best.push(hash);
    }

    /// How the extrinsic would end on top of that state in the next block, if that could hold it at all.
    fn apply(&self, state: &mut State, extrinsic: &Extrinsic) -> Option<Outcome> {
        let (number, era) = (self.best.len() as u64, extrinsic.era);
        let nonce = state.nonces.entry(extrinsic.signer).or_default();
        let is_born = self.block_at(era.birth).is_some_and(|block| block.hash == era.birth_hash);
        if *nonce != extrinsic.nonce || !is_born || !(era.first()..era.death()).contains(&number) {
            return None;
        }
        *nonce += 1;
        if let Call::DeclareRemoved { leaves, .. } = &extrinsic.call {
            state.ranges.push(DeclaredRange { leaves: leaves.clone(), effective_at: number + PERIOD });
            return Some(Outcome::Succeeded { created: None, anchor: None });
        }
        let Call::Anchor { new_head, consistency, newest_header, inclusion, .. } = &extrinsic.call else {
            panic!("only anchors and declarations are signed here: {extrinsic:?}");
        };
        let (latest, base) = (state.heads.len() as u64, state.heads.last().unwrap().1.head);
        match verify_extension::<SoftwareHasher>(&base, new_head, consistency, newest_header, inclusion) {
            Ok(_) => {
                let anchored = ChainHead { head: *new_head, depth: 0, slices: 0, block_number: number };
                state.heads.push((latest + 1, anchored));
                Some(Outcome::Succeeded { created: None, anchor: Some(latest + 1) })
            }
            Err(error) => {
                let failure = CallFailure { name: format!("{error:?}"), explanation: error.to_string() };
                Some(Outcome::Failed(failure))
            }
        }
    }

    /// A block with all of the pool that it can hold, or with nothing.
    pub(super) fn add_block(&mut self, is_full: bool) {
        let (mut state, mut held) = (self.state().clone(), Vec::new());
        if is_full {
            self.pool.sort_by_key(|extrinsic| extrinsic.nonce);
            for extrinsic in &self.pool {
                if let Some(outcome) = self.apply(&mut state, extrinsic) {
                    held.push((extrinsic.clone(), outcome));
                }
            }
        }
        self.push(held, state);
        // What no later block of this branch can hold goes.
        let (next, state) = (self.best.len() as u64, &self.blocks[self.best.last().unwrap()].state);
        self.pool.retain(|waits| waits.nonce >= state.nonces[&waits.signer] && waits.era.death() > next);
    }

    /// A block with an anchor of somebody else's.
    pub(super) fn add_foreign_anchor(&mut self, call: Call) {
        let (mut state, signer) = (self.state().clone(), AccountId::new([0xbb; 32]));
        let nonce = state.nonces.get(&signer).copied().unwrap_or(0);
        let birth = self.ends().finalized;
        let era = Era { birth: birth.number, birth_hash: birth.hash, period: 4096 };
        let extrinsic = Extrinsic { hash: ExtrinsicHash::new([0xbb; 32]), signer, nonce, era, call };
        let outcome = self.apply(&mut state, &extrinsic).unwrap();
        self.push(vec![(extrinsic, outcome)], state);
    }

    /// Up to `depth` blocks that are not final are left behind. What they held is back in the pool, or forgotten.
    pub(super) fn leave_behind(&mut self, depth: usize, is_kept: bool) {
        let stay = self.best.len().saturating_sub(depth).max(usize::try_from(self.finalized).unwrap() + 1);
        for hash in self.best.split_off(stay) {
            let held = &self.blocks[&hash].held;
            if is_kept {
                let own = held.iter().filter(|(extrinsic, _)| extrinsic.signer == self.owner);
                self.pool.extend(own.map(|(extrinsic, _)| extrinsic.clone()));
            }
        }
    }

    pub(super) fn finalize(&mut self, blocks: u64) {
        self.finalized = (self.finalized + blocks).min(self.best_number());
    }

    /// What no chain does: finalized blocks are gone.
    pub(super) fn revert_to(&mut self, number: u64) {
        self.best.truncate(usize::try_from(number).unwrap() + 1);
        self.finalized = number;
    }

    /// The ranges declared in the best chain.
    pub(super) fn declared(&self) -> Vec<DeclaredRange> {
        self.state().ranges.clone()
    }

    pub(super) fn forget_pool(&mut self) {
        self.pool.clear();
    }

    /// The heads that the owner paid for in the best chain after creation, and whether their calls succeeded.
    pub(super) fn paid(&self) -> Vec<(Head, bool)> {
        let held = self.best.iter().flat_map(|hash| &self.blocks[hash].held);
        let own = held.filter(|(extrinsic, _)| extrinsic.signer == self.owner);
        own.map(|(extrinsic, outcome)| match &extrinsic.call {
            Call::Anchor { new_head, .. } => (*new_head, matches!(outcome, Outcome::Succeeded { .. })),
            other => panic!("nobody asked for {other:?}"),
        })
        .collect()
    }

    fn submit(&mut self, bytes: &[u8]) -> Submission {
        let extrinsic = self.signed[bytes].clone();
        let next = self.state().nonces[&extrinsic.signer];
        if extrinsic.nonce < next {
            return Submission::Stale;
        }
        if self.pool.iter().any(|waits| waits.hash == extrinsic.hash) {
            return Submission::AlreadyKnown;
        }
        // What is next in line is what the next block holds: a call that fails there is paid for in vain.
        let outcome = self.apply(&mut self.state().clone(), &extrinsic);
        assert!(!matches!(outcome, Some(Outcome::Failed(_))), "sent what can only fail: {outcome:?} of {extrinsic:?}");
        if extrinsic.nonce == next && outcome.is_none() {
            return Submission::NotValidNow;
        }
        self.pool.push(extrinsic);
        Submission::Accepted
    }
}

/// The chain, shared with those who ask it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    chain: Arc<Mutex<Chain>>,
    identity: ChainIdentity,
}

impl Node {
    pub(super) fn new(chain: Chain) -> Self {
        let identity = ChainIdentity {
            genesis: genesis_hash(),
            url: "ws://model".to_owned(),
            spec_name: "model".to_owned(),
            spec_version: 1,
            transaction_version: 1,
        };
        Self { chain: Arc::new(Mutex::new(chain)), identity }
    }

    pub(super) fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is so after a block, also after one that was left behind.
    fn state_at(&self, at: BlockRef) -> Result<State, ChainError> {
        let chain = self.chain();
        let block = chain.blocks.get(&at.hash).filter(|block| block.number == at.number);
        block.map(|block| block.state.clone()).ok_or(ChainError::BlockUnavailable { number: at.number })
    }
}

impl Connect for Node {
    type Client = Self;

    fn url(&self) -> &str {
        &self.identity.url
    }

    async fn connect(&self) -> Result<Self, ChainError> {
        Ok(self.clone())
    }
}

impl ChainClient for Node {
    fn identity(&self) -> &ChainIdentity {
        &self.identity
    }

    async fn ends(&self) -> Result<Ends, ChainError> {
        Ok(self.chain().ends())
    }

    async fn wait_for_block(&self, _patience: Duration) -> Result<(), ChainError> {
        Ok(())
    }

    async fn block_hash(&self, number: u64) -> Result<Option<ChainBlockHash>, ChainError> {
        Ok(self.chain().block_at(number).map(|block| block.hash))
    }

    async fn extrinsic_hashes(&self, block: BlockRef) -> Result<Vec<ExtrinsicHash>, ChainError> {
        let chain = self.chain();
        Ok(chain.blocks[&block.hash].held.iter().map(|(extrinsic, _)| extrinsic.hash).collect())
    }

    async fn outcome(&self, block: BlockRef, extrinsic_index: u32) -> Result<Outcome, ChainError> {
        let chain = self.chain();
        Ok(chain.blocks[&block.hash].held[extrinsic_index as usize].1.clone())
    }

    async fn dag(&self, _dag: DagId, at: BlockRef) -> Result<Option<ChainDag>, ChainError> {
        let state = self.state_at(at)?;
        let chain = self.chain();
        Ok(state.heads.last().map(|(anchors, latest)| ChainDag {
            owner: chain.owner,
            operators: Vec::new(),
            pending_owner: None,
            genesis: chain.genesis,
            anchors: *anchors,
            latest: latest.head,
            retired: false,
            succeeds: None,
            successor: None,
            deposit: 0,
        }))
    }

    async fn heads_kept(&self, _dag: DagId, at: BlockRef) -> Result<Vec<(AnchorNumber, ChainHead)>, ChainError> {
        Ok(self.state_at(at)?.heads)
    }

    async fn record(
        &self,
        _dag: DagId,
        _block_hash: BlockHash,
        _depositor: AccountId,
        _at: BlockRef,
    ) -> Result<Option<ChainRecord>, ChainError> {
        Ok(None)
    }

    async fn account(&self, account: AccountId, at: BlockRef) -> Result<AccountState, ChainError> {
        let nonce = self.state_at(at)?.nonces.get(&account).copied().unwrap_or(0);
        Ok(AccountState { nonce, spendable: Balance::MAX })
    }

    async fn next_nonce(&self, account: AccountId) -> Result<u64, ChainError> {
        let chain = self.chain();
        let mut next = chain.state().nonces.get(&account).copied().unwrap_or(0);
        while chain.pool.iter().any(|waits| waits.nonce == next) {
            next += 1;
        }
        Ok(next)
    }

    async fn deposit_for(&self, _subject: DepositSubject, _at: BlockRef) -> Result<Balance, ChainError> {
        Ok(0)
    }

    async fn stake_behind(&self, _dag: DagId, at: BlockRef) -> Result<Option<ChainStake>, ChainError> {
        let ranges = self.state_at(at)?.ranges.len() as RangeNumber;
        Ok(self.chain().is_staked.then_some(ChainStake { amount: 1, frozen_at: None, ranges }))
    }

    async fn removed_range(
        &self,
        _dag: DagId,
        range: RangeNumber,
        at: BlockRef,
    ) -> Result<Option<DeclaredRange>, ChainError> {
        Ok(self.state_at(at)?.ranges.get(range as usize).cloned())
    }

    async fn removal_terms(&self, _at: BlockRef) -> Result<RemovalTerms, ChainError> {
        Ok(RemovalTerms { deposit: 5, period: PERIOD })
    }

    async fn fee(&self, _bytes: &[u8], _at: BlockRef) -> Result<Balance, ChainError> {
        Ok(1)
    }

    async fn sign(
        &self,
        call: &Call,
        key: &SigningKey,
        nonce: u64,
        era: Era,
        _at: BlockRef,
    ) -> Result<SignedExtrinsic, ChainError> {
        let mut chain = self.chain();
        let bytes = (chain.signed.len() as u64).to_le_bytes().to_vec();
        let (hash, signer) = (ExtrinsicHash::new(*blake3::hash(&bytes).as_bytes()), key.account());
        chain.signed.insert(bytes.clone(), Extrinsic { hash, signer, nonce, era, call: call.clone() });
        Ok(SignedExtrinsic { bytes, hash, signer, nonce, era })
    }

    async fn submit(&self, bytes: &[u8]) -> Result<Submission, ChainError> {
        Ok(self.chain().submit(bytes))
    }
}
