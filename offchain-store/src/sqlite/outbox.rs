//! The tables of [`crate::anchor`]: the DAGs on chains that this repository is bound to, and the outbox of signed extrinsics.
//!
//! | table | row | written |
//! |---|---|---|
//! | `chain_binding` | a DAG on a chain that anchors this log; at most one is current | when its creation is finalized |
//! | `outbox` | one signed extrinsic, its bytes and what became of it | before the bytes are sent, then as it goes on |
//!
//! A row of the outbox is never deleted and its bytes never change: it is the proof that a fee was, or was not, paid.

pub mod declaring;
pub mod ids;
pub mod rows;
#[cfg(test)]
mod tests;

use self::{
    ids::{AccountId, ChainBlockHash, ExtrinsicHash},
    rows::{
        Binding, BindingId, Ended, Era, NewBinding, NewRow, OutboxRow, Placement, Purpose, RowId, RowState,
        SignedExtrinsic,
    },
};
use super::{DATABASE_FILE, Fsync, Options, connection, fault::Fault, schema};
use crate::backend::BackendError;
use pakit_primitives::{
    BlockHash, Head, LogRoot,
    chain::{AnchorNumber, DagId},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Part of schema version 1.
///
/// `outbox.kind`: 1 create_dag, 2 anchor, 3 record_proof. `outbox.state`: 1 prepared, 2 submitted, 3 in a best block,
/// 4 finalized, 5 failed, 6 expired. States 1 to 3 are live: the extrinsic may still be included, or fall out of the
/// best chain. The partial indexes make a second live extrinsic for one purpose, or with one nonce, impossible, whatever
/// the code above does.
///
/// Integers are below 2^63; hashes and accounts have 32 bytes; times are Unix milliseconds.
pub(crate) const OUTBOX_SCHEMA: &str = "
CREATE TABLE chain_binding (
    id INTEGER PRIMARY KEY,
    chain_genesis BLOB NOT NULL CHECK (length(chain_genesis) = 32),
    dag INTEGER NOT NULL CHECK (dag BETWEEN 0 AND 4294967295),
    owner BLOB NOT NULL CHECK (length(owner) = 32),
    -- The finalized block that created the DAG. Another hash at this height is another chain with the same genesis.
    created_block_number INTEGER NOT NULL CHECK (created_block_number >= 0),
    created_block_hash BLOB NOT NULL CHECK (length(created_block_hash) = 32),
    predecessor INTEGER REFERENCES chain_binding (id),
    is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
    -- Where the chain was last reached.
    url TEXT NOT NULL,
    -- The DAG's latest head as last seen in a finalized block.
    seen_size INTEGER NOT NULL CHECK (seen_size >= 1),
    seen_root BLOB NOT NULL CHECK (length(seen_root) = 32),
    bound_at_ms INTEGER NOT NULL,
    UNIQUE (chain_genesis, dag)
) STRICT;
CREATE UNIQUE INDEX chain_binding_current ON chain_binding (is_current) WHERE is_current = 1;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
    chain_genesis BLOB NOT NULL CHECK (length(chain_genesis) = 32),
    -- The DAG anchored to or recorded in. A creation has none until it is finalized.
    dag INTEGER CHECK (dag BETWEEN 0 AND 4294967295),
    -- The head anchored, or proved against; of a creation (1, genesis).
    size INTEGER NOT NULL CHECK (size >= 1),
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- Of an anchor: the size of the head that its consistency proof starts from.
    base_size INTEGER CHECK (base_size >= 1),
    -- Of a record: the anchor it is proved against. Of an anchor: the number that the chain gave it, once it is in a block.
    anchor_number INTEGER CHECK (anchor_number >= 1),
    -- Of a record: the block.
    block_hash BLOB CHECK (length(block_hash) = 32),
    -- Of a succession: the binding it ends.
    predecessor INTEGER REFERENCES chain_binding (id),
    signer BLOB NOT NULL CHECK (length(signer) = 32),
    nonce INTEGER NOT NULL CHECK (nonce >= 0),
    -- Valid in blocks above era_birth and below era_birth + era_period.
    era_birth INTEGER NOT NULL CHECK (era_birth >= 0),
    era_birth_hash BLOB NOT NULL CHECK (length(era_birth_hash) = 32),
    era_period INTEGER NOT NULL CHECK (era_period BETWEEN 4 AND 4096),
    extrinsic BLOB NOT NULL,
    extrinsic_hash BLOB NOT NULL UNIQUE CHECK (length(extrinsic_hash) = 32),
    -- Counted up before each sending.
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error TEXT,
    -- Where it was seen; in states 3, 4 and 5.
    in_block_number INTEGER CHECK (in_block_number >= 0),
    in_block_hash BLOB CHECK (length(in_block_hash) = 32),
    in_block_index INTEGER CHECK (in_block_index >= 0),
    -- Whether the call failed in that block, and why.
    dispatch_error TEXT,
    prepared_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    CHECK ((kind = 2) = (base_size IS NOT NULL)),
    CHECK ((kind = 3) = (block_hash IS NOT NULL)),
    CHECK (kind <> 3 OR anchor_number IS NOT NULL),
    CHECK (kind = 1 OR dag IS NOT NULL),
    CHECK (state NOT IN (3, 4, 5)
        OR (in_block_number IS NOT NULL AND in_block_hash IS NOT NULL AND in_block_index IS NOT NULL)),
    CHECK (state <> 5 OR dispatch_error IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX outbox_live_purpose
    -- A record is of a block, whatever head it is proved against.
    ON outbox (kind, chain_genesis, ifnull(dag, -1), iif(kind = 3, 0, size), ifnull(block_hash, x''))
    WHERE state IN (1, 2, 3);
CREATE UNIQUE INDEX outbox_live_nonce ON outbox (chain_genesis, signer, nonce) WHERE state IN (1, 2, 3);
CREATE INDEX outbox_by_state ON outbox (state, kind, size);
";

/// Forgets where a row was seen.
const IN_NO_BLOCK: &str = "in_block_number = NULL, in_block_hash = NULL, in_block_index = NULL, dispatch_error = NULL,
    anchor_number = iif(kind = 3, anchor_number, NULL)";
/// How long a write waits for the store's writer, which commits in batches.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// A few rows are read and written at a time.
const CACHE_BYTES: u64 = 2 << 20;

/// Rows of the outbox that one question may return.
pub const ROWS_MAX: u32 = 10_000;

/// Why the outbox could not be read or written. Nothing of what failed was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The repository cannot be opened: it is missing, of a newer version, damaged, or cannot be written.
    #[error(transparent)]
    Repository(#[from] BackendError),
    /// The repository has an older format version and has to be opened for writing once.
    #[error(
        "the repository has format version {found}, older than {supported}; write to it once to bring it up to date"
    )]
    OlderVersion {
        /// The repository's.
        found: u32,
        /// The one known here.
        supported: u32,
    },
    /// An extrinsic for the same purpose, or with the same nonce, is live already.
    #[error("an extrinsic for this purpose, or with this nonce, is already on its way")]
    AlreadyLive,
    /// The row is not in a state from which it can go there.
    #[error("row {} of the outbox is not live", .0.0)]
    NotLive(RowId),
    /// What is stored contradicts itself.
    #[error("the outbox is damaged: {0}")]
    Damaged(&'static str),
    /// The database failed.
    #[error("the outbox's database failed")]
    Database(#[from] rusqlite::Error),
}

impl OutboxError {
    /// Whether it says that what is stored is not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Repository(error) => matches!(error, BackendError::Damaged(_)),
            Self::Damaged(_) => true,
            Self::Database(rusqlite::Error::SqliteFailure(failure, _)) => {
                matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            }
            Self::Database(error) => matches!(
                error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
            ),
            _ => false,
        }
    }
}

