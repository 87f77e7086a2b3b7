//! What crosses the border of a chain in SCALE: each type has one encoding of each value, or who signs and who reads it may mean
//! two things.

use codec::{DecodeAll, Encode};
use pakit_primitives::{
    BlockHash, Compression, DagStorageProof, Head, LogRoot,
    chain::{AnchoredHead, DagInfo, DepositSubject, Succession, VerifiedBlock, VerifyError},
    fraud::FaultKind,
    possession::{Fault, OpenChallenge, RemovedRange, StakeInfo, Tally},
};

type AccountId = [u8; 32];
type Balance = u128;
type BlockNumber = u32;

fn of<T: DecodeAll + Encode>(bytes: &[u8]) -> bool {
    let Ok(value) = T::decode_all(&mut &bytes[..]) else { return false };
    assert_eq!(value.encode(), bytes, "two encodings of one value");
    true
}

/// The types, by the first byte of an input.
const TYPES: [fn(&[u8]) -> bool; 16] = [
    of::<Head>,
    of::<Succession>,
    of::<AnchoredHead<BlockNumber>>,
    of::<DagInfo<AccountId, Balance>>,
    of::<DepositSubject>,
    of::<VerifiedBlock<BlockNumber>>,
    of::<Result<VerifiedBlock<BlockNumber>, VerifyError>>,
    of::<DagStorageProof<AccountId, Balance, BlockNumber>>,
    of::<Tally>,
    of::<RemovedRange<AccountId, Balance, BlockNumber>>,
    of::<Fault<BlockNumber>>,
    of::<StakeInfo<AccountId, Balance, BlockNumber>>,
    of::<Vec<OpenChallenge<BlockNumber>>>,
    of::<Option<(Head, u64, BlockNumber)>>,
    of::<(Compression, FaultKind, VerifyError)>,
    of::<Vec<(BlockHash, Option<Succession>)>>,
];

/// A type and what is read as one.
pub(super) fn chain_types(bytes: &[u8]) {
    is_one(bytes);
}

/// Whether it is read.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else { return false };
    TYPES[usize::from(*kind) % TYPES.len()](bytes)
}

/// A value of each type that has more than fields of fixed lengths, and of some that have not.
pub(super) fn values() -> Vec<Vec<u8>> {
    let head = Head { size: 13, root: LogRoot::new([4; 32]) };
    let succession = Succession { dag: 1, size: 5, root: LogRoot::new([5; 32]) };
    let info = DagInfo::<AccountId, Balance> {
        owner: [1; 32],
        operators: vec![[2; 32], [3; 32]],
        pending_owner: Some([4; 32]),
        genesis: BlockHash::new([5; 32]),
        anchors: 6,
        latest: head,
        retired: false,
        succeeds: Some(succession),
        successor: None,
        deposit: 7,
    };
    let stake = StakeInfo::<AccountId, Balance, BlockNumber> {
        staker: [1; 32],
        amount: 2,
        withdrawable_at: Some(3),
        next_round_at: 4,
        frozen: Some((head, 40, 5)),
        tally: Tally { answered: 1, declared: 2, missed: 3 },
        ranges: 6,
    };
    let open = OpenChallenge { dag: 1, challenge: 2, position: 3, head, frozen_at: 4u32, blocks_left: 5 };
    let value = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
    vec![
        value(0, head.encode()),
        value(3, info.encode()),
        value(4, DepositSubject::Dag { operators: 3 }.encode()),
        value(6, Result::<VerifiedBlock<BlockNumber>, _>::Err(VerifyError::StaleSize).encode()),
        value(11, stake.encode()),
        value(12, vec![open, open].encode()),
        value(14, (Compression::Zstd, FaultKind::WrongDepth, VerifyError::StaleSize).encode()),
        value(15, vec![(BlockHash::new([6; 32]), Some(succession))].encode()),
    ]
}
