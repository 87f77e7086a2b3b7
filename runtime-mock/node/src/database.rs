//! The chain's database: ParityDB, with each block in the operating system's hands before anyone hears of it.
//!
//! As a node usually opens it, ParityDB keeps its newest log records in a buffer of the process until 64 MiB have
//! gathered. A node that is killed then forgets its last blocks, finalized ones among them; on a real network the peers
//! give them back, here nobody can. So this node drives ParityDB's log itself: a commit returns when its record is written
//! and carried out. Nothing is forced to the disk plate: blocks survive a killed process, not a power cut.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use parity_db::{ColId, CompressionType, Db, Operation, Options};
use sc_service::DatabaseSource;
use sp_core::H256;
use sp_database::{Change, ColumnId, Database, Transaction, error::DatabaseError};

/// The columns of `sc-client-db`, by its numbers: they are part of its format.
mod columns {
    pub(super) const COUNT: u8 = 13;
    pub(super) const STATE: u8 = 1;
    pub(super) const STATE_META: u8 = 2;
    pub(super) const HEADER: u8 = 4;
    pub(super) const BODY: u8 = 5;
    pub(super) const JUSTIFICATIONS: u8 = 6;
    pub(super) const TRANSACTION: u8 = 11;
    pub(super) const BODY_INDEX: u8 = 12;

    pub(super) const COMPRESSED: [u8; 6] = [STATE, HEADER, BODY, BODY_INDEX, TRANSACTION, JUSTIFICATIONS];
    pub(super) const COUNTED: [u8; 2] = [STATE, TRANSACTION];
}

/// The bytes of a hash at the end of a state key, after the prefix that databases without counting need.
const HASH_LEN: usize = 32;

/// Where the client notes which states it keeps: the first thing it writes into a new database.
const PRUNING_MODE_KEY: &[u8] = b"mode";

/// Opens the database in `path`, or makes it, as the client's source of blocks.
pub(crate) fn source(path: &Path) -> Result<DatabaseSource, parity_db::Error> {
    let db = open(path)?;
    // A process killed before the client's first write left a database that is there but has yet to be begun.
    let is_new = !db.contains(columns::STATE_META.into(), PRUNING_MODE_KEY);
    Ok(DatabaseSource::Custom { db, require_create_flag: is_new })
}

fn open(path: &Path) -> Result<Arc<dyn Database<H256>>, parity_db::Error> {
    let mut options = Options::with_columns(path, columns::COUNT);
    options.with_background_thread = false;
    options.sync_wal = false;
    options.sync_data = false;
    for column in columns::COMPRESSED {
        options.columns[usize::from(column)].compression = CompressionType::Lz4;
    }
    for column in columns::COUNTED {
        let column = &mut options.columns[usize::from(column)];
        column.ref_counted = true;
        column.preimage = true;
        column.uniform = true;
    }
    Ok(Arc::new(ChainDb { db: Db::open_or_create(&options)?, writing: Mutex::new(()) }))
}

struct ChainDb {
    db: Db,
    /// One commit at a time: ParityDB's log expects the records in the order of their numbers.
    writing: Mutex<()>,
}

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error("ParityDB failed")]
    Database(#[from] parity_db::Error),
    #[error("column {0} is not reference counted")]
    NotCounted(ColumnId),
    #[error("there is no column {0}")]
    NoColumn(ColumnId),
}

impl ChainDb {
    fn write(&self, transaction: Transaction<H256>) -> Result<(), CommitError> {
        let operations = transaction.0.into_iter().map(operation).collect::<Result<Vec<_>, _>>()?;
        // The lock guards no data, so a panic while it was held left nothing half done here.
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.db.commit_changes(operations)?;
        self.db.process_commits()?;
        self.db.process_reindex()?;
        self.db.flush_logs()?;
        self.db.enact_logs()?;
        self.db.clean_logs()?;
        Ok(())
    }

    /// What a read gave. The client's interface has no way to tell of a failed read, and to call it a missing value would
    /// make the node go on with a wrong state, so it stops instead.
    fn read<T>(result: parity_db::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("the chain's database cannot be read: {error}"))
    }

    fn column(column: ColumnId) -> ColId {
        ColId::try_from(column).expect("sc-client-db has fewer than 256 columns; qed")
    }
}