/// The outbox of one repository.
///
/// Each change is one transaction, on the disk when the method returns.
#[derive(Debug)]
pub struct Outbox {
    connection: Mutex<Connection>,
}

impl Outbox {
    /// Opens the outbox of the repository in `dir` for anchoring. The store may be written meanwhile.
    pub fn open(dir: &Path) -> Result<Self, OutboxError> {
        let file = existing(dir)?;
        // A row that is not on the disk when its extrinsic is sent could be paid for a second time after a power cut.
        let options = Options { fsync: Fsync::Full, ..options() };
        Self::over(dir, connection::open_write(&file, false, &options))
    }

    /// Opens the outbox of the repository in `dir` for looking at it, also beside a process that anchors, and also where
    /// nothing can be written.
    pub fn open_to_read(dir: &Path) -> Result<Self, OutboxError> {
        let file = existing(dir)?;
        let opened =
            connection::sight(dir, &file, &options()).and_then(|sight| connection::open_read(&file, sight, &options()));
        Self::over(dir, opened)
    }

    fn over(dir: &Path, opened: Result<Connection, Fault>) -> Result<Self, OutboxError> {
        let connection = opened.map_err(|fault| fault.in_repository(dir))?;
        let found = schema::version(&connection).map_err(|fault| fault.in_repository(dir))?;
        if found != schema::VERSION {
            return Err(OutboxError::OlderVersion { found, supported: schema::VERSION });
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// The binding that heads are anchored to.
    pub fn current_binding(&self) -> Result<Option<Binding>, OutboxError> {
        Ok(self.bindings()?.into_iter().find(|binding| binding.is_current))
    }

    /// All bindings, oldest first.
    pub fn bindings(&self) -> Result<Vec<Binding>, OutboxError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT * FROM chain_binding ORDER BY id LIMIT ?1")?;
        let rows = statement.query_map([ROWS_MAX], |row| Ok(read_binding(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Notes where the chain was reached and which head it had in a finalized block.
    pub fn note_seen(&self, binding: BindingId, url: &str, seen: Head) -> Result<(), OutboxError> {
        self.lock().execute(
            "UPDATE chain_binding SET url = ?2, seen_size = ?3, seen_root = ?4 WHERE id = ?1",
            params![binding.0, url, to_i64(seen.size)?, seen.root.as_bytes()],
        )?;
        Ok(())
    }

    /// Writes a row, in the state [`RowState::Prepared`]. From then on its bytes may be sent.
    pub fn prepare(&self, new: &NewRow) -> Result<OutboxRow, OutboxError> {
        let mut connection = self.lock();
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = insert_row(&txn, new)?;
        let row = read_one(&txn, id)?;
        txn.commit()?;
        Ok(row)
    }

    /// One row.
    pub fn row(&self, id: RowId) -> Result<OutboxRow, OutboxError> {
        read_one(&self.lock(), id)
    }

    /// The rows whose fate is open on a chain, by nonce.
    pub fn live_rows(&self, chain: &ChainBlockHash) -> Result<Vec<OutboxRow>, OutboxError> {
        self.select(
            "SELECT * FROM outbox WHERE chain_genesis = ?1 AND state IN (1, 2, 3) ORDER BY nonce, id LIMIT ?2",
            params![chain.as_bytes(), ROWS_MAX],
        )
    }

    /// The newest rows, newest first.
    pub fn newest_rows(&self, limit: u32) -> Result<Vec<OutboxRow>, OutboxError> {
        self.select("SELECT * FROM outbox ORDER BY id DESC LIMIT ?1", params![limit.min(ROWS_MAX)])
    }

    /// The newest anchor of exactly this size, if it succeeded in a finalized block or may be in a best one.
    pub fn anchor_of(&self, chain: &ChainBlockHash, dag: DagId, size: u64) -> Result<Option<OutboxRow>, OutboxError> {
        let rows = self.select(
            "SELECT * FROM outbox WHERE kind = 2 AND chain_genesis = ?1 AND dag = ?2 AND size = ?3
             AND (state = 4 OR (state = 3 AND dispatch_error IS NULL)) ORDER BY id DESC LIMIT 1",
            params![chain.as_bytes(), dag, to_i64(size)?],
        )?;
        Ok(rows.into_iter().next())
    }

    /// The newest record of a block that succeeded in a finalized block or may be in a best one.
    pub fn record_of(
        &self,
        chain: &ChainBlockHash,
        dag: DagId,
        block_hash: &BlockHash,
    ) -> Result<Option<OutboxRow>, OutboxError> {
        let rows = self.select(
            "SELECT * FROM outbox WHERE kind = 3 AND chain_genesis = ?1 AND dag = ?2 AND block_hash = ?3
             AND (state = 4 OR (state = 3 AND dispatch_error IS NULL)) ORDER BY id DESC LIMIT 1",
            params![chain.as_bytes(), dag, block_hash.as_bytes()],
        )?;
        Ok(rows.into_iter().next())
    }

    /// The live creations, on whatever chain.
    pub fn live_creations(&self) -> Result<Vec<OutboxRow>, OutboxError> {
        self.select("SELECT * FROM outbox WHERE kind = 1 AND state IN (1, 2, 3) ORDER BY id LIMIT ?1", [ROWS_MAX])
    }

    /// The highest block of a chain in which a fate was settled. A node that has not reached it knows less than this outbox.
    pub fn highest_settled(&self, chain: &ChainBlockHash) -> Result<Option<Placement>, OutboxError> {
        let rows = self.select(
            "SELECT * FROM outbox WHERE chain_genesis = ?1 AND state IN (4, 5) ORDER BY in_block_number DESC LIMIT 1",
            params![chain.as_bytes()],
        )?;
        Ok(rows.into_iter().next().and_then(|row| row.placement))
    }

    /// Rows by state, over all chains.
    pub fn counts(&self) -> Result<Vec<(RowState, u64)>, OutboxError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT count(*) FROM outbox WHERE state = ?1")?;
        RowState::ALL
            .into_iter()
            .map(|state| {
                let count: i64 = statement.query_row([state.code()], |row| row.get(0))?;
                Ok((state, to_u64(count)?))
            })
            .collect()
    }

    /// Sizes of the greatest heads of the current binding's DAG: in a best block or finalized, and finalized. Creation
    /// anchors genesis; without a binding both are 0.
    pub fn anchored_sizes(&self) -> Result<(u64, u64), OutboxError> {
        let Some(binding) = self.current_binding()? else { return Ok((0, 0)) };
        let connection = self.lock();
        let greatest = |states: &str| -> Result<u64, OutboxError> {
            let size: i64 = connection.query_row(
                &format!(
                    "SELECT ifnull(max(size), 0) FROM outbox WHERE kind = 2 AND chain_genesis = ?1 AND dag = ?2
                     AND dispatch_error IS NULL AND state IN ({states})"
                ),
                params![binding.chain.as_bytes(), binding.dag],
                |row| row.get(0),
            )?;
            to_u64(size)
        };
        let finalized = greatest("4")?.max(binding.seen.size);
        Ok((greatest("3, 4")?.max(finalized), finalized))
    }

    /// Counts a sending that is about to begin.
    pub fn note_attempt(&self, id: RowId) -> Result<(), OutboxError> {
        self.update_live(id, "attempts = attempts + 1", &[])
    }

    /// Notes why the last sending did not succeed, or that it did.
    pub fn note_error(&self, id: RowId, error: Option<&str>) -> Result<(), OutboxError> {
        self.update_live(id, "last_error = :error", named_params! { ":error": error.map(truncated) })
    }

    /// A node took the extrinsic, or the block that held it fell out of the best chain.
    pub fn set_submitted(&self, id: RowId) -> Result<(), OutboxError> {
        self.update_live(id, &format!("state = 2, {IN_NO_BLOCK}"), &[])
    }

    /// Seen in a block of the best chain, where its call failed if there is an error.
    pub fn set_in_block(&self, id: RowId, at: &Placement, ended: &Ended<'_>) -> Result<(), OutboxError> {
        self.place(&self.lock(), id, RowState::InBlock, at, ended)
    }

    /// In a finalized block, where its call succeeded and an anchor got its number. A creation goes through [`Self::bind`].
    pub fn set_finalized(&self, id: RowId, at: &Placement, anchor: Option<AnchorNumber>) -> Result<(), OutboxError> {
        self.place(&self.lock(), id, RowState::Finalized, at, &Ended::Succeeded(anchor))
    }

    /// In a finalized block, where its call failed.
    pub fn set_failed(&self, id: RowId, at: &Placement, error: &str) -> Result<(), OutboxError> {
        self.place(&self.lock(), id, RowState::Failed, at, &Ended::Failed(error))
    }

    /// Its era is over and it is in none of the era's finalized blocks.
    pub fn set_expired(&self, id: RowId) -> Result<(), OutboxError> {
        self.update_live(id, &format!("state = 6, {IN_NO_BLOCK}"), &[])
    }

    /// A creation is finalized: its DAG becomes the current binding, in the same transaction.
    pub fn bind(&self, id: RowId, at: &Placement, new: &NewBinding) -> Result<Binding, OutboxError> {
        let mut connection = self.lock();
        let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row = read_one(&txn, id)?;
        self.place(&txn, id, RowState::Finalized, at, &Ended::Succeeded(None))?;
        txn.execute("UPDATE outbox SET dag = ?2 WHERE id = ?1", params![id.0, new.dag])?;
        txn.execute("UPDATE chain_binding SET is_current = 0 WHERE is_current = 1", [])?;
        txn.execute(
            "INSERT INTO chain_binding (chain_genesis, dag, owner, created_block_number, created_block_hash,
                predecessor, is_current, url, seen_size, seen_root, bound_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?9, ?10)",
            params![
                new.chain.as_bytes(),
                new.dag,
                new.owner.as_bytes(),
                to_i64(at.block_number)?,
                at.block_hash.as_bytes(),
                new.predecessor.map(|binding| binding.0),
                new.url,
                to_i64(row.purpose.head().size)?,
                row.purpose.head().root.as_bytes(),
                now_ms(),
            ],
        )?;
        let made = BindingId(txn.last_insert_rowid());
        let binding =
            txn.query_row("SELECT * FROM chain_binding WHERE id = ?1", [made.0], |row| Ok(read_binding(row)))??;
        txn.commit()?;
        Ok(binding)
    }

    fn place(
        &self,
        connection: &Connection,
        id: RowId,
        state: RowState,
        at: &Placement,
        ended: &Ended<'_>,
    ) -> Result<(), OutboxError> {
        let (anchor, error) = match ended {
            Ended::Succeeded(anchor) => (anchor.map(to_i64).transpose()?, None),
            Ended::Failed(error) => (None, Some(truncated(error))),
        };
        let changed = connection.execute(
            "UPDATE outbox SET state = ?2, in_block_number = ?3, in_block_hash = ?4, in_block_index = ?5,
                dispatch_error = ?6, updated_at_ms = ?7, anchor_number = iif(kind = 2, ?8, anchor_number)
             WHERE id = ?1 AND state IN (1, 2, 3)",
            params![
                id.0,
                state.code(),
                to_i64(at.block_number)?,
                at.block_hash.as_bytes(),
                at.extrinsic_index,
                error,
                now_ms(),
                anchor,
            ],
        )?;
        if changed == 1 { Ok(()) } else { Err(OutboxError::NotLive(id)) }
    }

    /// Changes a row that is still live; a fate once settled is never changed.
    fn update_live(
        &self,
        id: RowId,
        assignments: &str,
        values: &[(&str, &dyn rusqlite::ToSql)],
    ) -> Result<(), OutboxError> {
        let now = now_ms();
        let mut all: Vec<(&str, &dyn rusqlite::ToSql)> = vec![(":id", &id.0), (":now", &now)];
        all.extend_from_slice(values);
        let changed = self.lock().execute(
            &format!("UPDATE outbox SET {assignments}, updated_at_ms = :now WHERE id = :id AND state IN (1, 2, 3)"),
            all.as_slice(),
        )?;
        if changed == 1 { Ok(()) } else { Err(OutboxError::NotLive(id)) }
    }

    fn select(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<OutboxRow>, OutboxError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| Ok(read_row(row)))?;
        rows.map(|row| row?).collect()
    }

    /// A thread that panicked while it held the connection left no half-done transaction: dropping one rolls it back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options() -> Options {
    Options { cache_bytes: CACHE_BYTES, busy_timeout: BUSY_TIMEOUT, ..Options::default() }
}

/// The database file, which is never made here.
fn existing(dir: &Path) -> Result<PathBuf, OutboxError> {
    let file = dir.join(DATABASE_FILE);
    if file.is_file() { Ok(file) } else { Err(BackendError::NotFound(dir.to_owned()).into()) }
}

fn insert_row(txn: &Transaction<'_>, new: &NewRow) -> Result<RowId, OutboxError> {
    let (kind, base_size, anchor, block_hash, predecessor) = match &new.purpose {
        Purpose::CreateDag { predecessor, .. } => (1, None, None, None, predecessor.map(|binding| binding.0)),
        Purpose::Anchor { base_size, .. } => (2, Some(to_i64(*base_size)?), None, None, None),
        Purpose::RecordProof { anchor, block_hash, .. } => {
            (3, None, Some(to_i64(*anchor)?), Some(block_hash.to_bytes()), None)
        }
    };
    let (head, signed, now) = (new.purpose.head(), &new.signed, now_ms());
    let inserted = txn.execute(
        "INSERT INTO outbox (kind, state, chain_genesis, dag, size, root, base_size, anchor_number, block_hash,
            predecessor, signer, nonce, era_birth, era_birth_hash, era_period, extrinsic, extrinsic_hash,
            prepared_at_ms, updated_at_ms)
         VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17)",
        params![
            kind,
            new.chain.as_bytes(),
            new.purpose.dag(),
            to_i64(head.size)?,
            head.root.as_bytes(),
            base_size,
            anchor,
            block_hash,
            predecessor,
            signed.signer.as_bytes(),
            to_i64(signed.nonce)?,
            to_i64(signed.era.birth)?,
            signed.era.birth_hash.as_bytes(),
            to_i64(signed.era.period)?,
            signed.bytes,
            signed.hash.as_bytes(),
            now,
        ],
    );
    match inserted {
        Ok(_) => Ok(RowId(txn.last_insert_rowid())),
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            Err(OutboxError::AlreadyLive)
        }
        Err(error) => Err(error.into()),
    }
}

