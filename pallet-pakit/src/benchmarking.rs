//! Benchmarks of the calls, each over its worst case: the deepest path in the largest log, the most operators, the fullest
//! storage, the longest lineage of the longest headers.

mod challenge;

use super::*;
use crate::{
    sparse_log::SparseLog,
    types::{AccountIdOf, Ancestors, HeaderBytes, OperatorsOf, RecordOf},
};
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::{
    BoundedVec,
    pallet_prelude::TransactionSource,
    traits::{
        Authorize, Get,
        fungible::{Inspect, Mutate},
    },
};
use frame_system::RawOrigin;
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Head, Header, LogRoot, MetadataHash, Parent, Parents,
    chain::{AnchoredHead, DepositSubject},
    header::{PARENTS_MAX, hash_header_bytes},
    heads,
    lineage::LINEAGE_HEADERS_MAX,
    log::{CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX},
    slice::SLICE_SIBLINGS_MAX,
};
use sp_runtime::traits::Saturating;

/// An anchor whose successor ends the keeping of an earlier one.
const ANCHORS: AnchorNumber = 1_000_000;

/// An account that can pay for everything.
fn account_with_balance<T: Config>(name: &'static str) -> T::AccountId {
    let who: T::AccountId = account(name, 0, 0);
    let dag = Pallet::<T>::price(DepositSubject::Dag { operators: T::MaxOperators::get() });
    let deposits =
        dag.saturating_add(Pallet::<T>::price(DepositSubject::Record)).saturating_add(T::RemovalDeposit::get());
    let amount = deposits.saturating_add(challenge::stake_amount::<T>()).saturating_mul(4u32.into());
    T::Currency::set_balance(&who, T::Currency::minimum_balance().saturating_mul(100u32.into()).saturating_add(amount));
    who
}

fn operators<T: Config>(count: u32) -> OperatorsOf<T> {
    let mut accounts: Vec<AccountIdOf<T>> = (0..count).map(|index| account("operator", index, 0)).collect();
    accounts.sort_unstable();
    BoundedVec::truncate_from(accounts)
}

/// A DAG with the most operators, all of its deposit held, at the given head.
fn store_dag<T: Config>(owner: &T::AccountId, genesis: BlockHash, anchors: AnchorNumber, latest: Head) -> DagId {
    let dag = NextDagId::<T>::mutate(|next| {
        *next += 1;
        *next - 1
    });
    let operators = operators::<T>(T::MaxOperators::get());
    let deposit = Pallet::<T>::price(DepositSubject::Dag { operators: operators.len() as u32 });
    Pallet::<T>::hold(HoldReason::Dag, owner, deposit).expect("the owner was given enough");
    let dag_at_head = Dag {
        owner: owner.clone(),
        operators,
        genesis,
        deposit,
        anchors,
        latest,
        retired: false,
        succeeds: None,
        successor: None,
    };
    Dags::<T>::insert(dag, dag_at_head);
    store_head::<T>(dag, anchors, latest);
    dag
}

fn store_head<T: Config>(dag: DagId, anchor: AnchorNumber, head: Head) {
    let block_number = frame_system::Pallet::<T>::block_number();
    AnchoredHeads::<T>::insert(dag, anchor, AnchoredHead { head, depth: 0, slices: head.size, block_number });
}

/// A DAG at the head of a log in which the block of `header` is the newest one, `hashes` hashes below the root.
fn dag_with_newest<T: Config>(owner: &T::AccountId, genesis: BlockHash, header: &Header) -> (DagId, SparseLog) {
    let log = SparseLog::new([(header.leaf_index, hash_of(header))]);
    let dag = store_dag::<T>(owner, genesis, ANCHORS, log.head(header.leaf_index + 1));
    (dag, log)
}

/// The place of a newest block with so many hashes in its inclusion proof, in a log of at least 2^47 blocks.
///
/// The path of the last leaf has a hash for each 1 bit of its index.
fn newest_index(hashes: u32) -> u64 {
    ((1 << hashes) - 1) << (INCLUSION_PATH_MAX as u32 - hashes)
}

