//! Building calls out of the log, and signing them into the outbox. Whatever can be known to fail is refused here, before
//! it costs a fee.

use super::{
    client::{Call, ChainClient, Ends},
    error::{AnchorError, NotExtending},
    key::SigningKey,
    progress::AnchorConfig,
};
use crate::{
    backend::DagBackend,
    block::DagBlock,
    log::LogReader,
    sqlite::outbox::{
        Outbox,
        rows::{Era, NewRow, OutboxRow, Purpose},
    },
};
use pakit_primitives::{
    Head, SoftwareHasher,
    chain::{DagId, DepositSubject, verify_extension},
};

/// Blocks that an era must leave between now and its end, for the extrinsic to travel.
const ERA_MARGIN_BLOCKS: u64 = 2;

/// The log's head.
pub(super) fn log_head(backend: &dyn DagBackend) -> Result<Head, AnchorError> {
    LogReader::new(backend).head()?.ok_or(AnchorError::EmptyLog)
}

/// The log's first block.
pub(super) fn genesis(backend: &dyn DagBackend) -> Result<DagBlock, AnchorError> {
    backend.block(0)?.ok_or(AnchorError::EmptyLog)
}

/// Refuses a head on the chain that is not one of this log's.
pub(super) fn check_extends(backend: &dyn DagBackend, dag: DagId, anchored: Head) -> Result<(), AnchorError> {
    let reader = LogReader::new(backend);
    let log = reader.head()?.ok_or(AnchorError::EmptyLog)?;
    let at_anchored_size = if anchored.size <= log.size { Some(reader.head_at(anchored.size)?) } else { None };
    if at_anchored_size == Some(anchored) {
        Ok(())
    } else {
        Err(Box::new(NotExtending { dag, anchored, log, at_anchored_size }).into())
    }
}

/// The call that anchors the log's head at `size`, from an anchored `base` on. Verified by the pallet's own code.
pub(super) fn anchor_call(
    backend: &dyn DagBackend,
    dag: DagId,
    base: Head,
    size: u64,
) -> Result<(Call, Purpose), AnchorError> {
    let reader = LogReader::new(backend);
    let new_head = reader.head_at(size)?;
    let consistency = reader.consistency(base.size, size)?;
    let newest = size.saturating_sub(1);
    let newest_header = backend.block(newest)?.ok_or(AnchorError::EmptyLog)?.header().to_bytes();
    let inclusion = reader.inclusion(newest, size)?;
    verify_extension::<SoftwareHasher>(&base, &new_head, &consistency, &newest_header, &inclusion)
        .map_err(AnchorError::OwnProofFails)?;
    let purpose = Purpose::Anchor { dag, head: new_head, base_size: base.size };
    Ok((Call::Anchor { dag, new_head, consistency, newest_header, inclusion }, purpose))
}

/// Something to sign.
pub(super) struct Order {
    pub(super) call: Call,
    pub(super) purpose: Purpose,
    pub(super) nonce: u64,
    pub(super) deposit: Option<DepositSubject>,
}

/// The era of what is signed now, which is born in the last finalized block.
pub(super) fn era(ends: &Ends, config: &AnchorConfig) -> Result<Era, AnchorError> {
    let era = Era { birth: ends.finalized.number, birth_hash: ends.finalized.hash, period: config.era_period_blocks };
    if ends.best.number.saturating_add(ERA_MARGIN_BLOCKS) >= era.death() {
        return Err(AnchorError::FinalityLags {
            finalized: ends.finalized.number,
            best: ends.best.number,
            period: era.period,
        });
    }
    Ok(era)
}

/// Signs, and writes the row. On return the bytes are on the disk and may be sent.
pub(super) async fn prepare<C: ChainClient>(
    client: &C,
    ends: &Ends,
    outbox: &Outbox,
    config: &AnchorConfig,
    key: &SigningKey,
    order: Order,
) -> Result<OutboxRow, AnchorError> {
    let era = era(ends, config)?;
    let signed = client.sign(&order.call, key, order.nonce, era, ends.best).await?;
    let mut needed = client.fee(&signed.bytes, ends.best).await?;
    if let Some(subject) = order.deposit {
        needed = needed.saturating_add(client.deposit_for(subject, ends.best).await?);
    }
    let spendable = client.account(key.account(), ends.best).await?.spendable;
    if spendable < needed {
        return Err(AnchorError::InsufficientBalance { account: key.account(), spendable, needed });
    }
    let chain = client.identity().genesis;
    Ok(outbox.prepare(&NewRow { chain, purpose: order.purpose, signed })?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        Config, InitOptions, StorageEngine,
        backup::{self, At, BackupOptions},
        config::Overrides,
        engine::Access,
        sqlite::{Options, SqliteBackend},
    };

    #[test]
    fn a_restored_older_backup_is_told_apart_and_a_newer_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (repository, kept) = (folder.path().join("repository"), folder.path().join("backup"));
        let (engine, _) = StorageEngine::init(&repository, &InitOptions::default(), Config::default()).unwrap();
        let backend = SqliteBackend::open(&repository, Access::Read, &Options::default()).unwrap();
        let back_up = || backup::back_up(&backend, &kept, &BackupOptions::default(), &mut |_, _| {}).unwrap();
        engine.store(&b"before"[..], None).unwrap();
        back_up();
        engine.store(&b"after"[..], None).unwrap();
        let anchored = engine.head().unwrap();
        back_up();
        engine.store(&b"not anchored"[..], None).unwrap();
        back_up();
        let restored = |at, name| {
            let target = folder.path().join(name);
            backup::restore(&kept, at, &target, &Options::default(), &mut |_, _| {}).unwrap();
            StorageEngine::open(&target, Access::Read, &Overrides::default()).unwrap()
        };
        let old = restored(At::Size(2), "old");
        let error = check_extends(old.backend().as_ref(), 0, anchored).unwrap_err();
        assert!(matches!(error, AnchorError::NotExtending(_)), "{error}");
        for (at, name) in [(At::Size(3), "same"), (At::Newest, "newer")] {
            check_extends(restored(at, name).backend().as_ref(), 0, anchored).unwrap();
        }
    }
}
