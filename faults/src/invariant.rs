//! What has to hold whatever happened.

use crate::operation::{Acknowledged, Before, Promise};
use anyhow::{Context, Result, bail, ensure};
use offchain_store::{
    BackendError, StorageEngine,
    check::{self, Depth},
    config::Overrides,
    engine::{Access, OpenError},
    get::GetError,
};
use pakit_primitives::Head;
use std::{collections::HashMap, fs, ops::ControlFlow, path::Path};

/// What is known of an experiment when its outcome is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What was there before.
    pub before: &'a Before,
    /// What was acknowledged before the moment of the fault.
    pub said: &'a [Acknowledged],
    /// What the operation promises.
    pub promise: Promise,
    /// Whether the power was cut, so that not only a process ended.
    pub is_power_cut: bool,
    /// Whether the operation ran to its end since.
    pub is_finished: bool,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The log's head; none where there is no repository yet.
    pub head: Option<Head>,
    /// Blocks that were read and compared.
    pub read: u64,
}

/// Opens the repository as the next writer would and looks at all of it: that what was there is there, that what was acknowledged
/// is there, that each of these reads back and is what it was made of, that no history was rewritten, and that a full check
/// finds nothing.
pub fn examine(repository: &Path, known: &Known<'_>) -> Result<Found> {
    let engine = match StorageEngine::open(repository, Access::Write, &Overrides::default()) {
        Ok(engine) => engine,
        Err(OpenError::Backend(BackendError::NotFound(_)) | OpenError::Incomplete(_))
            if known.promise == Promise::MaybeNone && known.said.is_empty() && !known.is_finished =>
        {
            return Ok(Found::default());
        }
        // Nothing that is not whole has its name.
        Err(OpenError::Backend(BackendError::NotFound(_)))
            if known.promise == Promise::AllOrNothing && known.said.is_empty() && !known.is_finished =>
        {
            return Ok(Found::default());
        }
        Err(error) => return Err(error).context("it does not open"),
    };
    let head = engine.head()?;
    if let Some(before) = known.before.head {
        ensure!(head.size >= before.size, "the log has {} blocks and had {}", head.size, before.size);
        ensure!(engine.log().head_at(before.size)?.root == before.root, "the log is another than before");
    }
    let mut read = 0;
    for hash in &known.before.blocks {
        let block = engine.block(hash)?.with_context(|| format!("block {hash} was there before"))?;
        match engine.reader(&block, None).and_then(|mut reader| reader.copy_to(&mut std::io::sink())) {
            Ok(_) => read += 1,
            Err(GetError::Forgotten { .. }) if known.promise == Promise::MayDrop => {}
            Err(error) => return Err(error).with_context(|| format!("block {hash}")),
        }
    }
    let mut lost = None;
    let mut files: HashMap<&Path, Vec<u8>> = HashMap::new();
    for said in known.said {
        let block = match engine.resolve(&said.block) {
            Ok(block) => block,
            Err(error) if known.promise == Promise::Beginning && known.is_power_cut => {
                lost.get_or_insert((said, error));
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("{said:?} was acknowledged")),
        };
        ensure!(lost.is_none(), "{said:?} is there and what was acknowledged before is not: {lost:?}");
        ensure!(said.leaf_index.is_none_or(|at| at == block.leaf_index()), "{said:?} is at {}", block.leaf_index());
        let mut content = Vec::new();
        match engine.reader(&block, None).and_then(|mut reader| reader.copy_to(&mut content)) {
            Ok(_) => read += 1,
            // What is said to be dropped may be.
            Err(GetError::Forgotten { .. }) if known.promise == Promise::MayDrop => continue,
            Err(error) => return Err(error).with_context(|| format!("{said:?} was acknowledged")),
        }
        if let Some(path) = said.path.as_deref().filter(|path| path.is_file()) {
            let file = match files.get(path) {
                Some(file) => file,
                None => files.entry(path).or_insert(fs::read(path)?),
            };
            ensure!(*file == content, "{said:?} is not what was put");
        }
    }
    if known.promise == Promise::SoundInTheEnd && !known.is_finished {
        return Ok(Found { head: Some(head), read });
    }
    let report = check::check(engine.backend().as_ref(), Depth::Full, &mut |_, _| ControlFlow::Continue(()))?;
    if !report.is_sound() {
        bail!("a full check finds {} problems: {:?}", report.problem_count, report.problems);
    }
    ensure!(report.head == Some(head), "the check computes {:?} and the log says {head:?}", report.head);
    Ok(Found { head: Some(head), read })
}

/// Whether a log is a beginning of the one that the undisturbed operation left in `repository`.
pub fn is_beginning(head: Option<Head>, repository: &StorageEngine) -> Result<()> {
    let Some(head) = head else { return Ok(()) };
    let whole = repository.log().head_at(head.size).context("the log is longer than it ever was")?;
    ensure!(whole.root == head.root, "the log is no beginning of the one that was written");
    Ok(())
}
