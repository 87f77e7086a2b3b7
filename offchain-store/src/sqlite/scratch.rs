//! [`Scratch`]: sets on the disk for walks that look at everything, so that their memory does not grow with the repository.
//!
//! A database without a name, which SQLite keeps in a file that has no name either and is gone with the process. It holds
//! what can be found out again: nothing is synced, and nothing is lost with it.

use super::{
    fault::{Fault, Result},
    marks::pin_of_row,
    rows::{int, limit, uint},
};
use crate::{
    backend::BackendError,
    removal::{
        hold::{Fate, Verdict},
        marks::Pin,
    },
};
use pakit_primitives::{ContentHash, MetadataHash, hasher::Digest};
use rusqlite::{Connection, OptionalExtension, Row};
use std::path::Path;

/// Memory for its pages; what is more goes to the disk.
const CACHE_KIB: i64 = 16 << 10;

const SCHEMA: &str = "
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
CREATE TABLE verdicts (
    hash BLOB PRIMARY KEY,
    leaf_index INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    is_list INTEGER NOT NULL,
    fate INTEGER NOT NULL,
    argument INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE listings (
    listing_id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    leaf_index INTEGER NOT NULL,
    fate INTEGER NOT NULL,
    argument INTEGER NOT NULL
) STRICT;
CREATE TABLE told_forgotten (leaf_index INTEGER PRIMARY KEY, audit INTEGER NOT NULL) STRICT;
CREATE TABLE told_pins (leaf_index INTEGER PRIMARY KEY, until_ms INTEGER, audit INTEGER NOT NULL) STRICT;
CREATE TABLE chosen (leaf_index INTEGER PRIMARY KEY) STRICT;
CREATE TABLE pinned (hash BLOB PRIMARY KEY, leaf_index INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE noted_leaves (leaf_index INTEGER PRIMARY KEY) STRICT;
CREATE TABLE held_payloads (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, bytes INTEGER NOT NULL, stored INTEGER NOT NULL)
    STRICT;
CREATE TABLE named_payloads (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE named_stored (number INTEGER, bytes INTEGER, PRIMARY KEY (number, bytes)) STRICT, WITHOUT ROWID;
CREATE TABLE held_maps (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// Sets of contents and blocks.
#[derive(Debug)]
pub(crate) struct Scratch {
    connection: Connection,
}

/// A listing whose entries are to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Listing {
    /// Ascending in the order of adding.
    pub(crate) id: u64,
    /// A block with this content.
    pub(crate) leaf_index: u64,
    /// What becomes of the contents that it names.
    pub(crate) fate: Fate,
}

type Answer<T> = std::result::Result<T, BackendError>;

impl Scratch {
    pub(crate) fn new() -> Answer<Self> {
        let open = || -> Result<Connection> {
            let connection = Connection::open("")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.execute_batch(SCHEMA)?;
            connection.set_prepared_statement_cache_capacity(32);
            // One transaction to the end: nothing here is ever committed.
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        Ok(Self { connection: answer(open())? })
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Answer<bool> {
        let run = || -> Result<usize> { Ok(self.connection.prepare_cached(sql)?.execute(params)?) };
        answer(run()).map(|changed| changed > 0)
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Option<T>> {
        let run =
            || -> Result<Option<T>> { Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?) };
        answer(run())
    }

    /// Adds a verdict on a content that has none yet.
    pub(crate) fn judge(&self, verdict: &Verdict) -> Answer<bool> {
        let (fate, argument) = encode(verdict.fate);
        let sql = "INSERT OR IGNORE INTO verdicts (hash, leaf_index, bytes, is_list, fate, argument)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (leaf_index, bytes) = (int(verdict.leaf_index), int(verdict.bytes));
        self.execute(sql, (verdict.content_hash.as_bytes(), leaf_index, bytes, verdict.is_list, fate, argument))
    }

    /// Whether a content has a verdict.
    pub(crate) fn is_judged(&self, hash: &ContentHash) -> Answer<bool> {
        self.fate(hash).map(|fate| fate.is_some())
    }

    /// What becomes of a content that has a verdict.
    pub(crate) fn fate(&self, hash: &ContentHash) -> Answer<Option<Fate>> {
        let sql = "SELECT fate, argument FROM verdicts WHERE hash = ?1";
        self.one(sql, [hash.as_bytes()], |row| fate_of_row(row, 0))
    }

    /// Spares a content that was to go.
    pub(crate) fn spare(&self, hash: &ContentHash, fate: Fate) -> Answer<bool> {
        let (code, argument) = encode(fate);
        let sql = "UPDATE verdicts SET fate = ?2, argument = ?3 WHERE hash = ?1 AND fate = 0";
        self.execute(sql, (hash.as_bytes(), code, argument))
    }

    /// Whether any content is to go.
    pub(crate) fn has_going(&self) -> Answer<bool> {
        let found = self.one("SELECT EXISTS (SELECT 1 FROM verdicts WHERE fate = 0)", (), |row| row.get(0))?;
        Ok(found.unwrap_or(false))
    }

    /// Verdicts in the order of the hashes; where `is_list` is given, only those on contents that go and are lists or not.
    pub(crate) fn verdicts(
        &self,
        is_list: Option<bool>,
        after: Option<ContentHash>,
        limit_: usize,
    ) -> Answer<Vec<Verdict>> {
        let sql = match is_list {
            Some(_) => {
                "SELECT hash, leaf_index, bytes, is_list, fate, argument FROM verdicts
                WHERE hash > ?1 AND fate = 0 AND is_list = ?3 ORDER BY hash LIMIT ?2"
            }
            None => {
                "SELECT hash, leaf_index, bytes, is_list, fate, argument FROM verdicts
                WHERE hash > ?1 AND ?3 IS NULL ORDER BY hash LIMIT ?2"
            }
        };
        let after = after.map(|hash| hash.to_bytes().to_vec()).unwrap_or_default();
        let run = || -> Result<Vec<Verdict>> {
            let mut select = self.connection.prepare_cached(sql)?;
            let found = select.query_map((after, limit(limit_), is_list), |row| {
                Ok(Verdict {
                    content_hash: ContentHash::new(row.get::<_, Digest>(0)?),
                    leaf_index: uint(row, 1)?,
                    bytes: uint(row, 2)?,
                    is_list: row.get(3)?,
                    fate: fate_of_row(row, 4)?,
                })
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        };
        answer(run())
    }

    /// Adds a listing to be looked at, once.
    pub(crate) fn queue(&self, hash: &ContentHash, leaf_index: u64, fate: Fate) -> Answer<bool> {
        let (code, argument) = encode(fate);
        let sql = "INSERT OR IGNORE INTO listings (hash, leaf_index, fate, argument) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, (hash.as_bytes(), int(leaf_index), code, argument))
    }

    /// The next listing to be looked at.
    pub(crate) fn next_listing(&self, after: u64) -> Answer<Option<Listing>> {
        let sql = "SELECT listing_id, leaf_index, fate, argument FROM listings WHERE listing_id > ?1
            ORDER BY listing_id LIMIT 1";
        self.one(sql, [int(after)], |row| {
            Ok(Listing { id: uint(row, 0)?, leaf_index: uint(row, 1)?, fate: fate_of_row(row, 2)? })
        })
    }

    /// Forgets all listings.
    pub(crate) fn clear_listings(&self) -> Answer<()> {
        self.execute("DELETE FROM listings", ()).map(|_| ())
    }

    /// Chooses a block.
    pub(crate) fn choose(&self, leaf_index: u64) -> Answer<bool> {
        self.execute("INSERT OR IGNORE INTO chosen (leaf_index) VALUES (?1)", [int(leaf_index)])
    }

    /// Whether a block was chosen.
    pub(crate) fn is_chosen(&self, leaf_index: u64) -> Answer<bool> {
        let sql = "SELECT 1 FROM chosen WHERE leaf_index = ?1";
        self.one(sql, [int(leaf_index)], |_| Ok(())).map(|found| found.is_some())
    }

    /// Chosen blocks, ascending.
    pub(crate) fn chosen(&self, after: Option<u64>, limit_: usize) -> Answer<Vec<u64>> {
        let run = || -> Result<Vec<u64>> {
            let sql = "SELECT leaf_index FROM chosen WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
            let mut select = self.connection.prepare_cached(sql)?;
            let found = select.query_map((after.map_or(-1, int), limit(limit_)), |row| uint(row, 0))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        };
        answer(run())
    }

    /// Notes which content, of how many bytes, a payload of that number has, and how many of them are stored, of which the first note
    /// stays. Says whether it had no other content before.
    pub(crate) fn hold_payload(
        &self,
        number: u64,
        hash: &ContentHash,
        original_size: u64,
        stored_size: u64,
    ) -> Answer<bool> {
        let sql = "INSERT OR IGNORE INTO held_payloads (number, hash, bytes, stored) VALUES (?1, ?2, ?3, ?4)";
        if self.execute(sql, (int(number), hash.as_bytes(), int(original_size), int(stored_size)))? {
            return Ok(true);
        }
        self.is_noted("SELECT hash, bytes FROM held_payloads WHERE number = ?1", number, hash, original_size)
    }

    /// Notes which content a payload of that number is said to have. Says whether nothing said otherwise before.
    pub(crate) fn name_payload(&self, number: u64, hash: &ContentHash, original_size: u64) -> Answer<bool> {
        let sql = "INSERT OR IGNORE INTO named_payloads (number, hash, bytes) VALUES (?1, ?2, ?3)";
        if self.execute(sql, (int(number), hash.as_bytes(), int(original_size)))? {
            return Ok(true);
        }
        self.is_noted("SELECT hash, bytes FROM named_payloads WHERE number = ?1", number, hash, original_size)
    }

    fn is_noted(&self, select: &str, number: u64, hash: &ContentHash, original_size: u64) -> Answer<bool> {
        let noted: Option<(Digest, i64)> = self.one(select, [int(number)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(noted == Some((hash.to_bytes(), int(original_size))))
    }

    /// Notes how many stored bytes a payload of that number is said to have.
    pub(crate) fn name_stored(&self, number: u64, stored_size: u64) -> Answer<()> {
        let sql = "INSERT OR IGNORE INTO named_stored (number, bytes) VALUES (?1, ?2)";
        self.execute(sql, (int(number), int(stored_size))).map(|_| ())
    }

    /// Numbers of payloads that are said to have another number of stored bytes than they have, ascending.
    pub(crate) fn stored_misfits(&self, after: Option<u64>, limit_: usize) -> Answer<Vec<u64>> {
        let sql = "SELECT DISTINCT n.number FROM named_stored n JOIN held_payloads h ON h.number = n.number
            WHERE n.number > ?1 AND h.stored <> n.bytes ORDER BY n.number LIMIT ?2";
        self.all(sql, (after.map_or(-1, int), limit(limit_)), |row| uint(row, 0))
    }

    /// Notes a metadata map.
    pub(crate) fn hold_map(&self, hash: &MetadataHash) -> Answer<()> {
        self.execute("INSERT OR IGNORE INTO held_maps (hash) VALUES (?1)", [hash.as_bytes()]).map(|_| ())
    }

    /// Whether a metadata map was noted.
    pub(crate) fn holds_map(&self, hash: &MetadataHash) -> Answer<bool> {
        let sql = "SELECT 1 FROM held_maps WHERE hash = ?1";
        self.one(sql, [hash.as_bytes()], |_| Ok(())).map(|found| found.is_some())
    }

    /// Whether each payload that is named and held has the content that it is said to have.
    pub(crate) fn names_fit(&self) -> Answer<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM named_payloads n JOIN held_payloads h ON h.number = n.number
            WHERE h.hash <> n.hash OR h.bytes <> n.bytes)";
        let found: Option<bool> = self.one(sql, (), |row| row.get(0))?;
        Ok(found == Some(false))
    }

    /// Notes a leaf.
    pub(crate) fn note_leaf(&self, leaf_index: u64) -> Answer<bool> {
        self.execute("INSERT OR IGNORE INTO noted_leaves (leaf_index) VALUES (?1)", [int(leaf_index)])
    }

    /// Leaves that were noted, ascending.
    pub(crate) fn noted_leaves(&self, after: Option<u64>, limit_: usize) -> Answer<Vec<u64>> {
        let sql = "SELECT leaf_index FROM noted_leaves WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
        self.all(sql, (after.map_or(-1, int), limit(limit_)), |row| uint(row, 0))
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Vec<T>> {
        let run = || -> Result<Vec<T>> {
            Ok(self.connection.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<_>>()?)
        };
        answer(run())
    }

    /// Notes that an audit block tells of a forgotten block, or of one that is forgotten no more.
    pub(crate) fn tell_forgotten(&self, leaf_index: u64, audit: Option<u64>) -> Answer<()> {
        let done = match audit {
            Some(audit) => {
                let sql = "INSERT OR REPLACE INTO told_forgotten (leaf_index, audit) VALUES (?1, ?2)";
                self.execute(sql, (int(leaf_index), int(audit)))
            }
            None => self.execute("DELETE FROM told_forgotten WHERE leaf_index = ?1", [int(leaf_index)]),
        };
        done.map(|_| ())
    }

    /// The same of a pin.
    pub(crate) fn tell_pin(&self, leaf_index: u64, pin: Option<Pin>) -> Answer<()> {
        let done = match pin {
            Some(Pin { until_ms, audit, .. }) => {
                let sql = "INSERT OR REPLACE INTO told_pins (leaf_index, until_ms, audit) VALUES (?1, ?2, ?3)";
                self.execute(sql, (int(leaf_index), until_ms.map(int), int(audit)))
            }
            None => self.execute("DELETE FROM told_pins WHERE leaf_index = ?1", [int(leaf_index)]),
        };
        done.map(|_| ())
    }

    /// Blocks that are forgotten by what audit blocks tell, with these.
    pub(crate) fn told_forgotten(&self, after: Option<u64>, limit_: usize) -> Answer<Vec<(u64, u64)>> {
        let sql = "SELECT leaf_index, audit FROM told_forgotten WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
        self.all(sql, (after.map_or(-1, int), limit(limit_)), |row| Ok((uint(row, 0)?, uint(row, 1)?)))
    }

    /// Pins by what audit blocks tell.
    pub(crate) fn told_pins(&self, after: Option<u64>, limit_: usize) -> Answer<Vec<Pin>> {
        let sql =
            "SELECT leaf_index, until_ms, audit FROM told_pins WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
        self.all(sql, (after.map_or(-1, int), limit(limit_)), pin_of_row)
    }

    /// Notes that a pinned block's listing leads to a content.
    pub(crate) fn pin(&self, hash: &ContentHash, leaf_index: u64) -> Answer<bool> {
        let sql = "INSERT OR IGNORE INTO pinned (hash, leaf_index) VALUES (?1, ?2)";
        self.execute(sql, (hash.as_bytes(), int(leaf_index)))
    }

    /// The pinned block whose listing leads to a content.
    pub(crate) fn pinned_by(&self, hash: &ContentHash) -> Answer<Option<u64>> {
        self.one("SELECT leaf_index FROM pinned WHERE hash = ?1", [hash.as_bytes()], |row| uint(row, 0))
    }
}

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map_err(|fault: Fault| fault.in_repository(Path::new("the folder for temporary files")))
}

fn encode(fate: Fate) -> (i64, i64) {
    match fate {
        Fate::Goes => (0, 0),
        Fate::HeldByBlock(leaf_index) => (1, int(leaf_index)),
        Fate::HeldByListing(leaf_index) => (2, int(leaf_index)),
        Fate::HeldByPin(leaf_index) => (3, int(leaf_index)),
        Fate::Waits { until_ms } => (4, int(until_ms)),
        Fate::PartOfAnother => (5, 0),
        Fate::Undeclared(leaf_index) => (6, int(leaf_index)),
    }
}

fn fate_of_row(row: &Row<'_>, column: usize) -> rusqlite::Result<Fate> {
    let argument = uint(row, column + 1)?;
    Ok(match row.get::<_, i64>(column)? {
        0 => Fate::Goes,
        1 => Fate::HeldByBlock(argument),
        2 => Fate::HeldByListing(argument),
        3 => Fate::HeldByPin(argument),
        4 => Fate::Waits { until_ms: argument },
        6 => Fate::Undeclared(argument),
        // Nothing else is written.
        _ => Fate::PartOfAnother,
    })
}
