//! The tables of [`crate::anchor`]: the DAGs on chains that this repository is bound to, and the outbox of signed extrinsics.
//!
//! | table | row | written |
//! |---|---|---|
//! | `chain_binding` | a DAG on a chain that anchors this log; at most one is current | when its creation is finalized |
//! | `outbox` | one signed extrinsic, its bytes and what became of it | before the bytes are sent, then as it goes on |
//!
//! A row of the outbox is never deleted and its bytes never change: it is the proof that a fee was, or was not, paid.

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
    -- Of a record: the anchor it is proved against, and the block.
    anchor_number INTEGER CHECK (anchor_number >= 1),
    block_hash BLOB CHECK (length(block_hash) = 32),
    -- Of a succession: the binding it ends.
    predecessor INTEGER REFERENCES chain_binding (id),
    signer BLOB NOT NULL CHECK (length(signer) = 32),
    nonce INTEGER NOT NULL CHECK (nonce >= 0),
    -- Valid in blocks above era_birth and below era_birth + era_period.
    era_birth INTEGER NOT NULL CHECK (era_birth >= 0),
    era_birth_hash BLOB NOT NULL CHECK (length(era_birth_hash) = 32),
    era_period INTEGER NOT NULL CHECK (era_period BETWEEN 4 AND 65536),
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
    CHECK ((kind = 3) = (block_hash IS NOT NULL AND anchor_number IS NOT NULL)),
    CHECK (kind = 1 OR dag IS NOT NULL),
    CHECK (state NOT IN (3, 4, 5)
        OR (in_block_number IS NOT NULL AND in_block_hash IS NOT NULL AND in_block_index IS NOT NULL)),
    CHECK (state <> 5 OR dispatch_error IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX outbox_live_purpose
    ON outbox (kind, chain_genesis, ifnull(dag, -1), size, ifnull(block_hash, x'')) WHERE state IN (1, 2, 3);
CREATE UNIQUE INDEX outbox_live_nonce ON outbox (chain_genesis, signer, nonce) WHERE state IN (1, 2, 3);
CREATE INDEX outbox_by_state ON outbox (state, kind, size);
";
