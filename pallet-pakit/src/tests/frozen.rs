//! What programs of another version rely on: indices, names and bytes. A change here breaks them.

use super::*;
use crate::{
    Call, Dag, Dags, Records, Stake, Succession,
    possession::{Answer, Draw, Drawn, Round},
};
use codec::Encode;
use frame_support::traits::{PalletInfoAccess, StorageInfoTrait};
use pakit_primitives::{BlockHash, Head, LogRoot, possession::Tally};
use scale_info::{TypeDef, TypeInfo};
use sp_core::hexdisplay::HexDisplay;

/// Names of an enum's variants, each at its index.
fn variants<E: TypeInfo>() -> Vec<&'static str> {
    let TypeDef::Variant(def) = E::type_info().type_def else { panic!("not an enum") };
    for (at, variant) in def.variants.iter().enumerate() {
        assert_eq!(usize::from(variant.index), at, "{}", variant.name);
    }
    def.variants.iter().map(|variant| variant.name).collect()
}

#[test]
fn calls_have_the_indices_they_always_had() {
    assert_eq!(
        variants::<Call<Test>>(),
        [
            "create_dag",
            "anchor",
            "record_proof",
            "remove_record",
            "set_operators",
            "transfer_ownership",
            "accept_ownership",
            "retire_dag",
            "verify_lineage",
            "stake",
            "unbond",
            "withdraw_stake",
            "respond",
            "report_miss",
            "declare_removed",
            "report_block",
        ]
    );
}

#[test]
fn events_have_the_indices_they_always_had() {
    assert_eq!(
        variants::<Event<Test>>(),
        [
            "DagCreated",
            "DagSucceeded",
            "Anchored",
            "ProofRecorded",
            "RecordRemoved",
            "OperatorsSet",
            "TransferOffered",
            "TransferWithdrawn",
            "OwnershipTransferred",
            "DagRetired",
            "LineageVerified",
            "Staked",
            "UnbondingBegun",
            "StakeWithdrawn",
            "HeadFrozen",
            "ChallengesDrawn",
            "ChallengeAnswered",
            "ChallengeMissed",
            "RemovalDeclared",
            "FaultReported",
        ]
    );
}

#[test]
fn hold_reasons_have_the_indices_they_always_had() {
    assert_eq!(variants::<HoldReason>(), ["Dag", "Record", "Stake", "Removal"]);
}

#[test]
fn errors_have_the_indices_they_always_had() {
    assert_eq!(
        variants::<Error<Test>>(),
        [
            "UnknownDag",
            "UnknownHead",
            "UnknownRecord",
            "NotOwner",
            "NotOwnerNorOperator",
            "DagRetired",
            "DagIdsExhausted",
            "AnchorsExhausted",
            "NotGenesis",
            "AlreadySucceeded",
            "AlreadyRecorded",
            "OperatorsNotAscending",
            "AlreadyOwner",
            "NoPendingTransfer",
            "NotPendingOwner",
            "StaleSize",
            "LogTooLarge",
            "NotNewestBlock",
            "IndexOutOfRange",
            "WrongInclusionLength",
            "WrongConsistencyLength",
            "NotInLog",
            "NotAppendOnly",
            "NewRootMismatch",
            "HeaderEmpty",
            "HeaderTruncated",
            "HeaderTooLong",
            "HeaderWrongMagic",
            "MalformedParentCount",
            "TooManyParents",
            "TooFewParents",
            "GenesisWithParents",
            "DuplicateParent",
            "UnsortedParents",
            "ParentNotBefore",
            "LeafIndexTooLarge",
            "DepthNotOfPosition",
            "DepthTooLarge",
            "SlicesBeforeImpossible",
            "SlicesOverflow",
            "OriginalSizeTooLarge",
            "StoredSizeTooLarge",
            "UnknownCompression",
            "EmptyContentCompressed",
            "LineageEmpty",
            "LineageMalformed",
            "NotAParent",
            "DepthNotFalling",
            "TimestampRising",
            "LineageNotGenesis",
            "NotStaked",
            "StakeTooSmall",
            "StakeOfAnother",
            "Unbonding",
            "NotUnbonding",
            "StillUnbonding",
            "ChallengesOpen",
            "DagFaulty",
            "UnknownChallenge",
            "AlreadyAnswered",
            "ResponseTooLate",
            "DeadlineNotOver",
            "PositionNotInBlock",
            "WrongSliceLength",
            "WrongSiblingCount",
            "SliceMismatch",
            "EmptyRange",
            "RangesExhausted",
            "UnknownRange",
            "RangeNotEffective",
            "NotInRange",
            "NotNeighbours",
            "WellFormed",
        ]
    );
}

