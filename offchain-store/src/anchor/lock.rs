//! One process at a time signs for a repository.

use super::error::AnchorError;
use crate::plain_file::open_lock;
use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// Held while anchoring. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct AnchorLock {
    _file: File,
}

impl AnchorLock {
    /// Takes the lock `anchor.lock` of the repository in `dir`, or says that another process has it.
    pub(super) fn take(dir: &Path) -> Result<Self, AnchorError> {
        let path = dir.join("anchor.lock");
        let failed = |source| AnchorError::Lock { path: path.clone(), source };
        let file = open_lock(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(AnchorError::AnchoringElsewhere { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_second_process_is_told_that_another_one_is_anchoring() {
        let dir = tempfile::tempdir().unwrap();
        let first = AnchorLock::take(dir.path()).unwrap();
        // Locks belong to open files, not to processes, so that this process can stand for the second one.
        let second = AnchorLock::take(dir.path()).unwrap_err();
        assert!(matches!(second, AnchorError::AnchoringElsewhere { .. }), "{second}");
        drop(first);
        AnchorLock::take(dir.path()).unwrap();
        assert!(matches!(AnchorLock::take(&dir.path().join("missing")), Err(AnchorError::Lock { .. })));
    }

    #[test]
    fn a_lock_that_leads_elsewhere_makes_nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("anchor.lock")).unwrap();
        let refused = AnchorLock::take(dir.path()).unwrap_err();
        assert!(matches!(refused, AnchorError::Lock { .. }), "{refused}");
        assert!(!dir.path().join("elsewhere").exists());
    }
}