fn read_one(connection: &Connection, id: RowId) -> Result<OutboxRow, OutboxError> {
    connection
        .query_row("SELECT * FROM outbox WHERE id = ?1", [id.0], |row| Ok(read_row(row)))
        .optional()?
        .ok_or(OutboxError::Damaged("a row is gone"))?
}

fn read_row(row: &Row<'_>) -> Result<OutboxRow, OutboxError> {
    let head = Head { size: unsigned(row, "size")?, root: LogRoot::new(row.get("root")?) };
    let dag: Option<DagId> = row.get("dag")?;
    let with_dag = || dag.ok_or(OutboxError::Damaged("a row names no DAG"));
    let purpose = match row.get::<_, i64>("kind")? {
        1 => Purpose::CreateDag { head, predecessor: row.get::<_, Option<i64>>("predecessor")?.map(BindingId) },
        2 => Purpose::Anchor { dag: with_dag()?, head, base_size: unsigned(row, "base_size")? },
        3 => Purpose::RecordProof {
            dag: with_dag()?,
            anchor: unsigned(row, "anchor_number")?,
            head,
            block_hash: BlockHash::new(row.get("block_hash")?),
        },
        _ => return Err(OutboxError::Damaged("a row has an unknown kind")),
    };
    Ok(OutboxRow {
        id: RowId(row.get("id")?),
        chain: ChainBlockHash::new(row.get("chain_genesis")?),
        purpose,
        state: RowState::from_code(row.get("state")?).ok_or(OutboxError::Damaged("a row has an unknown state"))?,
        signed: SignedExtrinsic {
            bytes: row.get("extrinsic")?,
            hash: ExtrinsicHash::new(row.get("extrinsic_hash")?),
            signer: AccountId::new(row.get("signer")?),
            nonce: unsigned(row, "nonce")?,
            era: Era {
                birth: unsigned(row, "era_birth")?,
                birth_hash: ChainBlockHash::new(row.get("era_birth_hash")?),
                period: unsigned(row, "era_period")?,
            },
        },
        attempts: unsigned(row, "attempts")?,
        last_error: row.get("last_error")?,
        placement: read_placement(row)?,
        anchor_number: row.get::<_, Option<i64>>("anchor_number")?.map(to_u64).transpose()?,
        dispatch_error: row.get("dispatch_error")?,
        prepared_at_ms: row.get("prepared_at_ms")?,
        updated_at_ms: row.get("updated_at_ms")?,
    })
}

