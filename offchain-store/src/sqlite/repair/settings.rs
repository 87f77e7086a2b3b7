//! The part of a repair that is about named values. Each is made anew from what tells of it: the DAG's name from genesis, the newest
//! dictionary from the dictionaries, the retention rule (later, with the marks) from the audit trail. Nothing tells of the parent strategy but the
//! checksum over all of them: one that makes it fit is the one that was set. Where none does, the one that is there stays, or the default
//! comes, and it is named.

use super::{Content, Repairer, content_state, plain_chunk};
use crate::{
    backend::BackendError,
    backup::{SETTING_INSTANCE, new_instance},
    parents::ParentSelectionStrategy,
    setting::{NAME, STRATEGY, name_in_genesis, parse_strategy},
    sqlite::{
        fault::{Fault, Result},
        read, write,
    },
};
use pakit_primitives::header::{PARENTS_MAX, PARENTS_MIN};
use rusqlite::{Connection, OptionalExtension, Savepoint, TransactionBehavior};

/// A setting as it stands there, whatever the checksum says.
pub(super) fn raw_setting(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    Ok(connection.query_row("SELECT value FROM settings WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

/// Sets it without a new checksum, which would bear out all others.
pub(super) fn set_raw(connection: &Connection, key: &str, value: &[u8]) -> Result<()> {
    let sql =
        "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    write::execute(connection, sql, (key, value)).map(|_| ())
}

/// Whether the settings are those that were set. A repository of an earlier program has no checksum.
pub(super) fn are_borne_out(connection: &Connection) -> Result<bool> {
    let stored = raw_setting(connection, read::SETTINGS_CHECKSUM)?;
    Ok(match stored {
        Some(stored) => stored == read::settings_checksum(connection)?,
        None => true,
    })
}

impl Repairer<'_> {
    /// After blocks and chunks, since genesis tells the name. A repository without a block has not been made yet.
    pub(super) fn settings(&mut self) -> Result<()> {
        if self.blocks_end == 0 {
            return Ok(());
        }
        let name = self.name_in_genesis()?;
        let mut txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let strategy = raw_setting(&txn, STRATEGY)?.filter(|value| parse_strategy(value).is_some());
        let is_named = raw_setting(&txn, NAME)?.is_some();
        let is_borne_out = self.are_settings_borne_out;
        if is_borne_out && is_named && strategy.is_some() {
            return Ok(txn.commit()?);
        }
        let found = if is_borne_out { false } else { restore_borne_out(&mut txn, name.as_deref())? };
        if !found {
            match &name {
                Some(name) => set_raw(&txn, NAME, name)?,
                None => self.report.settings_lost.push(NAME),
            }
            if !is_borne_out || strategy.is_none() {
                self.report.settings_lost.push(STRATEGY);
            }
            if strategy.is_none() {
                set_raw(&txn, STRATEGY, ParentSelectionStrategy::default().to_string().as_bytes())?;
            }
            // Known to be another one than any backup knows, so that the next one begins anew.
            write::set_setting(&txn, SETTING_INSTANCE, &new_instance())?;
        }
        self.report.settings_corrected += 1;
        Ok(txn.commit()?)
    }

    /// The name that genesis tells, if it can be read.
    fn name_in_genesis(&self) -> Result<Option<Vec<u8>>> {
        let size = match read::block(self.connection, 0) {
            Ok(Some(block)) => block.header().original_size,
            Ok(None) | Err(Fault::Backend(BackendError::Damaged(_))) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        if !matches!(content_state(self.connection, 0, size, &self.materials)?, Content::Whole | Content::Mended) {
            return Ok(None);
        }
        let sql = "SELECT p.payload_id, p.hash, p.compression, p.original_size, p.bytes
            FROM blocks b JOIN payloads p ON p.payload_id = b.payload_id WHERE b.leaf_index = 0 AND p.kind = 0";
        let read = |row: &rusqlite::Row<'_>| Ok(plain_chunk(row, &self.materials));
        let content = self.connection.query_row(sql, (), read).optional()?.transpose()?.flatten();
        Ok(content.and_then(|content| name_in_genesis(&content).map(<[u8]>::to_vec)))
    }
}

/// Looks for the name and the strategy that have the checksum that is stored, and leaves them there.
fn restore_borne_out(txn: &mut rusqlite::Transaction<'_>, name: Option<&[u8]>) -> Result<bool> {
    use ParentSelectionStrategy::{BalancedRandom, DepthBalanced, RecentOnly, WeightedRandom};
    let recent = (PARENTS_MIN..=PARENTS_MAX).map(|blocks| RecentOnly { blocks: blocks as u8 });
    let known = [BalancedRandom, DepthBalanced, WeightedRandom].into_iter().chain(recent);
    let as_it_is = raw_setting(txn, STRATEGY)?;
    let strategies = as_it_is.into_iter().chain(known.map(|strategy| strategy.to_string().into_bytes()));
    for strategy in strategies.filter(|value| parse_strategy(value).is_some()) {
        let savepoint: Savepoint<'_> = txn.savepoint()?;
        set_raw(&savepoint, STRATEGY, &strategy)?;
        let is_found = are_borne_out(&savepoint)?;
        if !is_found && let Some(name) = name {
            set_raw(&savepoint, NAME, name)?;
        }
        if is_found || are_borne_out(&savepoint)? {
            savepoint.commit()?;
            return Ok(true);
        }
        // Dropped, it is rolled back.
    }
    Ok(false)
}
