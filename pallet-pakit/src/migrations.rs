//! From one storage version to the next. A runtime names the ones that it needs among its migrations
//! (`frame_system::Config::SingleBlockMigrations`), before its code of the new version runs for the first time.
//!
//! | from | to | what | stored items that change |
//! |---|---|---|---|
//! | 1 | 2 | [`FromV1ToV2`]: possession challenges and reports of faults | none; seven are new, and absent until they are used |
//!
//! A new version is given out for new items too: by it, later migrations and whoever reads a state know what may be in it.

use crate::{Config, Pallet, STORAGE_VERSION};
use frame_support::{
    migrations::VersionedMigration,
    traits::{Get, GetStorageVersion, StorageVersion},
    weights::Weight,
};

/// Under what the pallet logs.
const LOG_TARGET: &str = "runtime::pakit";

/// Version 2: stakes, rounds of challenges, declared removals and faults are stored beside what version 1 has, of which no byte
/// changes. So only the version is written. With `try-runtime`, it is checked that nothing else changed and that the state keeps
/// the pallet's invariants, both before and after.
pub type FromV1ToV2<T> =
    VersionedMigration<1, 2, unchecked::FromV1ToV2<T>, Pallet<T>, <T as frame_system::Config>::DbWeight>;

/// What does not look at the version by itself, and so is not to be named by a runtime.
mod unchecked {
    #[cfg(feature = "try-runtime")]
    use alloc::vec::Vec;
    use core::marker::PhantomData;
    use frame_support::traits::UncheckedOnRuntimeUpgrade;

    /// Nothing but checks.
    #[allow(unreachable_pub, reason = "named by the type of the migration, which is public")]
    pub struct FromV1ToV2<T>(PhantomData<T>);

    #[cfg(not(feature = "try-runtime"))]
    impl<T> UncheckedOnRuntimeUpgrade for FromV1ToV2<T> {}

    #[cfg(feature = "try-runtime")]
    impl<T: crate::Config> UncheckedOnRuntimeUpgrade for FromV1ToV2<T> {
        fn pre_upgrade() -> Result<Vec<u8>, sp_runtime::TryRuntimeError> {
            crate::Pallet::<T>::check_items()?;
            Ok(super::digest_of_items::<T>().to_vec())
        }

        fn post_upgrade(before: Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
            frame_support::ensure!(
                before == super::digest_of_items::<T>(),
                "the upgrade changed more than the storage version"
            );
            crate::Pallet::<T>::do_try_state()
        }
    }
}

/// One digest of all keys and values of the pallet, but for the version.
#[cfg(feature = "try-runtime")]
fn digest_of_items<T: Config>() -> [u8; 32] {
    use codec::Encode;
    use frame_support::traits::PalletInfoAccess;
    let prefix = Pallet::<T>::name_hash();
    let version = StorageVersion::storage_key::<Pallet<T>>();
    let mut digest = [0; 32];
    let mut key = prefix.to_vec();
    while let Some(next) = sp_io::storage::next_key(&key).filter(|next| next.starts_with(&prefix)) {
        if next != version {
            digest = sp_io::hashing::blake2_256(&(digest, &next, sp_io::storage::get(&next)).encode());
        }
        key = next;
    }
    digest
}

/// The version of the state, where that is not the code's.
pub(crate) fn other_version<T: Config>() -> Option<StorageVersion> {
    let on_chain = Pallet::<T>::on_chain_storage_version();
    (on_chain != STORAGE_VERSION).then_some(on_chain)
}

/// Tells in the log that a migration is missing. It runs after the runtime's migrations, and can do no more: to go on with a state
/// of another version may be harmless, and to stop the chain never is.
pub(crate) fn tell_of_other_version<T: Config>() -> Weight {
    if let Some(on_chain) = other_version::<T>() {
        log::error!(
            target: LOG_TARGET,
            "the state is of storage version {on_chain:?} and the code of {STORAGE_VERSION:?}: the runtime lacks a migration of \
             pallet_pakit::migrations"
        );
    }
    T::DbWeight::get().reads(1)
}