/// A size with so many hashes in its consistency proof to any size above 2^47, and, from 4 on, nearly all of them hashed
/// twice: once for each of the two roots.
fn old_size(hashes: u32) -> u64 {
    match hashes {
        0..4 => 1 << (48 - hashes),
        _ => {
            let level = 49 - hashes;
            ((1 << (47 - level)) - 1) << level
        }
    }
}

/// A header with the most parents: the given one and others that nobody looks at.
fn header_on(leaf_index: u64, depth: u32, parent: Parent) -> Header {
    let mut parents: Vec<Parent> = (1..PARENTS_MAX as u64)
        .map(|index| Parent { leaf_index: index, block_hash: BlockHash::new([index as u8; 32]) })
        .collect();
    parents.push(parent);
    parents.sort_unstable_by_key(|parent| parent.leaf_index);
    Header { leaf_index, depth, slices_before: leaf_index, parents: parents_of(&parents), ..genesis() }
}

fn parents_of(parents: &[Parent]) -> Parents {
    Parents::from_slice(parents).expect("at most five parents are given")
}

fn genesis() -> Header {
    Header {
        leaf_index: 0,
        parents: Parents::none(),
        depth: 0,
        timestamp_ms: 1_700_000_000_000,
        slices_before: 0,
        content_hash: ContentHash::new([7; 32]),
        codec: 0x55,
        original_size: 36,
        stored_size: 36,
        compression: Compression::None,
        metadata_hash: MetadataHash::NONE,
    }
}

fn parent(header: &Header) -> Parent {
    Parent { leaf_index: header.leaf_index, block_hash: hash_of(header) }
}

fn hash_of(header: &Header) -> BlockHash {
    hash_header_bytes::<HostHasher>(&header.to_bytes())
}

fn bytes_of(header: &Header) -> HeaderBytes {
    BoundedVec::truncate_from(header.to_bytes())
}

fn assert_last_event<T: Config>(event: Event<T>) {
    frame_system::Pallet::<T>::assert_last_event(event.into());
}

#[benchmarks]
mod benches {
    use super::*;

    #[benchmark]
    fn create_dag() {
        let owner = account_with_balance::<T>("owner");

        #[extrinsic_call]
        _(RawOrigin::Signed(owner.clone()), bytes_of(&genesis()), None);

        assert_last_event::<T>(Event::DagCreated { dag: 0, owner, genesis: hash_of(&genesis()) });
    }

    /// Goes on from the oldest head of a DAG with as many as can ever be.
    #[benchmark]
    fn create_dag_succeeding() {
        let owner = account_with_balance::<T>("owner");
        let head_of = |place: usize| Head { size: place as u64 + 1, root: LogRoot::new([3; 32]) };
        let kept: Vec<AnchorNumber> = heads::kept(AnchorNumber::MAX).collect();
        let latest = head_of(kept.len() - 1);
        let dag = store_dag::<T>(&owner, hash_of(&genesis()), AnchorNumber::MAX, latest);
        kept.iter().enumerate().for_each(|(place, number)| store_head::<T>(dag, *number, head_of(place)));
        let Head { size, root } = head_of(0);

        #[extrinsic_call]
        create_dag(RawOrigin::Signed(owner), bytes_of(&genesis()), Some(Succession { dag, size, root }));

        assert_last_event::<T>(Event::DagSucceeded { dag, successor: dag + 1, head: head_of(0) });
    }

