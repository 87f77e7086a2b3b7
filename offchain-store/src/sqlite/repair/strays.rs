//! The part of a repair that is about rows under numbers that were never given: rows that were moved there go back where they belong,
//! those that something names get a number, and what nothing names is taken away.

use super::{Repairer, STEP_ROWS, set_aside_as};
use crate::{
    pack,
    sqlite::{
        fault::Result,
        read::{self, Instead},
        rows::{int, uint},
        strays::{self, NUMBER_END},
    },
};
use pakit_primitives::hasher::Digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// Rows of no place that are tried in places without a row, and such places. More were not moved by an accident.
const TRIED_MAX: usize = 64;
/// A number that no payload has: what was set aside of a stray row belongs to none.
pub(super) const NO_PAYLOAD: i64 = -1;

impl Repairer<'_> {
    /// Puts rows of blocks back that stand beyond all others, where they are whole in a place that has no row.
    pub(super) fn misplaced_blocks(&mut self) -> Result<()> {
        let rows = self.connection.query_row("SELECT count(*) FROM blocks", (), |row| uint(row, 0))?;
        let strays = strays::blocks_out_of_place(self.connection, rows, TRIED_MAX + 1)?;
        if strays.is_empty() || strays.len() > TRIED_MAX {
            return Ok(());
        }
        let empty = places_without_rows(self.connection, rows)?;
        for number in strays {
            for place in &empty {
                let block = read::block_with(self.connection, number, *place, &Instead::default())?;
                if block.is_some() {
                    let sql = "UPDATE OR IGNORE blocks SET leaf_index = ?2 WHERE leaf_index = ?1";
                    self.report.rows_corrected += self.connection.execute(sql, (number, int(*place)))? as u64;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes rows away that stand behind the log and are no blocks. Only where the sums are those of the blocks that there are: else they
    /// may be what is left of one.
    pub(super) fn stray_blocks(&mut self) -> Result<()> {
        if !self.are_sums_of_blocks {
            return Ok(());
        }
        loop {
            let page = strays::blocks_out_of_place(self.connection, self.blocks_end, STEP_ROWS as usize)?;
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for number in &page {
                // Marks name blocks by a foreign key; what the audit trail tells of is written anew later.
                for table in ["audits", "forgotten", "pins", "blocks"] {
                    txn.execute(&format!("DELETE FROM {table} WHERE leaf_index = ?1"), [number])?;
                }
            }
            txn.commit()?;
            self.report.rows_removed += page.len() as u64;
            if page.len() < STEP_ROWS as usize {
                return Ok(());
            }
        }
    }

    /// Rows of packs that no file can be, since its name has no room for such a number. What packs there are is told by their chunks.
    pub(super) fn pack_numbers(&mut self) -> Result<()> {
        let sql = "DELETE FROM packs WHERE pack < 1 OR pack > ?1";
        self.report.rows_removed += self.connection.execute(sql, [pack::NUMBER_MAX])? as u64;
        let sql = "UPDATE packs SET bytes = 0 WHERE bytes < 0";
        self.report.rows_corrected += self.connection.execute(sql, ())? as u64;
        Ok(())
    }

    /// Marks that tell of what cannot be, so that nobody can read them. A pin holds for good until the audit trail tells more.
    pub(super) fn numbers_in_marks(&mut self) -> Result<()> {
        for sql in [
            "DELETE FROM audits WHERE leaf_index < 0",
            "DELETE FROM forgotten WHERE leaf_index < 0",
            "DELETE FROM pins WHERE leaf_index < 0",
        ] {
            self.report.rows_removed += self.connection.execute(sql, ())? as u64;
        }
        for sql in [
            "UPDATE forgotten SET audit = 0 WHERE audit < 0",
            "UPDATE pins SET audit = max(audit, 0), until_ms = iif(until_ms < 0, NULL, until_ms) WHERE audit < 0 OR until_ms < 0",
        ] {
            self.report.rows_corrected += self.connection.execute(sql, ())? as u64;
        }
        Ok(())
    }

    /// Payloads that got their hashes late are counted from 1 on, and the sums say how many there are.
    pub(super) fn late_names(&mut self) -> Result<()> {
        let sql = "DELETE FROM late_names WHERE sequence < 1 OR sequence >= ?1";
        self.report.rows_removed += self.connection.execute(sql, [int(NUMBER_END)])? as u64;
        let sql =
            "UPDATE totals SET late_sequence = last FROM (SELECT ifnull(max(sequence), 0) AS last FROM late_names)
            WHERE late_sequence <> last";
        self.report.rows_corrected += self.connection.execute(sql, ())? as u64;
        Ok(())
    }

    /// Settles where the numbers of payloads end, and leaves no row beyond.
    pub(super) fn payload_numbers(&mut self) -> Result<()> {
        let sql = "SELECT payload_next FROM totals WHERE id = 1";
        let told: Option<i64> = self.connection.query_row(sql, (), |row| row.get(0)).optional()?;
        let told = told.and_then(|told| u64::try_from(told).ok()).filter(|told| *told <= NUMBER_END);
        // Where the sums do not tell, every number that can be was given.
        let told = int(told.unwrap_or(NUMBER_END));
        let ends = [
            ("SELECT max(payload_id) FROM payloads WHERE payload_id < ?1", told),
            (
                "SELECT max(p.payload_id) FROM blocks b JOIN payloads p ON p.payload_id = b.payload_id
                WHERE b.payload_id < ?1",
                int(NUMBER_END),
            ),
            (
                "SELECT max(p.payload_id) FROM payload_chunks c JOIN payloads p ON p.payload_id = c.chunk_id
                WHERE c.chunk_id < ?1",
                int(NUMBER_END),
            ),
        ];
        for (sql, below) in ends {
            let last: Option<i64> = self.connection.query_row(sql, [below], |row| row.get(0))?;
            let end = last.and_then(|last| u64::try_from(last).ok()).map_or(1, |last| last + 1);
            self.payloads_end = self.payloads_end.max(end);
        }
        if strays::payloads_out_of_place(self.connection, self.payloads_end, 1)?.is_empty() {
            return Ok(());
        }
        self.renumber_named()?;
        self.misplaced_payloads()?;
        self.stray_payloads()
    }

    /// Gives numbers at the end to rows that something names and whose own cannot be.
    fn renumber_named(&mut self) -> Result<()> {
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        txn.execute_batch(
            "DROP TABLE IF EXISTS temp.named;
            CREATE TEMP TABLE named (place INTEGER PRIMARY KEY, old INTEGER NOT NULL UNIQUE);",
        )?;
        for named in ["SELECT payload_id AS id FROM blocks", "SELECT chunk_id AS id FROM payload_chunks"] {
            let sql = format!(
                "INSERT OR IGNORE INTO temp.named (old) SELECT p.payload_id FROM ({named}) JOIN payloads p ON p.payload_id = id
                    WHERE id < 1 OR id >= ?1"
            );
            txn.execute(&sql, [int(self.payloads_end)])?;
        }
        let count = txn.query_row("SELECT count(*) FROM temp.named", (), |row| uint(row, 0))?;
        if count > 0 {
            txn.execute_batch("PRAGMA defer_foreign_keys = ON")?;
            let columns = [
                ("payloads", "payload_id"),
                ("payload_chunks", "payload_id"),
                ("payload_chunks", "chunk_id"),
                ("blocks", "payload_id"),
                ("set_aside", "payload_id"),
            ];
            for (table, column) in columns {
                let sql = format!(
                    "UPDATE {table} SET {column} = ?1 + named.place - 1 FROM temp.named AS named WHERE named.old = {table}.{column}"
                );
                txn.execute(&sql, [int(self.payloads_end)])?;
            }
        }
        txn.execute_batch("DROP TABLE temp.named")?;
        txn.commit()?;
        self.payloads_end += count;
        self.report.rows_corrected += count;
        Ok(())
    }

    /// Puts rows back under the numbers by which blocks name them, where that makes a block whole.
    fn misplaced_payloads(&mut self) -> Result<()> {
        let strays = strays::payloads_out_of_place(self.connection, self.payloads_end, TRIED_MAX + 1)?;
        if strays.len() > TRIED_MAX {
            return Ok(());
        }
        let sql =
            "SELECT b.leaf_index, b.payload_id FROM blocks b WHERE b.leaf_index >= 0 AND b.payload_id BETWEEN 1 AND ?1
            AND NOT EXISTS (SELECT 1 FROM payloads p WHERE p.payload_id = b.payload_id) LIMIT ?2";
        let of_row = |row: &rusqlite::Row<'_>| Ok((uint(row, 0)?, uint(row, 1)?));
        let wanted = read::all(self.connection, sql, (int(NUMBER_END - 1), TRIED_MAX as i64), of_row)?;
        for number in strays {
            let Some(content) = named_content(self.connection, number)? else { continue };
            let instead = Instead { content: Some(content), ..Instead::default() };
            for (leaf_index, id) in &wanted {
                if read::block_with(self.connection, int(*leaf_index), *leaf_index, &instead)?.is_some() {
                    self.move_payload(number, *id)?;
                    break;
                }
            }
        }
        Ok(())
    }

    fn move_payload(&mut self, from: i64, to: u64) -> Result<()> {
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        txn.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        let moved =
            txn.execute("UPDATE OR IGNORE payloads SET payload_id = ?2 WHERE payload_id = ?1", (from, int(to)))?;
        if moved > 0 {
            let sql = "UPDATE OR IGNORE payload_chunks SET payload_id = ?2 WHERE payload_id = ?1";
            txn.execute(sql, (from, int(to)))?;
            self.payloads_end = self.payloads_end.max(to.saturating_add(1));
            self.report.rows_corrected += 1;
        }
        Ok(txn.commit()?)
    }

    /// Takes away what is left: nothing names it. Its bytes are kept where nothing reads them but people.
    fn stray_payloads(&mut self) -> Result<()> {
        loop {
            let page = strays::payloads_out_of_place(self.connection, self.payloads_end, STEP_ROWS as usize)?;
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for number in &page {
                let sql = "SELECT bytes IS NOT NULL FROM payloads WHERE payload_id = ?1";
                if txn.query_row(sql, [number], |row| row.get(0))? {
                    set_aside_as(&txn, *number, NO_PAYLOAD, &self.materials)?;
                }
                txn.execute("DELETE FROM payload_chunks WHERE payload_id = ?1", [number])?;
                txn.execute("DELETE FROM payloads WHERE payload_id = ?1", [number])?;
            }
            txn.commit()?;
            self.report.rows_removed += page.len() as u64;
            if page.len() < STEP_ROWS as usize {
                return Ok(());
            }
        }
    }
}

/// The first leaf indices below `end` that have no row.
fn places_without_rows(connection: &Connection, end: u64) -> Result<Vec<u64>> {
    let mut empty = Vec::new();
    let mut select = connection.prepare("SELECT leaf_index FROM blocks WHERE leaf_index >= 0 ORDER BY leaf_index")?;
    let mut rows = select.query(())?;
    let mut expected = 0;
    while expected < end && empty.len() < TRIED_MAX {
        let next = rows.next()?.map(|row| uint(row, 0)).transpose()?.unwrap_or(end).min(end);
        empty.extend((expected..next).take(TRIED_MAX - empty.len()));
        expected = next.saturating_add(1);
    }
    Ok(empty)
}

/// Hash and size that a row tells of its payload.
fn named_content(connection: &Connection, number: i64) -> Result<Option<(Digest, u64)>> {
    let sql = "SELECT hash, original_size FROM payloads WHERE payload_id = ?1 AND hash IS NOT NULL";
    let found = connection.query_row(sql, [number], |row| Ok((row.get(0).ok(), uint(row, 1).ok()))).optional()?;
    Ok(found.and_then(|(hash, size)| hash.zip(size)))
}
