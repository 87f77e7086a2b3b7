//! The store's writer: takes whatever waits, commits it at once, and then tells each caller.

use super::{Inserted, Staged};
use crate::{
    commit::{CommitError, Committer, OpenContent, Placed},
    dictionary::Trainer,
    engine::StorageEngine,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{mpsc, oneshot};

/// Contents that are committed together at most, unless one request alone has more.
const GROUP_CONTENTS_MAX: usize = 4_096;
/// Their bytes, compressed.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// What a caller learns of its contents.
pub(super) type Outcome = Result<Vec<Inserted>, Arc<CommitError>>;

/// Contents that one caller wants committed, all or none.
pub(super) struct Request {
    pub(super) staged: Vec<Staged>,
    pub(super) done: oneshot::Sender<Outcome>,
}

impl Request {
    fn bytes(&self) -> usize {
        self.staged.iter().map(Staged::stored_bytes).sum()
    }
}

pub(super) struct Writer {
    engine: Arc<StorageEngine>,
    trainer: Arc<Trainer>,
    is_training: Arc<AtomicBool>,
    waiting: mpsc::Receiver<Request>,
}

impl Writer {
    pub(super) fn new(engine: Arc<StorageEngine>, trainer: Arc<Trainer>, waiting: mpsc::Receiver<Request>) -> Self {
        Self { engine, trainer, is_training: Arc::default(), waiting }
    }

    /// Until the last handle is gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.waiting.blocking_recv() {
            let group = self.group(first);
            self.commit(group);
            self.train_if_due();
        }
    }

    /// The first request with all that wait behind it, up to a bound.
    fn group(&mut self, first: Request) -> Vec<Request> {
        let (mut contents, mut bytes) = (first.staged.len(), first.bytes());
        let mut group = vec![first];
        while contents < GROUP_CONTENTS_MAX && bytes < GROUP_BYTES_MAX {
            let Ok(next) = self.waiting.try_recv() else { break };
            contents += next.staged.len();
            bytes += next.bytes();
            group.push(next);
        }
        group
    }

    fn commit(&self, group: Vec<Request>) {
        let (staged, callers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|request| (request.staged, request.done)).unzip();
        let committed = self.engine.with_committer(|committer| {
            let placed =
                staged.into_iter().map(|staged| place_all(committer, staged)).collect::<Result<Vec<_>, _>>()?;
            committer.flush()?;
            Ok::<_, CommitError>(placed)
        });
        // A caller that no longer waits is none the worse: its contents are committed or not, like the others'.
        match committed {
            Ok(placed) => placed.into_iter().zip(callers).for_each(|(placed, caller)| drop(caller.send(Ok(placed)))),
            Err(error) => {
                let error = Arc::new(error);
                callers.into_iter().for_each(|caller| drop(caller.send(Err(error.clone()))));
            }
        }
    }

    /// In a thread of its own, so that nobody waits for it.
    fn train_if_due(&self) {
        // Whoever cannot be asked now fails the next commit, or is asked after it.
        if !self.trainer.is_due().unwrap_or(false) || self.is_training.swap(true, Ordering::AcqRel) {
            return;
        }
        let (trainer, is_training) = (self.trainer.clone(), self.is_training.clone());
        let train = move || {
            trainer.train();
            is_training.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("pakit-dictionary".into()).spawn(train) {
            tracing::warn!("no thread for training a dictionary: {error}");
            self.is_training.store(false, Ordering::Release);
        }
    }
}

fn place_all(committer: &mut Committer, staged: Vec<Staged>) -> Result<Vec<Inserted>, CommitError> {
    staged.into_iter().map(|staged| place(committer, staged)).collect()
}

fn place(committer: &mut Committer, staged: Staged) -> Result<Inserted, CommitError> {
    let key = staged.key();
    let mut content = OpenContent::default();
    for chunk in staged.chunks {
        committer.add_chunk(&mut content, chunk)?;
    }
    let placed = committer.finish(content, key.codec, Some(key.content_hash), staged.metadata.as_ref())?;
    let Placed { block, is_deduplicated, new_bytes } = placed;
    Ok(Inserted { block, is_deduplicated, new_bytes })
}