    /// An operator extends a log to at least 2^47 blocks, and an earlier head is no longer kept.
    #[benchmark]
    fn anchor(c: Linear<1, { CONSISTENCY_PATH_MAX as u32 }>, i: Linear<1, { INCLUSION_PATH_MAX as u32 }>) {
        let owner = account_with_balance::<T>("owner");
        let operator = operators::<T>(T::MaxOperators::get()).last().cloned().unwrap_or(owner.clone());
        let newest = header_on(newest_index(i), 1, parent(&genesis()));
        let (old, new) = (old_size(c), newest.leaf_index + 1);
        let log = SparseLog::new([(newest.leaf_index, hash_of(&newest))]);
        let dag = store_dag::<T>(&owner, hash_of(&genesis()), ANCHORS, log.head(old));
        let dropped = heads::dropped_by(ANCHORS + 1).expect("the anchor was chosen so");
        store_head::<T>(dag, dropped, Head { size: 1, root: LogRoot::new([3; 32]) });
        let consistency = BoundedVec::truncate_from(log.consistency(old, new));
        let inclusion = BoundedVec::truncate_from(log.inclusion(newest.leaf_index, new));
        assert_eq!((consistency.len() as u32, inclusion.len() as u32), (c, i));

        #[extrinsic_call]
        _(RawOrigin::Signed(operator.clone()), dag, log.head(new), consistency, bytes_of(&newest), inclusion);

        assert!(!AnchoredHeads::<T>::contains_key(dag, dropped));
        let (depth, slices) = (newest.depth, newest.slices_through());
        assert_last_event::<T>(Event::Anchored {
            dag,
            anchor: ANCHORS + 1,
            head: log.head(new),
            depth,
            slices,
            by: operator,
        });
    }

    #[benchmark]
    fn record_proof(i: Linear<1, { INCLUSION_PATH_MAX as u32 }>) {
        let depositor = account_with_balance::<T>("depositor");
        let newest = header_on(newest_index(i), 1, parent(&genesis()));
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &newest);
        let inclusion = BoundedVec::truncate_from(log.inclusion(newest.leaf_index, newest.leaf_index + 1));
        assert_eq!(inclusion.len() as u32, i);

        #[extrinsic_call]
        _(RawOrigin::Signed(depositor.clone()), dag, ANCHORS, bytes_of(&newest), inclusion);

