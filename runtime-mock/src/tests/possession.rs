//! Challenges through the whole runtime: its randomness, its pool, its extensions and its blocks.

use frame_support::{dispatch::Pays, storage::with_transaction, traits::fungible::InspectHold};
use pakit_primitives::{
    Compression, ContentHash, Hasher, Header as BlockHeader, MetadataHash, Parents, SoftwareHasher,
    possession::OpenChallenge,
};
use pallet_pakit::possession::Answer;
use sp_runtime::{
    ApplyExtrinsicResult, DispatchError, TransactionOutcome,
    generic::Era,
    traits::{Dispatchable, Header as _},
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity, TransactionValidityError},
};

use super::*;
use crate::{Balance, BlockNumber, Executive, Hash, Header, RuntimeHoldReason, RuntimeOrigin, UncheckedExtrinsic};

const CONTENT: &[u8] = b"thirty-two random bytes and the name";
const STAKE: Balance = 100 * UNIT;

fn genesis() -> BlockHeader {
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

/// A transaction without a signature, as whoever has the slice sends it.
fn unsigned(call: pallet_pakit::Call<Runtime>) -> UncheckedExtrinsic {
    let extension: TxExtension = (
        frame_system::AuthorizeCall::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckMortality::from(Era::Immortal),
        frame_system::CheckNonce::from(0),
        frame_system::CheckWeight::new(),
        pallet_transaction_payment::ChargeTransactionPayment::from(0),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    );
    UncheckedExtrinsic::new_transaction(call.into(), extension)
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

/// Alice has a DAG of one block staked; blocks go by until challenges are drawn.
fn with_challenges(test: impl FnOnce(Author, Vec<OpenChallenge<BlockNumber>>)) {
    chain_of("development").execute_with(|| {
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
