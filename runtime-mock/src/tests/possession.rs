//! Challenges through the whole runtime: its randomness, its pool, its extensions and its blocks.

use std::collections::BTreeSet;

use frame_support::{
    dispatch::Pays,
    storage::with_transaction,
    traits::{OffchainWorker, fungible::InspectHold},
};
use frame_system::offchain::CreateAuthorizedTransaction;
use pakit_primitives::{
    Compression, ContentHash, Hasher, Header as BlockHeader, MetadataHash, Parents, SoftwareHasher,
    possession::OpenChallenge,
};
use pallet_pakit::possession::Answer;
use sp_core::offchain::{
    OffchainDbExt, OffchainWorkerExt, StorageKind, TransactionPoolExt,
    testing::{PendingRequest, TestOffchainExt, TestTransactionPoolExt},
};
use sp_runtime::{
    ApplyExtrinsicResult, DispatchError, TransactionOutcome,
    traits::{Dispatchable, Header as _},
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity, TransactionValidityError},
};

use super::*;
use crate::{
    AllPalletsWithSystem, Balance, BlockNumber, Executive, Hash, Header, RuntimeHoldReason, RuntimeOrigin,
    UncheckedExtrinsic,
};

const CONTENT: &[u8] = b"thirty-two random bytes and the name";
const STAKE: Balance = 100 * UNIT;

pub(super) fn genesis() -> BlockHeader {
    BlockHeader {
        leaf_index: 0,
        parents: Parents::none(),
        depth: 0,
        timestamp_ms: 1_700_000_000_000,
        slices_before: 0,
        content_hash: ContentHash::new(SoftwareHasher::blake3(CONTENT)),
        codec: 0x55,
        original_size: CONTENT.len() as u64,
        stored_size: CONTENT.len() as u64,
        compression: Compression::None,
        metadata_hash: MetadataHash::NONE,
    }
}

/// A transaction without a signature, as whoever has the slice sends it, the off-chain worker among them.
fn unsigned(call: pallet_pakit::Call<Runtime>) -> UncheckedExtrinsic {
    <Runtime as CreateAuthorizedTransaction<pallet_pakit::Call<Runtime>>>::create_authorized_transaction(call.into())
}

fn answer(open: &OpenChallenge<BlockNumber>, slice: &[u8]) -> UncheckedExtrinsic {
    unsigned(pallet_pakit::Call::respond {
        dag: open.dag,
        challenge: open.challenge,
        header: genesis().to_bytes().try_into().unwrap(),
        inclusion: Default::default(),
        answer: Answer::Slice { slice: slice.to_vec().try_into().unwrap(), siblings: Default::default() },
    })
}

/// Makes blocks as an author does.
struct Author {
    parent: Hash,
}

impl Author {
    fn block(&mut self, extrinsics: Vec<UncheckedExtrinsic>) -> Vec<ApplyExtrinsicResult> {
        let number = System::block_number() + 1;
        let header = Header::new(number, Hash::default(), Hash::default(), self.parent, Default::default());
        Executive::initialize_block(&header);
        let now = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now: u64::from(number) * 6_000 });
        Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(now)).unwrap().unwrap();
        let results = extrinsics.into_iter().map(Executive::apply_extrinsic).collect();
        self.parent = Executive::finalize_block().hash();
        results
    }

    fn pool(&self, extrinsic: UncheckedExtrinsic) -> TransactionValidity {
        with_transaction(|| {
            let said = Executive::validate_transaction(TransactionSource::External, extrinsic, self.parent);
            TransactionOutcome::Rollback(Ok::<_, DispatchError>(said))
        })
        .unwrap()
    }
}

fn with_challenges(test: impl FnOnce(Author, Vec<OpenChallenge<BlockNumber>>)) {
    with_challenges_on(chain_of("development"), test);
}

/// Alice has a DAG of one block staked; blocks go by until challenges are drawn.
fn with_challenges_on(mut chain: TestExternalities, test: impl FnOnce(Author, Vec<OpenChallenge<BlockNumber>>)) {
    chain.execute_with(|| {
        let alice = || RuntimeOrigin::signed(Sr25519Keyring::Alice.to_account_id());
        Pakit::create_dag(alice(), genesis().to_bytes().try_into().unwrap(), None).unwrap();
        Pakit::stake(alice(), 0, STAKE).unwrap();
        let mut author = Author { parent: Hash::repeat_byte(7) };
        for _ in 0..10 {
            author.block(Vec::new());
            let open = Pakit::open_challenges(0);
            if !open.is_empty() {
                assert_eq!(open.len(), 4);
                return test(author, open);
            }
        }
        panic!("nothing was drawn");
    });
}

#[test]
fn answers_without_a_signature_are_taken_for_nothing() {
    with_challenges(|mut author, open| {
        let issuance = Balances::total_issuance();
        for open in &open {
            let valid = author.pool(answer(open, CONTENT)).unwrap();
            assert_eq!(valid.provides.len(), 1);
        }
        let results = author.block(open.iter().map(|open| answer(open, CONTENT)).collect());
        assert_eq!(results, [Ok(Ok(())), Ok(Ok(())), Ok(Ok(())), Ok(Ok(()))]);
        assert_eq!(Pakit::open_challenges(0), vec![]);
        assert_eq!(Pakit::stake_behind(0).unwrap().tally.answered, 4);
        assert_eq!(Balances::total_issuance(), issuance);
        let stale = Err(TransactionValidityError::Invalid(InvalidTransaction::Stale));
        assert_eq!(author.pool(answer(&open[0], CONTENT)), stale);
    });
}