        assert_last_event::<T>(Event::ProofRecorded {
            dag,
            anchor: ANCHORS,
            block_hash: hash_of(&newest),
            leaf_index: newest.leaf_index,
            depositor,
            deposit: Pallet::<T>::price(DepositSubject::Record),
        });
    }

    #[benchmark]
    fn remove_record() {
        let depositor = account_with_balance::<T>("depositor");
        let block_hash = hash_of(&genesis());
        let deposit = Pallet::<T>::price(DepositSubject::Record);
        Pallet::<T>::hold(HoldReason::Record, &depositor, deposit).expect("the depositor was given enough");
        let head = Head { size: 1, root: block_hash.as_root_of_one() };
        let now = frame_system::Pallet::<T>::block_number();
        let record = RecordOf::<T>::new(block_hash, &genesis(), &head, now, depositor.clone(), deposit);
        Records::<T>::insert((0, block_hash, depositor.clone()), record);

        #[extrinsic_call]
        _(RawOrigin::Signed(depositor.clone()), 0, block_hash);

        assert_last_event::<T>(Event::RecordRemoved { dag: 0, block_hash, depositor, released: deposit });
    }

    /// Replaces the most operators while more was held than that, so that there is always something to release.
    #[benchmark]
    fn set_operators(n: Linear<0, { T::MaxOperators::get() }>) {
        let owner = account_with_balance::<T>("owner");
        let (dag, _) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        let surplus = T::Currency::minimum_balance();
        Pallet::<T>::hold(HoldReason::Dag, &owner, surplus).expect("the owner was given enough");
        Dags::<T>::mutate(dag, |stored| {
            stored.iter_mut().for_each(|stored| stored.deposit.saturating_accrue(surplus));
        });
        let operators = operators::<T>(n);

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), dag, operators.clone());

        let deposit = Pallet::<T>::price(DepositSubject::Dag { operators: n });
        assert_last_event::<T>(Event::OperatorsSet { dag, operators, deposit });
    }

    #[benchmark]
    fn transfer_ownership() {
        let owner = account_with_balance::<T>("owner");
        let (dag, _) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        let to: T::AccountId = account("heir", 0, 0);
        PendingTransfers::<T>::insert(dag, account::<T::AccountId>("other heir", 0, 0));

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), dag, Some(to.clone()));

        assert_last_event::<T>(Event::TransferOffered { dag, to });
    }

    #[benchmark]
    fn accept_ownership() {
        let from = account_with_balance::<T>("owner");
        let to = account_with_balance::<T>("heir");
        let (dag, _) = dag_with_newest::<T>(&from, hash_of(&genesis()), &genesis());
        PendingTransfers::<T>::insert(dag, &to);

        #[extrinsic_call]
        _(RawOrigin::Signed(to.clone()), dag);

        assert_last_event::<T>(Event::OwnershipTransferred { dag, from, to });
    }

    #[benchmark]
    fn retire_dag() {
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), dag);

        assert_last_event::<T>(Event::DagRetired { dag, head: log.head(1) });
    }

    /// All headers but genesis have the most parents.
    #[benchmark]
    fn verify_lineage(i: Linear<1, { INCLUSION_PATH_MAX as u32 }>, h: Linear<1, { LINEAGE_HEADERS_MAX as u32 }>) {
        let mut lineage = alloc::vec![genesis()];
        for depth in 1..h {
            let below = lineage.last().map(parent).unwrap_or_default();
            lineage.push(header_on(u64::from(depth) + PARENTS_MAX as u64, depth, below));
        }
        let newest = header_on(newest_index(i), h, lineage.last().map(parent).unwrap_or_default());
        let ancestors = Ancestors::truncate_from(lineage.iter().rev().map(bytes_of).collect());
        assert_eq!(ancestors.len() as u32, h);
        let (owner, by) = (account_with_balance::<T>("owner"), account_with_balance::<T>("anyone"));
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &newest);
        let inclusion = BoundedVec::truncate_from(log.inclusion(newest.leaf_index, newest.leaf_index + 1));
        assert_eq!(inclusion.len() as u32, i);

        #[extrinsic_call]
        _(RawOrigin::Signed(by.clone()), dag, ANCHORS, bytes_of(&newest), inclusion, ancestors);

        assert_last_event::<T>(Event::LineageVerified {
            dag,
            anchor: ANCHORS,
            block_hash: hash_of(&newest),
            leaf_index: newest.leaf_index,
            steps: h,
            by,
        });
    }

    /// Adds to a stake.
    #[benchmark]
    fn stake() {
        let owner = account_with_balance::<T>("owner");
        let (dag, _) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, None);
        let amount = challenge::stake_amount::<T>();

        #[extrinsic_call]
        _(RawOrigin::Signed(owner.clone()), dag, amount);

        assert_last_event::<T>(Event::Staked { dag, staker: owner, amount, total: amount.saturating_add(amount) });
    }

    #[benchmark]
    fn unbond() {
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, Some(challenge::drawn::<T>(log.head(1), 1, 0, 0)));

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), dag);

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.unbonding_since.is_some()));
    }

    /// With a frozen head for which there was no randomness: that is asked for.
    #[benchmark]
    fn withdraw_stake() {
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, Some(challenge::frozen_last::<T>(log.head(1))));
        challenge::unbonded::<T>(dag);

        #[extrinsic_call]
        _(RawOrigin::Signed(owner.clone()), dag);

        let released = challenge::stake_amount::<T>();
        assert_last_event::<T>(Event::StakeWithdrawn { dag, staker: owner, released });
    }

    /// The last of the most challenges, in the largest log and the largest content.
    #[benchmark]
    fn respond(i: Linear<1, { INCLUSION_PATH_MAX as u32 }>, s: Linear<0, { SLICE_SIBLINGS_MAX as u32 }>) {
        let (dag, challenge, header, inclusion, answer) = challenge::last_open::<T>(i, s);

        #[extrinsic_call]
        _(RawOrigin::Authorized, dag, challenge, header, inclusion, answer);

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.round.is_none() && staked.tally.answered == 1));
    }

    #[benchmark]
    fn authorize_respond(i: Linear<1, { INCLUSION_PATH_MAX as u32 }>, s: Linear<0, { SLICE_SIBLINGS_MAX as u32 }>) {
        let (dag, challenge, header, inclusion, answer) = challenge::last_open::<T>(i, s);
        let call = Call::<T>::respond { dag, challenge, header, inclusion, answer };

        #[block]
        {
            assert!(call.authorize(TransactionSource::External).is_some_and(|said| said.is_ok()));
        }
    }

    #[benchmark]
    fn respond_removed(i: Linear<1, { INCLUSION_PATH_MAX as u32 }>) {
        let (dag, challenge, header, inclusion, _) = challenge::last_open::<T>(i, 0);
        let answer = challenge::declared::<T>(dag);

        #[extrinsic_call]
        respond(RawOrigin::Authorized, dag, challenge, header, inclusion, answer);

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.round.is_none() && staked.tally.declared == 1));
    }

    #[benchmark]
    fn authorize_respond_removed(i: Linear<1, { INCLUSION_PATH_MAX as u32 }>) {
        let (dag, challenge, header, inclusion, _) = challenge::last_open::<T>(i, 0);
        let answer = challenge::declared::<T>(dag);
        let call = Call::<T>::respond { dag, challenge, header, inclusion, answer };

        #[block]
        {
            assert!(call.authorize(TransactionSource::External).is_some_and(|said| said.is_ok()));
        }
    }

    /// All of the most challenges were missed.
    #[benchmark]
    fn report_miss() {
        let (owner, reporter) = (account_with_balance::<T>("owner"), account_with_balance::<T>("anyone"));
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, Some(challenge::drawn::<T>(log.head(1), 1, 0, 0)));

        #[extrinsic_call]
        _(RawOrigin::Signed(reporter), dag);

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.round.is_none() && staked.tally.missed > 0));
    }

    #[benchmark]
    fn declare_removed() {
        let owner = account_with_balance::<T>("owner");
        let (dag, _) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), dag, 0, 0);

        assert_eq!(RemovedCount::<T>::get(dag), 1);
    }

    /// The evidence with the most hashes: two headers with the most parents, in the largest log, behind which there is a stake.
    #[benchmark]
    fn report_block() {
        let (owner, reporter) = (account_with_balance::<T>("owner"), account_with_balance::<T>("anyone"));
        let (dag, evidence) = challenge::ill_formed::<T>(&owner);

        #[extrinsic_call]
        _(RawOrigin::Signed(reporter), dag, ANCHORS, evidence);

        assert!(Faults::<T>::contains_key(dag));
    }

    /// No DAG is staked.
    #[benchmark]
    fn visit_none() {
        NextVisit::<T>::put(7);

        #[block]
        {
            Pallet::<T>::visit_dags(1u32.into());
        }

        assert!(!NextVisit::<T>::exists());
    }

    /// A round waits for its answers.
    #[benchmark]
    fn visit_idle() {
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, Some(challenge::drawn::<T>(log.head(1), 1, 0, 1)));

        #[block]
        {
            challenge::visit_first::<T>(1u32.into(), 0);
        }

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.round.is_some()));
    }

    #[benchmark]
    fn visit_freeze() {
        let owner = account_with_balance::<T>("owner");
        let (dag, _) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, None);

        #[block]
        {
            challenge::visit_first::<T>(1u32.into(), 0);
        }

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.round.is_some()));
    }

    /// Whatever the runtime's randomness says, something is drawn.
    #[benchmark]
    fn visit_draw() {
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, Some(challenge::frozen_last::<T>(log.head(1))));

        #[block]
        {
            challenge::visit_first::<T>(1u32.into(), 0);
            if let Some(staked) = Stakes::<T>::get(dag) {
                Pallet::<T>::draw_from(dag, staked, &T::Hash::default(), 0);
            }
        }

        assert_eq!(Pallet::<T>::challenges_of(dag).len() as u32, T::ChallengesPerRound::get());
    }

    /// All of the most challenges were missed.
    #[benchmark]
    fn visit_miss() {
        let owner = account_with_balance::<T>("owner");
        let (dag, log) = dag_with_newest::<T>(&owner, hash_of(&genesis()), &genesis());
        challenge::store_stake::<T>(&owner, dag, Some(challenge::drawn::<T>(log.head(1), 1, 0, 0)));

        #[block]
        {
            challenge::visit_first::<T>(1u32.into(), 0);
        }

        assert!(Stakes::<T>::get(dag).is_some_and(|staked| staked.round.is_none() && staked.tally.missed > 0));
    }

    #[benchmark]
    fn count_room() {
        #[block]
        {
            Pallet::<T>::count_room();
        }

        assert_eq!(BlocksWithRoom::<T>::get(), 1);
    }

    impl_benchmark_test_suite!(Pallet, mock::new_test_ext(), mock::Test);
}
