//! From the states of earlier versions to the present one. The states are files, written by the code of their time; what this code
//! writes where it does the same is the same.

use super::*;
use crate::migrations::{FromV1ToV2, other_version};
use codec::Encode;
use frame_support::{
    traits::{BeforeAllRuntimeMigrations, Get, OnRuntimeUpgrade, StorageVersion},
    weights::RuntimeDbWeight,
};
use possession::Keeper;
use sp_core::{bytes::from_hex, storage::Storage};
use std::collections::BTreeMap;

/// What [`before_challenges`] left when there were no challenges: storage version 1, written by the code of commit 73e1e9a.
const BEFORE_CHALLENGES: &str = include_str!("migrations/v1.txt");
/// What [`with_challenges`] left when challenges had no storage version of their own, as between two releases: by the code of commit
/// db0c346.
const WITH_CHALLENGES: &str = include_str!("migrations/v1-challenges.txt");

/// DAG 0 with 40 anchors, of which not all are kept, operators, an offer and records of two depositors; DAG 1, which goes on from it;
/// DAG 2, retired; DAG 3, with nothing but its genesis.
fn before_challenges() -> Archive {
    let archive = Archive::new(60);
    assert_ok!(archive.create(OWNER));
    for size in 2..=40 {
        System::set_block_number(size * 10);
        assert_ok!(archive.anchor(OWNER, DAG, size));
    }
    assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![OPERATOR, CLERK].try_into().unwrap()));
    assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(HEIR)));
    assert_ok!(archive.record(CLERK, 40, 7));
    assert_ok!(archive.record(CLERK, 32, 30));
    assert_ok!(archive.record(STRANGER, 40, 7));
    assert_ok!(Pakit::create_dag(signed(OWNER), archive.header(0), Some(archive.succession(DAG, 40))));
    assert_ok!(archive.create(STRANGER));
    assert_ok!(Pakit::retire_dag(signed(STRANGER), 2));
    assert_ok!(archive.create(CLERK));
    archive
}

/// DAG 0 with a stake, declared ranges, and a round of which two challenges are answered; DAG 1 with a fault, its stake slashed and being
/// unbonded.
fn with_challenges() -> Keeper {
    let keeper = Keeper::new().staked(2_000);
    assert_ok!(Pakit::declare_removed(signed(OWNER), DAG, 3, 5));
    assert_ok!(Pakit::declare_removed(signed(OWNER), DAG, 9, 9));
    let mut headers = Archive::new(9).headers;
    headers[7].slices_before += 1;
    let faulty = Archive::of(headers);
    assert_ok!(faulty.create(OWNER));
    assert_ok!(faulty.anchor(OWNER, 1, 9));
    assert_ok!(Pakit::stake(signed(OWNER), 1, 5_000));
    assert_ok!(Pakit::report_block(signed(CLERK), 1, 2, fraud::slices(&faulty, 7)));
    assert_ok!(Pakit::unbond(signed(OWNER), 1));
    for open in &possession::draw(DAG)[..2] {
        assert_ok!(keeper.answer(open).send());
    }
    keeper
}

/// What is looked at of a state: the pallet's items, balances with what is held, and the block's number.
fn items() -> BTreeMap<Vec<u8>, Vec<u8>> {
    let of_pallet = |name: &str| sp_io::hashing::twox_128(name.as_bytes()).to_vec();
    let account = frame_support::storage::storage_prefix(b"System", b"Account").to_vec();
    let number = frame_support::storage::storage_prefix(b"System", b"Number").to_vec();
    let mut items = BTreeMap::new();
    for prefix in [of_pallet("Pakit"), of_pallet("Balances"), account, number] {
        let mut next = Some(prefix.clone());
        while let Some(key) = next.filter(|key| key.starts_with(&prefix)) {
            if let Some(value) = sp_io::storage::get(&key) {
                items.insert(key.clone(), value.to_vec());
            }
            next = sp_io::storage::next_key(&key);
        }
    }
    items
}

/// The items in a file: a line for each, key and value in hex.
fn items_of(file: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let item = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (from_hex(key).unwrap(), from_hex(value).unwrap())
    };
    file.lines().map(item).collect()
}

/// A chain that goes on from the state in a file.
fn with_state_of(file: &str, test: impl FnOnce()) {
    let storage = Storage { top: items_of(file), ..Storage::default() };
    sp_io::TestExternalities::new(storage).execute_with(test);
}

/// As `Executive` does it in the first block after an upgrade, and before that in a trial run of it.
fn upgrade() {
    type Migrations = (FromV1ToV2<Test>, AllPalletsWithSystem);
    #[cfg(feature = "try-runtime")]
    Migrations::try_on_runtime_upgrade(true).unwrap();
    #[cfg(not(feature = "try-runtime"))]
    Migrations::on_runtime_upgrade();
}

fn version_key() -> Vec<u8> {
    StorageVersion::storage_key::<Pakit>().to_vec()
}

/// The present items, as if they were of that version.
fn items_as_of(version: u16) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut items = items();
    items.insert(version_key(), StorageVersion::new(version).encode());
    items
}