/// Else refused answers would fill blocks for nothing.
#[test]
fn an_answer_with_a_signature_is_refused_and_pays() {
    with_challenges(|_, open| {
        let call = answer(&open[0], CONTENT).function;
        let info = call.get_dispatch_info();
        assert!(TransactionPayment::compute_fee(u32::try_from(call.encoded_size()).unwrap(), &info, 0) > 0);
        let alice = RuntimeOrigin::signed(Sr25519Keyring::Alice.to_account_id());
        let refused = call.dispatch(alice).unwrap_err();
        assert_eq!((refused.error, refused.post_info.pays_fee), (DispatchError::BadOrigin, Pays::Yes));
    });
}

#[test]
fn wrong_answers_do_not_get_into_the_pool_or_a_block() {
    with_challenges(|mut author, open| {
        let wrong = || answer(&open[0], &[b'?'; 36]);
        let refusal = author.pool(wrong()).unwrap_err();
        assert!(matches!(refusal, TransactionValidityError::Invalid(InvalidTransaction::Custom(_))), "{refusal:?}");
        assert_eq!(author.block(vec![wrong()]), [Err(refusal)]);
        assert_eq!(Pakit::open_challenges(0).len(), 4);
    });
}

/// What a pool has dropped it knows by its bytes.
#[test]
fn an_answer_that_is_sent_again_is_another_transaction_and_valid_on_a_shorter_branch_too() {
    with_challenges(|mut author, open| {
        let (first, parent) = (answer(&open[0], CONTENT), author.parent);
        let later = with_transaction(|| {
            for _ in 0..3 {
                author.block(Vec::new());
            }
            TransactionOutcome::Rollback(Ok::<_, DispatchError>(answer(&open[0], CONTENT)))
        })
        .unwrap();
        author.parent = parent;
        assert_ne!(first.encode(), later.encode());
        for extrinsic in [first, later] {
            assert!(author.pool(extrinsic).is_ok());
        }
    });
}

/// Else a pool that refuses what it once had refuses what is sent again.
#[test]
fn an_answer_has_other_bytes_in_each_block_for_half_an_hour() {
    with_challenges(|_, open| {
        let mut seen = BTreeSet::new();
        for number in 32..332 {
            System::set_block_number(number);
            assert!(seen.insert(answer(&open[0], CONTENT).encode()), "in block {number} as before");
        }
    });
}

#[test]
fn empty_blocks_count_against_the_deadline_and_a_miss_is_slashed() {
    with_challenges(|mut author, open| {
        let alice = Sr25519Keyring::Alice.to_account_id();
        let staked = || Balances::balance_on_hold(&RuntimeHoldReason::from(pallet_pakit::HoldReason::Stake), &alice);
        assert_eq!(staked(), STAKE);
        for _ in 0..open[0].blocks_left {
            author.block(Vec::new());
        }
        author.block(Vec::new());
        assert_eq!(Pakit::stake_behind(0).unwrap().tally.missed, 4);
        // 5 % of it for each.
        assert_eq!(staked(), STAKE / 5 * 4);
    });
}

#[test]
fn the_worker_of_the_runtime_sends_what_its_pool_and_its_blocks_take() {
    const URL: &str = "http://127.0.0.1:9955/v1";
    let mut chain = chain_of("development");
    let (node, state) = TestOffchainExt::new();
    let (pool, pooled) = TestTransactionPoolExt::new();
    chain.register_extension(OffchainDbExt::new(node.clone()));
    chain.register_extension(OffchainWorkerExt::new(node));
    chain.register_extension(TransactionPoolExt::new(pool));
    with_challenges_on(chain, |mut author, open| {
        let list = b"0 http://127.0.0.1:9955";
        sp_io::offchain::local_storage_set(StorageKind::PERSISTENT, pallet_pakit::offchain::COMPANIONS_KEY, list);
        let expect = |path: &str, body: Vec<u8>| {
            let (method, uri) = ("GET".to_owned(), format!("{URL}{path}"));
            let expected = PendingRequest { method, uri, sent: true, response: Some(body), ..Default::default() };
            state.write().expect_request(expected);
        };
        let right = (genesis().to_bytes(), Vec::<[u8; 32]>::new(), CONTENT.to_vec(), Vec::<[u8; 32]>::new()).encode();
        for _ in &open {
            // The content has one slice, which all four challenges ask for.
            expect("/challenge?size=1&position=0", right.clone());
        }
        expect("/head/raw", Pakit::head(0).unwrap().1.head.encode());
        AllPalletsWithSystem::offchain_worker(System::block_number());

        let sent: Vec<UncheckedExtrinsic> = std::mem::take(&mut pooled.write().transactions)
            .iter()
            .map(|bytes| UncheckedExtrinsic::decode(&mut &bytes[..]).unwrap())
            .collect();
        assert_eq!(sent.len(), 4);
        for extrinsic in &sent {
            assert!(author.pool(extrinsic.clone()).unwrap().propagate);
        }
        assert_eq!(author.block(sent), [Ok(Ok(())), Ok(Ok(())), Ok(Ok(())), Ok(Ok(()))]);
        assert_eq!(Pakit::open_challenges(0), vec![]);
    });
}