#[test]
fn a_stored_dag_has_the_bytes_it_always_had() {
    let root = LogRoot::new([0xcc; 32]);
    let stored = Dag::<Test> {
        owner: 1,
        operators: vec![2, 3].try_into().unwrap(),
        genesis: BlockHash::new([0xaa; 32]),
        deposit: 120,
        anchors: 7,
        latest: Head { size: 9, root },
        retired: true,
        succeeds: Some(Succession { dag: 4, size: 5, root }),
        successor: Some(6),
    };
    let expected = [
        "0100000000000000",
        "08",
        "0200000000000000",
        "0300000000000000",
        &"aa".repeat(32),
        "7800000000000000",
        "0700000000000000",
        "0900000000000000",
        &"cc".repeat(32),
        "01",
        "0104000000",
        "0500000000000000",
        &"cc".repeat(32),
        "0106000000",
    ]
    .concat();
    assert_eq!(HexDisplay::from(&stored.encode()).to_string(), expected);
}

#[test]
fn a_stored_stake_has_the_bytes_it_always_had() {
    let draws = vec![Draw { position: 3, answered: true }, Draw { position: 4, answered: false }];
    let round = Round {
        head: Head { size: 9, root: LogRoot::new([0xcc; 32]) },
        slices: 12,
        frozen_at: 77,
        drawn: Some(Drawn { first: 5, due: 8, draws: draws.try_into().unwrap() }),
    };
    let stored = Stake::<Test> {
        staker: 1,
        amount: 5_000,
        unbonding_since: Some(60),
        next_round_at: 97,
        faulty: true,
        tally: Tally { answered: 10, declared: 11, missed: 12 },
        round: Some(round),
    };
    let expected = [
        "0100000000000000",
        "8813000000000000",
        "013c00000000000000",
        "6100000000000000",
        "01",
        "0a00000000000000",
        "0b00000000000000",
        "0c00000000000000",
        "01",
        "0900000000000000",
        &"cc".repeat(32),
        "0c00000000000000",
        "4d00000000000000",
        "01",
        "0500000000000000",
        "0800000000000000",
        "08",
        "030000000000000001",
        "040000000000000000",
    ]
    .concat();
    assert_eq!(HexDisplay::from(&stored.encode()).to_string(), expected);
}

#[test]
fn answers_have_the_bytes_they_always_had() {
    let slice = Answer::Slice { slice: vec![7, 8].try_into().unwrap(), siblings: vec![[0xaa; 32]].try_into().unwrap() };
    let expected = ["00", "080708", "04", &"aa".repeat(32)].concat();
    assert_eq!(HexDisplay::from(&slice.encode()).to_string(), expected);
    assert_eq!(Answer::Removed { range: 5 }.encode(), [1, 5, 0, 0, 0]);
}

#[test]
fn storage_items_have_the_names_and_sizes_they_always_had() {
    let infos = Pakit::storage_info();
    let told: Vec<(String, Option<u32>, Option<u32>)> = infos
        .into_iter()
        .map(|info| (String::from_utf8(info.storage_name).unwrap(), info.max_values, info.max_size))
        .collect();
    let item = |name: &str, values, size| (name.to_owned(), values, Some(size));
    assert_eq!(
        told,
        [
            item("NextDagId", Some(1), 4),
            item("Dags", None, 224),
            item("AnchoredHeads", None, 88),
            item("PendingTransfers", None, 20),
            item("Records", None, 242),
            item("Stakes", None, 289),
            item("NextVisit", Some(1), 4),
            item("NextChallenge", Some(1), 8),
            item("BlocksWithRoom", Some(1), 8),
            item("RemovedRanges", None, 64),
            item("RemovedCount", None, 16),
            item("Faults", None, 61),
        ]
    );
    assert_eq!((Pakit::name(), Pakit::index()), ("Pakit", 10));
}

#[test]
fn storage_keys_have_the_bytes_they_always_had() {
    let key = Dags::<Test>::hashed_key_for(1);
    // twox_64 of the number, then the number.
    assert_eq!(HexDisplay::from(&key[32..].to_vec()).to_string(), "5153cb1f00942ff401000000");
    let key = Records::<Test>::hashed_key_for((1, BlockHash::new([0xab; 32]), 9));
    assert_eq!(key.len(), 32 + (8 + 4) + (16 + 32) + (16 + 8));
}
