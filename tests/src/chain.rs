//! What a chain keeps, and what is in its blocks, read by a client of its own: the runtime API's calls and the extrinsics'
//! bytes are encoded and decoded here, by nothing that `pakit` does it with; only signatures are made by the same library.

use crate::Node;
use codec::{Compact, Decode, DecodeAll, Encode, Input};
use pakit_primitives::{
    BlockHash, DagStorageProof, Head,
    chain::{AnchorNumber, AnchoredHead, DagId, DagInfo},
    possession::{OpenChallenge, RemovedRange, StakeInfo},
};
use serde_json::json;
use subxt_signer::sr25519::dev;

/// An account: a public key.
pub type Account = [u8; 32];
/// A balance of the development chain.
pub type Balance = u128;
/// A block number of the development chain.
pub type BlockNumber = u32;

/// Public key of the development account `//Alice`.
pub const ALICE: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

/// Storage key of `//Alice`'s account: `System`, `Account` (two of 128 bits of XXH64 each), 128 bits of BLAKE2b of the public
/// key, the public key.
const ALICE_ACCOUNT: &str = "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9de1e86a9a8c739864cf3cc5ec2bea59f\
     d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

/// Index of the pallet Pakit in the development chain's runtime.
const PALLET_PAKIT: u8 = 10;
/// Indices of the pallet's calls.
const CALL_CREATE_DAG: u8 = 0;
const CALL_ANCHOR: u8 = 1;
const CALL_RECORD_PROOF: u8 = 2;
const CALL_STAKE: u8 = 9;
const CALL_RESPOND: u8 = 12;
const CALL_DECLARE_REMOVED: u8 = 14;

/// A call of the pallet, as far as it is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PakitCall {
    /// `create_dag`.
    CreateDag,
    /// `anchor`.
    Anchor {
        /// The DAG.
        dag: DagId,
        /// The head.
        head: Head,
    },
    /// `record_proof`.
    RecordProof {
        /// The DAG.
        dag: DagId,
    },
    /// Another one.
    Other(u8),
}

/// A signed extrinsic in a block, whether or not it succeeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extrinsic {
    /// Number of the block.
    pub block_number: u64,
    /// Its place among all of the block's extrinsics.
    pub index: usize,
    /// Who signed.
    pub signer: Account,
    /// The signer's nonce.
    pub nonce: u32,
    /// What it calls, if that is a call of the pallet.
    pub call: Option<PakitCall>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The account of a public key in hex.
pub fn account(hex_digits: &str) -> Account {
    hex::decode(hex_digits.trim_start_matches("0x")).unwrap().try_into().unwrap()
}

impl Node {
    /// Calls a function of the runtime at the best block.
    #[track_caller]
    pub fn runtime<T: Decode>(&self, function: &str, arguments: impl Encode) -> T {
        self.runtime_at(None, function, arguments)
    }

    /// Calls a function of the runtime at a block; at the best one, where none is named.
    #[track_caller]
    pub fn runtime_at<T: Decode>(&self, block: Option<&str>, function: &str, arguments: impl Encode) -> T {
        let arguments = format!("0x{}", hex::encode(arguments.encode()));
        let answer = self.ask("state_call", json!([function, arguments, block]));
        let bytes = hex::decode(answer.as_str().unwrap().trim_start_matches("0x")).unwrap();
        T::decode_all(&mut &bytes[..]).unwrap_or_else(|error| panic!("{function}: {error} in {answer}"))
    }

    /// A DAG.
    pub fn dag(&self, dag: DagId) -> Option<DagInfo<Account, Balance>> {
        self.runtime("PakitApi_dag", dag)
    }

    /// The latest head of a DAG, and the number of its anchor.
    pub fn head(&self, dag: DagId) -> Option<(AnchorNumber, AnchoredHead<BlockNumber>)> {
        self.runtime("PakitApi_head", dag)
    }

    /// All heads kept of a DAG.
    pub fn heads_kept(&self, dag: DagId) -> Vec<(AnchorNumber, AnchoredHead<BlockNumber>)> {
        self.runtime("PakitApi_heads_kept", dag)
    }

