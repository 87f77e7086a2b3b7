//! [`Declaring`]: declarations of removed contents that were signed and may be on their way.
//!
//! They are few, and are needed no more once the chain's finalized state tells what became of them. So they stand in one setting of the
//! repository, beside the table of the outbox and not in it.

use super::{
    Outbox, OutboxError,
    ids::{AccountId, ChainBlockHash, ExtrinsicHash},
    rows::{Era, SignedExtrinsic},
};
use crate::sqlite::{fault::Fault, read, write};
use codec::{Decode, DecodeAll, Encode};
use pakit_primitives::chain::DagId;
use rusqlite::TransactionBehavior;
use std::ops::RangeInclusive;

/// Name of the setting: version and rows in SCALE, empty where nothing is on its way.
const SETTING_DECLARING: &str = "declaring";
/// Version of its bytes.
const VERSION: u8 = 1;
/// Most declarations that are on their way at once.
pub(crate) const DECLARING_MAX: usize = 256;
/// Longest setting that is read: a declaration has about 150 bytes.
const BYTES_MAX: usize = 1 << 20;

/// A declaration that was signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declaring {
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// The DAG.
    pub dag: DagId,
    /// The leaves that it declares removed.
    pub leaves: RangeInclusive<u64>,
    /// The extrinsic.
    pub signed: SignedExtrinsic,
}

/// As it is stored.
///
/// Frozen bytes: `tests::what_is_being_declared_has_the_bytes_it_always_had`.
#[derive(Encode, Decode)]
struct Stored {
    chain: [u8; 32],
    dag: DagId,
    first: u64,
    last: u64,
    bytes: Vec<u8>,
    hash: [u8; 32],
    signer: [u8; 32],
    nonce: u64,
    birth: u64,
    birth_hash: [u8; 32],
    period: u64,
}

impl From<&Declaring> for Stored {
    fn from(declaring: &Declaring) -> Self {
        let Declaring { chain, dag, leaves, signed } = declaring;
        Self {
            chain: *chain.as_bytes(),
            dag: *dag,
            first: *leaves.start(),
            last: *leaves.end(),
            bytes: signed.bytes.clone(),
            hash: *signed.hash.as_bytes(),
            signer: *signed.signer.as_bytes(),
            nonce: signed.nonce,
            birth: signed.era.birth,
            birth_hash: *signed.era.birth_hash.as_bytes(),
            period: signed.era.period,
        }
    }
}

impl From<Stored> for Declaring {
    fn from(stored: Stored) -> Self {
        let Stored { chain, dag, first, last, bytes, hash, signer, nonce, birth, birth_hash, period } = stored;
        let era = Era { birth, birth_hash: ChainBlockHash::new(birth_hash), period };
        let (hash, signer) = (ExtrinsicHash::new(hash), AccountId::new(signer));
        let signed = SignedExtrinsic { bytes, hash, signer, nonce, era };
        Self { chain: ChainBlockHash::new(chain), dag, leaves: first..=last, signed }
    }
}

impl Outbox {
    /// What was signed and is not known to be settled.
    pub fn declaring(&self) -> Result<Vec<Declaring>, OutboxError> {
        let value = read::setting(&self.lock(), SETTING_DECLARING).map_err(settings)?.unwrap_or_default();
        if value.is_empty() {
            return Ok(Vec::new());
        }
        decode(&value).ok_or(OutboxError::Damaged("what is being declared cannot be read"))
    }

    /// Takes the place of what is there. On the disk when it returns.
    pub fn set_declaring(&self, declaring: &[Declaring]) -> Result<(), OutboxError> {
        let value = match declaring.is_empty() {
            true => Vec::new(),
            false => (VERSION, declaring.iter().map(Stored::from).collect::<Vec<_>>()).encode(),
        };
        let mut connection = self.lock();
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write::set_setting(&txn, SETTING_DECLARING, &value).map_err(settings)?;
        Ok(txn.commit()?)
    }
}

fn decode(value: &[u8]) -> Option<Vec<Declaring>> {
    if value.len() > BYTES_MAX {
        return None;
    }
    let (version, stored) = <(u8, Vec<Stored>)>::decode_all(&mut &*value).ok()?;
    let is_known = version == VERSION && stored.len() <= DECLARING_MAX;
    is_known.then(|| stored.into_iter().map(Declaring::from).collect())
}

fn settings(fault: Fault) -> OutboxError {
    match fault {
        Fault::Sql(error) => error.into(),
        Fault::Backend(error) => error.into(),
        Fault::Pack(_) => OutboxError::Damaged("the settings are not those that were set"),
    }
}