#[test]
fn no_byte_of_an_earlier_state_changes_but_its_version() {
    for file in [BEFORE_CHALLENGES, WITH_CHALLENGES] {
        with_state_of(file, || {
            assert_eq!(items(), items_of(file));
            assert_eq!(other_version::<Test>(), Some(StorageVersion::new(1)));
            upgrade();
            assert_eq!(other_version::<Test>(), None);
            assert_eq!(items_as_of(1), items_of(file));
            Pakit::do_try_state().unwrap();
            // Once more is not once too often.
            upgrade();
            assert_eq!(items_as_of(1), items_of(file));
        });
    }
}

#[test]
fn what_is_written_today_is_what_was_written_then() {
    let histories: [(&str, fn()); 2] =
        [(BEFORE_CHALLENGES, || drop(before_challenges())), (WITH_CHALLENGES, || drop(with_challenges()))];
    for (file, history) in histories {
        new_test_ext().execute_with(|| {
            history();
            assert_eq!(items_as_of(1), items_of(file));
        });
    }
}

#[test]
fn dags_of_a_chain_without_challenges_go_on_and_can_be_challenged() {
    with_state_of(BEFORE_CHALLENGES, || {
        upgrade();
        let archive = Archive::new(60);
        assert_ok!(archive.anchor(OPERATOR, DAG, 50));
        assert_ok!(archive.record(STRANGER, 41, 45));
        assert_ok!(archive.record(STRANGER, 32, 3));
        let held = held_for_records(CLERK);
        assert_ok!(Pakit::remove_record(signed(CLERK), DAG, archive.block_hash(7)));
        assert_eq!(held_for_records(CLERK), held - 20);
        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert_ok!(archive.anchor(HEIR, DAG, 60));
        assert_ok!(archive.anchor(CLERK, 3, 2));
        Pakit::do_try_state().unwrap();

        assert_ok!(Pakit::stake(signed(HEIR), DAG, 1_000));
        assert_eq!(possession::draw(DAG).len(), 4);
        assert_ok!(Pakit::declare_removed(signed(HEIR), DAG, 0, 59));
        Pakit::do_try_state().unwrap();
    });
}

#[test]
fn rounds_under_way_go_on_after_the_upgrade() {
    with_state_of(WITH_CHALLENGES, || {
        upgrade();
        let keeper = Keeper::new();
        let open = Pakit::open_challenges(DAG);
        assert_eq!(open.len(), 2);
        keeper.answer_all(DAG);
        assert_eq!(Pakit::stake_behind(DAG).unwrap().tally.answered, 4);
        let next = possession::draw(DAG);
        assert_eq!(next[0].challenge, 4);
        keeper.answer_all(DAG);
        Pakit::do_try_state().unwrap();

        for _ in 0..50 {
            next_block();
            keeper.answer_all(DAG);
        }
        assert!(Pakit::fault(1).is_some());
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), 1));
        Pakit::do_try_state().unwrap();
    });
}

#[test]
fn a_state_whose_migration_is_missing_stays_as_it_is_and_is_named() {
    for version in [0, 1, 3] {
        with_state_of(BEFORE_CHALLENGES, || {
            StorageVersion::new(version).put::<Pakit>();
            let before = items();
            AllPalletsWithSystem::on_runtime_upgrade();
            assert_eq!(items(), before);
            assert_eq!(other_version::<Test>(), Some(StorageVersion::new(version)));
            #[cfg(feature = "try-runtime")]
            assert!(AllPalletsWithSystem::try_on_runtime_upgrade(true).is_err());
            // And no migration is for any version.
            if version != 1 {
                FromV1ToV2::<Test>::on_runtime_upgrade();
                assert_eq!(items(), before);
            }
        });
    }
}

#[cfg(feature = "try-runtime")]
#[test]
fn a_state_that_was_broken_before_the_upgrade_is_not_passed_over() {
    with_state_of(BEFORE_CHALLENGES, || {
        crate::Dags::<Test>::mutate(DAG, |dag| dag.as_mut().unwrap().anchors += 1);
        assert!(FromV1ToV2::<Test>::try_on_runtime_upgrade(true).is_err());
    });
}

#[test]
fn the_upgrade_weighs_one_read_and_one_write() {
    with_state_of(BEFORE_CHALLENGES, || {
        let database: RuntimeDbWeight = <Test as frame_system::Config>::DbWeight::get();
        assert_eq!(FromV1ToV2::<Test>::on_runtime_upgrade(), database.reads_writes(1, 1));
        assert_eq!(FromV1ToV2::<Test>::on_runtime_upgrade(), database.reads(1));
    });
}

#[test]
fn a_chain_that_takes_the_pallet_in_begins_with_the_present_version() {
    sp_io::TestExternalities::default().execute_with(|| {
        assert_eq!(other_version::<Test>(), Some(StorageVersion::new(0)));
        Pakit::before_all_runtime_migrations();
        assert_eq!(other_version::<Test>(), None);
    });
    new_test_ext().execute_with(|| assert_eq!(other_version::<Test>(), None));
}