    /// All that `//Alice` has after a block, what is held included: it falls by fees only.
    #[track_caller]
    pub fn wealth_of_alice(&self, block: &str) -> Balance {
        let answer = self.ask("state_getStorage", json!([ALICE_ACCOUNT, block]));
        let bytes = hex::decode(answer.as_str().unwrap().trim_start_matches("0x")).unwrap();
        // Nonce and three counts of references, then what is free, held, frozen, and flags.
        let (_, (free, held, _, _)) =
            <([u32; 4], (Balance, Balance, Balance, u128))>::decode_all(&mut &bytes[..]).unwrap();
        free + held
    }

    /// The record that an account keeps of a block.
    pub fn record(
        &self,
        dag: DagId,
        block_hash: BlockHash,
        depositor: Account,
    ) -> Option<DagStorageProof<Account, Balance, BlockNumber>> {
        self.runtime("PakitApi_record", (dag, block_hash, depositor))
    }

    /// The stake behind a DAG, and how its challenges went.
    pub fn stake_behind(&self, dag: DagId) -> Option<StakeInfo<Account, Balance, BlockNumber>> {
        self.runtime("PakitApi_stake_behind", dag)
    }

    /// The challenges of a DAG that wait for an answer.
    pub fn open_challenges(&self, dag: DagId) -> Vec<OpenChallenge<BlockNumber>> {
        self.open_challenges_at(None, dag)
    }

    /// The same after a block; after the best one, where none is named.
    pub fn open_challenges_at(&self, block: Option<&str>, dag: DagId) -> Vec<OpenChallenge<BlockNumber>> {
        self.runtime_at(block, "PakitApi_open_challenges", dag)
    }

    /// Whether the pool has an answer for each of them.
    pub fn has_answers_for(&self, open: &[OpenChallenge<BlockNumber>]) -> bool {
        let pending = self.pending();
        open.iter().all(|open| {
            // Pallet, call and the first two arguments: bytes that stand nowhere else.
            let call = hex::encode((PALLET_PAKIT, CALL_RESPOND, open.dag, open.challenge).encode());
            pending.iter().any(|extrinsic| extrinsic.contains(&call))
        })
    }

    /// Puts a stake of `//Alice`'s behind a DAG, and waits until it is in a block. A node that makes blocks by itself.
    #[track_caller]
    pub fn stake(&self, dag: DagId, amount: Balance) {
        self.submit_as_alice((PALLET_PAKIT, CALL_STAKE, dag, amount).encode());
        self.until("is the stake there", |node| node.stake_behind(dag).is_some());
    }

    /// Declares as `//Alice` that contents were let go, the first of a DAG's declarations, and waits until that is in a block. A node
    /// that makes blocks by itself.
    #[track_caller]
    pub fn declare_removed(&self, dag: DagId, first: u64, last: u64) {
        self.submit_as_alice((PALLET_PAKIT, CALL_DECLARE_REMOVED, dag, first, last).encode());
        let declared = |node: &Self| node.removed_range(dag, 0);
        self.until("is the range there", |node| declared(node).is_some_and(|it| (it.first, it.last) == (first, last)));
    }

    /// A range of leaves that was declared removed; ranges are numbered from 0.
    pub fn removed_range(&self, dag: DagId, range: u32) -> Option<RemovedRange<Account, Balance, BlockNumber>> {
        self.runtime("PakitApi_removed_range", (dag, range))
    }

    /// Signs a call as `//Alice`, with an immortal transaction of version 4, and sends it.
    #[track_caller]
    fn submit_as_alice(&self, call: Vec<u8>) {
        let nonce: u32 = self.runtime("AccountNonceApi_account_nonce", account(ALICE));
        let version = self.ask("state_getRuntimeVersion", json!([]));
        let version = |name: &str| u32::try_from(version[name].as_u64().unwrap()).unwrap();
        let genesis = account(&self.genesis());
        // Mortality, nonce, reward for the block's author, metadata hash: the extensions that have bytes.
        let extensions = (0u8, Compact(nonce), Compact(0u128), 0u8).encode();
        // And what they sign without sending it; the era of an immortal transaction begins with genesis.
        let implicit = (version("specVersion"), version("transactionVersion"), genesis, genesis, 0u8).encode();
        // Below 257 bytes the payload is signed as it is.
        let signature = dev::alice().sign(&[&call[..], &extensions, &implicit].concat());
        // MultiAddress::Id, then MultiSignature::Sr25519.
        let signed = (0x84u8, 0u8, account(ALICE), 1u8, signature.0).encode();
        let extrinsic = [signed, extensions, call].concat().encode();
        self.ask("author_submitExtrinsic", json!([format!("0x{}", hex::encode(extrinsic))]));
    }

