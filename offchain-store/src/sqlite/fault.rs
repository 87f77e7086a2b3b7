//! What can go wrong inside of a transaction, before it becomes a [`BackendError`] that names a place.

use super::io_error;
use crate::{
    backend::BackendError,
    pack::{self, PackError},
};
use rusqlite::{Error as SqlError, ErrorCode};
use std::path::Path;

/// An error from the database, or one of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Pack(#[from] PackError),
}

impl Fault {
    /// What is stored contradicts itself.
    pub(super) fn damaged(text: impl Into<String>) -> Self {
        BackendError::Damaged(text.into()).into()
    }

    /// Says what it means for the repository in `dir`.
    pub(super) fn in_repository(self, dir: &Path) -> BackendError {
        let error = match self {
            Self::Backend(error) => return error,
            Self::Pack(PackError::Io(source)) => return io_error(dir, &dir.join(pack::FOLDER), source),
            Self::Pack(error @ PackError::Named(_)) => return BackendError::Damaged(error.to_string()),
            // No batch holds a chunk that a record cannot.
            Self::Pack(PackError::Record(_)) => {
                return BackendError::BatchMisfit("a chunk is larger than a record can be");
            }
            Self::Sql(error) => error,
        };
        let text = error.to_string();
        match &error {
            // Rows that do not have the types, sizes or ranges that were written.
            SqlError::FromSqlConversionFailure(..)
            | SqlError::IntegralValueOutOfRange(..)
            | SqlError::InvalidColumnType(..)
            | SqlError::QueryReturnedNoRows
            | SqlError::Utf8Error(..) => BackendError::Damaged(text),
            SqlError::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch => {
                    BackendError::Damaged(text)
                }
                // SQLite's plain error: a file whose header asks for what no SQLite knows. The statements are constants.
                ErrorCode::Unknown if failure.extended_code == rusqlite::ffi::SQLITE_ERROR => {
                    BackendError::Damaged(text)
                }
                // Batches are checked before they are written, so that only what is stored can be wrong.
                ErrorCode::ConstraintViolation => BackendError::Damaged(text),
                ErrorCode::DiskFull => BackendError::DiskFull,
                // The map of the write-ahead log could not be made longer, for which room is all that it takes.
                _ if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => BackendError::DiskFull,
                ErrorCode::ReadOnly => BackendError::ReadOnly(dir.to_owned()),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => BackendError::Locked(dir.to_owned()),
                _ => BackendError::Database(Box::new(error)),
            },
            // The statements are constants and were prepared against the same tables before.
            SqlError::SqlInputError { .. } => BackendError::Damaged(text),
            _ => BackendError::Database(Box::new(error)),
        }
    }
}

/// The result of a part of a transaction.
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;
