//! Rows that stand where none can: beyond the end of the log or of the payloads, or under a number that is never given.
//!
//! No question that goes by a hash or a place in the log comes upon them. But they are in the way of the rows that come there next, and
//! what is derived from rows takes them in once the sums reach them. So an audit looks for them by themselves, and a repair takes them away.

use super::{
    derived::TILE_LEVEL,
    fault::Result,
    read::all,
    rows::{int, limit},
};
use crate::{backend::StrayRow, pack::NUMBER_MAX, plan::node_number};
use rusqlite::Connection;

/// Numbers of payloads stay below: no store gives as many in its life.
pub(super) const NUMBER_END: u64 = 1 << 48;

/// Numbers of log nodes that are looked at at once.
const NODES_PAGE: usize = 1024;

/// Stray rows of a repository with so many blocks and payload numbers; the first `rows_max` of each table. A block at the very end of the
/// log is not among them: whoever reads the log finds it.
pub(super) fn find(connection: &Connection, blocks: u64, payload_next: u64, rows_max: usize) -> Result<Vec<StrayRow>> {
    let ends = [
        ("blocks", blocks_out_of_place(connection, blocks.saturating_add(1), rows_max)?),
        ("payloads", payloads_out_of_place(connection, payload_next, rows_max)?),
        ("log_tiles", tiles_out_of_place(connection, blocks, rows_max)?),
        ("log_nodes", nodes_out_of_place(connection, blocks, rows_max)?),
        ("late_names", late_names_out_of_place(connection, rows_max)?),
        ("packs", packs_out_of_place(connection, rows_max)?),
    ];
    let of_table = |(table, numbers): (_, Vec<i64>)| numbers.into_iter().map(move |number| StrayRow { table, number });
    Ok(ends.into_iter().flat_map(of_table).collect())
}

/// Both ends of a table, each by its own search: an `OR` would walk all of it.
fn ends(connection: &Connection, sql: &str, first: i64, end: u64, rows_max: usize) -> Result<Vec<i64>> {
    all(connection, sql, (first, int(end), limit(rows_max)), |row| row.get(0))
}

pub(super) fn blocks_out_of_place(connection: &Connection, end: u64, rows_max: usize) -> Result<Vec<i64>> {
    let sql = "SELECT leaf_index FROM blocks WHERE leaf_index < ?1
        UNION ALL SELECT leaf_index FROM blocks WHERE leaf_index >= ?2 LIMIT ?3";
    ends(connection, sql, 0, end, rows_max)
}

/// The first number that is given is 1.
pub(super) fn payloads_out_of_place(connection: &Connection, end: u64, rows_max: usize) -> Result<Vec<i64>> {
    let sql = "SELECT payload_id FROM payloads WHERE payload_id < ?1
        UNION ALL SELECT payload_id FROM payloads WHERE payload_id >= ?2 LIMIT ?3";
    ends(connection, sql, 1, end, rows_max)
}

pub(super) fn tiles_out_of_place(connection: &Connection, blocks: u64, rows_max: usize) -> Result<Vec<i64>> {
    let sql = "SELECT tile FROM log_tiles WHERE tile < ?1
        UNION ALL SELECT tile FROM log_tiles WHERE tile >= ?2 LIMIT ?3";
    ends(connection, sql, 0, blocks >> TILE_LEVEL, rows_max)
}

/// The sums say up to where they count.
fn late_names_out_of_place(connection: &Connection, rows_max: usize) -> Result<Vec<i64>> {
    let sql = "SELECT sequence FROM late_names WHERE sequence < 1 UNION ALL SELECT sequence FROM late_names
        WHERE sequence > (SELECT late_sequence FROM totals WHERE id = 1) LIMIT ?1";
    all(connection, sql, [limit(rows_max)], |row| row.get(0))
}

fn packs_out_of_place(connection: &Connection, rows_max: usize) -> Result<Vec<i64>> {
    let sql = "SELECT pack FROM packs WHERE pack < ?1 UNION ALL SELECT pack FROM packs WHERE pack >= ?2 LIMIT ?3";
    ends(connection, sql, 1, u64::from(NUMBER_MAX) + 1, rows_max)
}

/// By rows: there is one for each 256 blocks, and a number says by itself whose node it is.
pub(super) fn nodes_out_of_place(connection: &Connection, blocks: u64, rows_max: usize) -> Result<Vec<i64>> {
    let sql = "SELECT node_id FROM log_nodes WHERE node_id >= ?1 ORDER BY node_id LIMIT ?2";
    let (mut strays, mut from) = (Vec::new(), i64::MIN);
    while strays.len() < rows_max {
        let page: Vec<i64> = all(connection, sql, (from, limit(NODES_PAGE)), |row| row.get(0))?;
        strays.extend(page.iter().copied().filter(|number| !is_node_of(*number, blocks)));
        let next = page.last().filter(|_| page.len() == NODES_PAGE).and_then(|last| last.checked_add(1));
        let Some(next) = next else { break };
        from = next;
    }
    strays.truncate(rows_max);
    Ok(strays)
}

/// Whether a number is that of a node above tiles in a log of so many blocks.
fn is_node_of(number: i64, blocks: u64) -> bool {
    nodes_end(number).is_some_and(|end| end <= blocks)
}

/// The leaf behind those below a node with this number; `None` where it is the number of no node above tiles.
pub(super) fn nodes_end(number: i64) -> Option<u64> {
    let number = u64::try_from(number).ok()?;
    // A node's number ends in as many 1 bits as its level.
    let level = number.trailing_ones();
    let index = number.checked_shr(level + 1)?;
    (level > TILE_LEVEL && node_number(level, index) == Some(number)).then_some((index + 1) << level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_node_says_where_it_stands() {
        for (level, index) in [(9, 0), (9, 7), (10, 3), (30, 0), (47, 1)] {
            let number = node_number(level, index).map_or(-1, int);
            assert_eq!(nodes_end(number), Some((index + 1) << level));
            assert!(is_node_of(number, (index + 1) << level) && !is_node_of(number, ((index + 1) << level) - 1));
        }
        // Of lower levels, of no level, and beyond all logs.
        for number in [-1, i64::MIN, 0, 1, 127, 255, 256, i64::MAX, (1 << 50) - 1] {
            assert_eq!(nodes_end(number), None, "{number}");
        }
    }
}