/// What ParityDB does in one column.
type ColumnOperation = (ColId, Operation<Vec<u8>, Vec<u8>>);

/// A change as ParityDB says it.
fn operation(change: Change<H256>) -> Result<ColumnOperation, CommitError> {
    let existing = |column: ColumnId| {
        let known = ColId::try_from(column).ok().filter(|column| *column < columns::COUNT);
        known.ok_or(CommitError::NoColumn(column))
    };
    let counted = |column: ColumnId| {
        let known = existing(column)?;
        if columns::COUNTED.contains(&known) { Ok(known) } else { Err(CommitError::NotCounted(column)) }
    };
    Ok(match change {
        Change::Set(column, key, value) => (existing(column)?, Operation::Set(key, value)),
        Change::Remove(column, key) => (existing(column)?, Operation::Dereference(key)),
        Change::Store(column, hash, value) => (counted(column)?, Operation::Set(hash.0.to_vec(), value)),
        Change::Reference(column, hash) => (counted(column)?, Operation::Reference(hash.0.to_vec())),
        Change::Release(column, hash) => (counted(column)?, Operation::Dereference(hash.0.to_vec())),
    })
}

impl Database<H256> for ChainDb {
    fn commit(&self, transaction: Transaction<H256>) -> sp_database::error::Result<()> {
        self.write(transaction).map_err(|error| DatabaseError(Box::new(error)))
    }

    fn get(&self, column: ColumnId, key: &[u8]) -> Option<Vec<u8>> {
        Self::read(self.db.get(Self::column(column), key))
    }

    fn contains(&self, column: ColumnId, key: &[u8]) -> bool {
        Self::read(self.db.get_size(Self::column(column), key)).is_some()
    }

    fn value_size(&self, column: ColumnId, key: &[u8]) -> Option<usize> {
        // A u32 always fits where a client runs.
        Self::read(self.db.get_size(Self::column(column), key)).map(|size| size as usize)
    }

    fn supports_ref_counting(&self) -> bool {
        true
    }

    fn sanitize_key(&self, key: &mut Vec<u8>) {
        key.drain(..key.len().saturating_sub(HASH_LEN));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The number of commits after which ParityDB's pool of log files must have been reused many times over.
    const COMMITS: u32 = 200;

    fn set(column: u8, key: u32, value: &[u8]) -> Transaction<H256> {
        Transaction(vec![Change::Set(column.into(), key.to_le_bytes().to_vec(), value.to_vec())])
    }

    /// A copy of the folder is what a kill at this moment leaves: what the process had not handed over is not in it.
    fn image(of: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(of).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    #[test]
    fn every_commit_is_in_the_image_a_kill_would_leave() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).unwrap();
        for key in 0..COMMITS {
            db.commit(set(columns::HEADER, key, &[7; 300])).unwrap();
            if key % 20 == 0 {
                let image = image(folder.path());
                let reopened = open(image.path()).unwrap();
                for key in 0..=key {
                    assert_eq!(reopened.get(columns::HEADER.into(), &key.to_le_bytes()), Some(vec![7; 300]), "{key}");
                }
            }
        }
    }

    #[test]
    fn a_counted_value_goes_with_its_last_reference() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).unwrap();
        let (column, hash) = (columns::STATE.into(), H256([9; 32]));
        db.commit(Transaction(vec![Change::Store(column, hash, vec![1])])).unwrap();
        db.commit(Transaction(vec![Change::Reference(column, hash)])).unwrap();
        db.commit(Transaction(vec![Change::Release(column, hash)])).unwrap();
        assert!(db.contains(column, &hash.0));
        db.commit(Transaction(vec![Change::Release(column, hash)])).unwrap();
        assert!(!db.contains(column, &hash.0));
    }

    #[test]
    fn counting_where_nothing_is_counted_is_an_error_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(folder.path()).unwrap();
        let mut transaction = set(columns::HEADER, 1, b"header");
        transaction.0.push(Change::Store(columns::HEADER.into(), H256([1; 32]), vec![1]));
        assert!(db.commit(transaction).unwrap_err().to_string().contains("not reference counted"));
        assert!(!db.contains(columns::HEADER.into(), &1u32.to_le_bytes()));
    }

    #[test]
    fn a_second_node_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(parity_db::Error::Locked(_))));
    }
}