    /// The signed extrinsics in all blocks of the best chain, in their order.
    pub fn extrinsics(&self) -> Vec<Extrinsic> {
        let mut found = Vec::new();
        for block_number in 0..=self.best() {
            let block = self.ask("chain_getBlock", json!([self.block_hash(block_number)]));
            let extrinsics =
                block["block"]["extrinsics"].as_array().unwrap_or_else(|| panic!("no block {block_number}"));
            for (index, extrinsic) in extrinsics.iter().enumerate() {
                let bytes = hex::decode(extrinsic.as_str().unwrap().trim_start_matches("0x")).unwrap();
                let decoded = Extrinsic::decode(block_number, index, bytes);
                found
                    .extend(decoded.unwrap_or_else(|error| panic!("block {block_number}, extrinsic {index}: {error}")));
            }
        }
        found
    }

    /// The heads that the `anchor` extrinsics in the blocks are about, failed ones included, in their order. Each is paid
    /// for.
    pub fn anchor_extrinsics(&self, dag: DagId) -> Vec<Head> {
        let calls = self.extrinsics().into_iter().filter_map(|extrinsic| extrinsic.call);
        calls
            .filter_map(|call| match call {
                PakitCall::Anchor { dag: its_dag, head } if its_dag == dag => Some(head),
                _ => None,
            })
            .collect()
    }
}

impl Extrinsic {
    /// Decodes an extrinsic of the development chain; `None` for one that nobody signed.
    fn decode(block_number: u64, index: usize, bytes: Vec<u8>) -> Result<Option<Self>, codec::Error> {
        let mut input = &bytes[..];
        let length = Compact::<u32>::decode(&mut input)?.0;
        if length as usize != input.len() {
            return Err("not of the length it says".into());
        }
        match input.read_byte()? {
            // Inherents, of either version, and transactions whose extensions let them in without a signature.
            4 | 5 | 0x45 => return Ok(None),
            0x84 => {}
            _ => return Err("of a version that the runtime does not sign".into()),
        }
        // MultiAddress::Id, then MultiSignature::Sr25519.
        let signer = <(u8, Account)>::decode(&mut input)?;
        let signature = <(u8, [u8; 64])>::decode(&mut input)?;
        if signer.0 != 0 || signature.0 > 2 {
            return Err("of a signer or signature of another kind".into());
        }
        // Of the extensions, these have bytes: mortality, nonce, payment (the reward for the block's author), metadata hash.
        let era = input.read_byte()?;
        if era != 0 {
            input.read_byte()?;
        }
        let nonce = Compact::<u32>::decode(&mut input)?.0;
        let _reward = Compact::<Balance>::decode(&mut input)?;
        let _metadata_hash_mode = input.read_byte()?;
        let call = decode_call(&mut input)?;
        Ok(Some(Self { block_number, index, signer: signer.1, nonce, call, bytes }))
    }
}

fn decode_call(input: &mut &[u8]) -> Result<Option<PakitCall>, codec::Error> {
    let (pallet, call) = <(u8, u8)>::decode(input)?;
    Ok(match (pallet, call) {
        (PALLET_PAKIT, CALL_CREATE_DAG) => Some(PakitCall::CreateDag),
        (PALLET_PAKIT, CALL_ANCHOR) => {
            let (dag, head) = <(DagId, Head)>::decode(input)?;
            Some(PakitCall::Anchor { dag, head })
        }
        (PALLET_PAKIT, CALL_RECORD_PROOF) => Some(PakitCall::RecordProof { dag: DagId::decode(input)? }),
        (PALLET_PAKIT, other) => Some(PakitCall::Other(other)),
        _ => None,
    })
}
