//! The thread that commits a batch while the next one is being made: processors and the disk work at the same time.

use super::CommitError;
use crate::backend::{BackendError, DagBackend, WriteBatch};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Commits at most one batch at a time, in the order they come. Whoever drops it waits for the one that is under way.
pub(super) struct Behind {
    /// Taken when it is dropped.
    batches: Option<Sender<WriteBatch>>,
    outcomes: Receiver<Result<(), BackendError>>,
    thread: Option<JoinHandle<()>>,
    is_committing: bool,
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("is_committing", &self.is_committing).finish()
    }
}

impl Behind {
    pub(super) fn new(backend: Arc<dyn DagBackend>) -> Result<Self, CommitError> {
        let (batches, to_commit) = bounded::<WriteBatch>(1);
        let (told, outcomes) = bounded(1);
        let commit = move || {
            for batch in to_commit {
                if told.send(backend.commit(batch)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("pakit-commit".into()).spawn(commit);
        let thread = thread.map_err(|source| BackendError::Io { path: "the thread that commits".into(), source })?;
        Ok(Self { batches: Some(batches), outcomes, thread: Some(thread), is_committing: false })
    }

    /// Whether a batch is on its way, and nobody has been told yet what became of it.
    pub(super) fn is_committing(&self) -> bool {
        self.is_committing
    }

    /// Hands a batch over. The one before it has been settled.
    pub(super) fn begin(&mut self, batch: WriteBatch) -> Result<(), CommitError> {
        self.is_committing = self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok());
        if self.is_committing { Ok(()) } else { Err(CommitError::ThreadLost) }
    }

    /// Waits for the batch that is on its way, if there is one. After an error it is not committed, and nothing may follow it.
    pub(super) fn settle(&mut self) -> Result<(), CommitError> {
        if !std::mem::take(&mut self.is_committing) {
            return Ok(());
        }
        Ok(self.outcomes.recv().map_err(|_| CommitError::ThreadLost)??)
    }

    /// Whether [`settle`](Self::settle) would not wait.
    pub(super) fn is_over(&self) -> bool {
        !self.is_committing || !self.outcomes.is_empty()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // What it had to tell nobody waits for any more; it holds the backend until its commit is over.
            let _ = thread.join();
        }
    }
}