fn read_placement(row: &Row<'_>) -> Result<Option<Placement>, OutboxError> {
    let Some(hash) = row.get::<_, Option<[u8; 32]>>("in_block_hash")? else { return Ok(None) };
    Ok(Some(Placement {
        block_number: unsigned(row, "in_block_number")?,
        block_hash: ChainBlockHash::new(hash),
        extrinsic_index: row.get("in_block_index")?,
    }))
}

fn read_binding(row: &Row<'_>) -> Result<Binding, OutboxError> {
    Ok(Binding {
        id: BindingId(row.get("id")?),
        chain: ChainBlockHash::new(row.get("chain_genesis")?),
        dag: row.get("dag")?,
        owner: AccountId::new(row.get("owner")?),
        created_block_number: unsigned(row, "created_block_number")?,
        created_block_hash: ChainBlockHash::new(row.get("created_block_hash")?),
        predecessor: row.get::<_, Option<i64>>("predecessor")?.map(BindingId),
        is_current: row.get("is_current")?,
        url: row.get("url")?,
        seen: Head { size: unsigned(row, "seen_size")?, root: LogRoot::new(row.get("seen_root")?) },
    })
}

fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, OutboxError> {
    to_u64(row.get(column)?)
}

fn to_u64(value: i64) -> Result<u64, OutboxError> {
    u64::try_from(value).map_err(|_| OutboxError::Damaged("a count is negative"))
}

fn to_i64(value: u64) -> Result<i64, OutboxError> {
    i64::try_from(value).map_err(|_| OutboxError::Damaged("a number is above 2^63"))
}

/// Texts come from nodes, which may say a lot.
fn truncated(text: &str) -> &str {
    const TEXT_BYTES_MAX: usize = 1024;
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn now_ms() -> i64 {
    // A clock before 1970 is noted as 1970: the times are for people to read, no decision rests on them.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
