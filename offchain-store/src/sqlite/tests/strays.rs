//! What somebody wrote into the tables by hand: rows that stand where none can, and rows that were moved or say something else.

use super::*;
use crate::{check::Problem, metadata::Metadata};

/// Columns of a block and of a payload but for their numbers.
const BLOCK: &str = "payload_id, metadata_id, depth, timestamp_key, slices_before, codec, stored_size, compression,
    block_hash, parents, way";
const PAYLOAD: &str = "kind, refs, compression, original_size, stored_size, hash, bytes";

fn of_blocks(count: u64) -> (tempfile::TempDir, Log) {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(count)).unwrap();
    (folder, log)
}

/// A check finds the damage; a repair mends all of it and loses nothing, and what comes then is kept.
#[track_caller]
fn assert_mended(folder: &tempfile::TempDir, mut log: Log, damage: &str) -> repair::RepairReport {
    let size = log.newest.len() as u64;
    tamper(folder, damage);
    assert_ne!(problems(folder), [], "{damage}");
    let report = repaired(folder);
    assert!(report.is_whole(), "{damage}: {report:?}");
    assert_eq!(problems(folder), [], "{damage}");
    assert_eq!(open(folder, Access::Read).unwrap().totals().unwrap().blocks, size, "{damage}");
    let backend = open(folder, Access::Write).unwrap();
    backend.commit(log.batch(600 - size)).unwrap();
    for block in &log.newest {
        assert_eq!(backend.block(block.leaf_index()).unwrap().as_ref(), Some(block), "{damage}");
        assert!(backend.chunk(&block.header().content_hash).unwrap().is_some(), "{damage}");
    }
    drop(backend);
    assert_eq!(problems(folder), [], "{damage}");
    report
}

#[test]
fn a_row_that_stands_where_none_can_is_told_and_taken_away_and_lengthens_nothing() {
    for damage in [
        "INSERT INTO log_tiles VALUES (0, zeroblob(2016))".to_owned(),
        "INSERT INTO log_tiles VALUES (-1, zeroblob(2016)), (9223372036854775807, zeroblob(2016))".to_owned(),
        // The node above the first two tiles, one of a level that stands in tiles, and no node.
        "INSERT INTO log_nodes VALUES (511, zeroblob(32)), (7, zeroblob(32)), (-1, zeroblob(32))".to_owned(),
        "INSERT INTO log_nodes VALUES (9223372036854775807, zeroblob(32))".to_owned(),
        format!("INSERT INTO blocks (leaf_index, {BLOCK}) SELECT 64, {BLOCK} FROM blocks WHERE leaf_index = 63"),
        format!("INSERT INTO blocks (leaf_index, {BLOCK}) SELECT 5000, {BLOCK} FROM blocks WHERE leaf_index = 63"),
        format!("INSERT INTO blocks (leaf_index, {BLOCK}) SELECT -3, {BLOCK} FROM blocks WHERE leaf_index = 63"),
        format!("INSERT INTO blocks (leaf_index, {BLOCK}) SELECT 9223372036854775807, {BLOCK} FROM blocks LIMIT 1"),
        format!("INSERT INTO payloads (payload_id, {PAYLOAD}) SELECT 65, {PAYLOAD} FROM payloads WHERE payload_id = 9"),
        format!("INSERT INTO payloads (payload_id, {PAYLOAD}) SELECT 70, {PAYLOAD} FROM payloads WHERE payload_id = 9"),
        format!(
            "INSERT INTO payloads (payload_id, {PAYLOAD}) SELECT -70, {PAYLOAD} FROM payloads WHERE payload_id = 9"
        ),
        format!(
            "INSERT INTO payloads (payload_id, {PAYLOAD}) SELECT 9223372036854775807, {PAYLOAD} FROM payloads LIMIT 1"
        ),
        "INSERT INTO payloads VALUES (9223372036854775807, 1, 4, 3, 100, 100, NULL, NULL)".to_owned(),
        "INSERT INTO late_names VALUES (-1, 1)".to_owned(),
        "INSERT INTO late_names VALUES (9223372036854775807, 1)".to_owned(),
        "INSERT INTO packs VALUES (4294967295, 0)".to_owned(),
    ] {
        let (folder, log) = of_blocks(64);
        let report = assert_mended(&folder, log, &damage);
        assert!(report.rows_removed > 0 && report.rows_corrected == 0, "{damage}: {report:?}");
    }
}

#[test]
fn sums_that_tell_of_other_blocks_than_there_are_are_not_believed() {
    for damage in ["blocks = 65", "blocks = 60", "blocks = 1000", "blocks = 1, edges = 9", "payload_next = 1"] {
        let (folder, log) = of_blocks(64);
        assert!(assert_mended(&folder, log, &format!("UPDATE totals SET {damage}")).totals_corrected);
    }
}

#[test]
fn sums_that_are_exactly_those_of_fewer_blocks_bear_no_copy_of_a_row_out() {
    let (folder, log) = of_blocks(64);
    let copy = format!(
        "INSERT INTO blocks (leaf_index, {BLOCK}) SELECT 64, {BLOCK} FROM blocks WHERE leaf_index = 63;
        UPDATE totals SET blocks = 65"
    );
    assert_eq!(assert_mended(&folder, log, &copy).rows_removed, 1);
}

#[test]
fn a_block_that_is_lost_at_the_end_is_told_though_one_of_the_sums_is_damaged_too() {
    for sum in ["frontier = -1", "original_bytes = -1", "depth_sum = -1", "depth_sum = 0", "edges = 0", "slices = 0"] {
        let (folder, _) = of_blocks(64);
        tamper(&folder, &format!("DELETE FROM blocks WHERE leaf_index = 63; UPDATE totals SET {sum}"));
        for _ in 0..2 {
            let report = repaired(&folder);
            assert_eq!((report.is_whole(), report.blocks_lost), (false, vec![63]), "{sum}");
        }
    }
}

#[test]
fn a_sum_that_leaves_no_room_is_not_kept_for_a_block_that_is_lost() {
    for sum in ["slices = slices + 1", "depth_sum = 9223372036854775807", "original_bytes = 9223372036854775807"] {
        let (folder, mut log) = of_blocks(64);
        tamper(
            &folder,
            &format!("UPDATE blocks SET block_hash = zeroblob(32) WHERE leaf_index = 9; UPDATE totals SET {sum}"),
        );
        assert!(!repaired(&folder).is_whole());
        open(&folder, Access::Write).unwrap().commit(log.batch(10)).unwrap();
    }
}

#[test]
fn how_many_contents_were_named_late_follows_from_their_rows() {
    for damage in ["late_sequence = -1", "late_sequence = 7"] {
        let (folder, mut log) = of_blocks(64);
        tamper(&folder, &format!("UPDATE totals SET {damage}"));
        assert!(repaired(&folder).is_whole(), "{damage}");
        assert_eq!(problems(&folder), [], "{damage}");
        open(&folder, Access::Write).unwrap().commit(log.batch(10)).unwrap();
    }
    let (folder, log) = of_blocks(64);
    assert_mended(&folder, log, "INSERT INTO late_names VALUES (-1, 1); UPDATE totals SET edges = edges - 1");
}

#[test]
fn a_number_that_nobody_gave_a_pack_is_in_no_ones_way() {
    let (folder, _) = of_blocks(64);
    tamper(&folder, "INSERT INTO packs VALUES (99999999, 0)");
    let report = repaired(&folder);
    assert!(report.is_whole() && report.rows_removed == 1, "{report:?}");
    assert_eq!(count(&folder, "packs"), 0);
}

#[test]
fn no_put_fails_for_a_stray_node_of_the_log() {
    let (folder, mut log) = of_blocks(64);
    tamper(
        &folder,
        "INSERT INTO log_tiles VALUES (0, zeroblob(2016)), (1, zeroblob(2016));
        INSERT INTO log_nodes VALUES (511, zeroblob(32))",
    );
    let told: Vec<_> = problems(&folder);
    let stray = |table, number| Problem::StrayRow { table, number };
    assert_eq!(told, [stray("log_tiles", 0), stray("log_tiles", 1), stray("log_nodes", 511)]);
    open(&folder, Access::Write).unwrap().commit(log.batch(536)).unwrap();
    assert_eq!(problems(&folder), []);
}

#[test]
fn a_restored_repository_is_as_long_as_its_rows_though_a_longer_head_was_seen() {
    let (folder, _) = of_blocks(64);
    tamper(
        &folder,
        "INSERT INTO chain_binding VALUES (1, zeroblob(32), 0, zeroblob(32), 1, zeroblob(32), NULL, 1, 'ws://127.0.0.1:1', 100,
            zeroblob(32), 0)",
    );
    assert!(repaired(&folder).is_whole());
    assert_eq!(open(&folder, Access::Read).unwrap().totals().unwrap().blocks, 64);
    // With the sums that say so too, the blocks are lost.
    tamper(&folder, "UPDATE totals SET blocks = 66");
    assert_eq!(repaired(&folder).blocks_lost, [64, 65]);
}

#[test]
fn an_anchor_that_is_final_tells_by_itself_of_blocks_that_are_lost() {
    let (folder, _) = of_blocks(64);
    tamper(
        &folder,
        "INSERT INTO outbox (id, kind, state, chain_genesis, dag, size, root, base_size, signer, nonce, era_birth, era_birth_hash,
            era_period, extrinsic, extrinsic_hash, in_block_number, in_block_hash, in_block_index, prepared_at_ms, updated_at_ms)
            VALUES (1, 2, 4, zeroblob(32), 0, 66, zeroblob(32), 1, zeroblob(32), 0, 0, zeroblob(32), 4, x'00', zeroblob(32),
            1, zeroblob(32), 0, 0, 0)",
    );
    for _ in 0..2 {
        assert_eq!(repaired(&folder).blocks_lost, [64, 65]);
    }
}

#[test]
fn blocks_lost_at_the_end_are_told_again_and_again() {
    for lost in [1, 10, 299, 300] {
        let (folder, _) = of_blocks(300);
        tamper(&folder, &format!("DELETE FROM blocks WHERE leaf_index >= {}", 300 - lost));
        for _ in 0..2 {
            let report = repaired(&folder);
            assert_eq!((report.blocks_lost_count, report.is_whole()), (lost, false));
            assert!(report.remaining_count >= lost);
        }
    }
}

#[test]
fn a_row_that_was_moved_goes_back() {
    for damage in [
        "UPDATE blocks SET leaf_index = 5000 WHERE leaf_index = 63",
        "UPDATE blocks SET leaf_index = -1 WHERE leaf_index = 10",
        "UPDATE blocks SET leaf_index = 1 << 50 WHERE leaf_index IN (0)",
        "UPDATE payloads SET payload_id = 5000 WHERE payload_id = 11",
        "UPDATE payloads SET payload_id = -5 WHERE payload_id = 1",
        "UPDATE payloads SET payload_id = 1 << 60 WHERE payload_id = 64",
    ] {
        let (folder, log) = of_blocks(64);
        assert_eq!(assert_mended(&folder, log, damage).rows_corrected, 1, "{damage}");
    }
}

#[test]
fn what_something_names_under_a_number_that_cannot_be_gets_one_that_can() {
    for number in ["9223372036854775807", "-9223372036854775808", "0", "1 << 60"] {
        let (folder, log, _) = with_a_list();
        tamper(
            &folder,
            &format!(
                "UPDATE payloads SET payload_id = {number} WHERE payload_id = 5;
                UPDATE payload_chunks SET payload_id = {number};
                UPDATE blocks SET payload_id = {number} WHERE payload_id = 5"
            ),
        );
        let report = repaired(&folder);
        assert!(report.is_whole() && report.rows_corrected == 1, "{number}: {report:?}");
        let backend = open(&folder, Access::Read).unwrap();
        assert_eq!(backend.chunks(&log.newest[2].header().content_hash, 0, 9).unwrap().len(), 2, "{number}");
    }
}

#[test]
fn a_number_far_beyond_all_others_takes_neither_time_nor_memory() {
    for damage in [
        format!(
            "INSERT INTO blocks (leaf_index, {BLOCK}) SELECT 1 << 47, {BLOCK} FROM blocks LIMIT 1;
            UPDATE totals SET blocks = (1 << 47) + 1"
        ),
        format!(
            "INSERT INTO blocks (leaf_index, {BLOCK}) SELECT 1 << 62, {BLOCK} FROM blocks LIMIT 1;
            UPDATE totals SET blocks = (1 << 62) + 1"
        ),
    ] {
        let (folder, log) = of_blocks(64);
        tamper(&folder, &damage);
        for access in [Access::Read, Access::Write] {
            assert!(matches!(open(&folder, access), Err(BackendError::Damaged(_))), "{damage}");
        }
        // All other sums are those of the blocks that there are: the row is none of them.
        let report = repaired(&folder);
        assert_eq!((report.rows_removed, report.is_whole()), (1, true), "{damage}: {report:?}");
        assert_eq!(open(&folder, Access::Read).unwrap().block(63).unwrap().as_ref(), log.newest.last());
    }
}

/// Two blocks without metadata, two with one each.
fn with_metadata() -> (tempfile::TempDir, Log) {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(2);
    for number in 0..2u8 {
        let metadata = Metadata::from_texts(&[("parcel".to_owned(), number.to_string())].into()).unwrap();
        batch.metadata.push((metadata.hash(), metadata.as_bytes().to_vec()));
        let content = [b'm', number];
        batch.chunks.push(chunk(&content));
        log.add_with(&mut batch, &content, metadata.hash());
    }
    backend.commit(batch).unwrap();
    (folder, log)
}

#[test]
fn a_block_that_names_the_wrong_metadata_gets_its_own_back() {
    for damage in [
        "UPDATE blocks SET metadata_id = 99 WHERE leaf_index = 0",
        "UPDATE blocks SET metadata_id = 1 WHERE leaf_index = 1",
        "UPDATE blocks SET metadata_id = 99 WHERE leaf_index = 2",
        "UPDATE blocks SET metadata_id = NULL WHERE leaf_index = 3",
        "UPDATE blocks SET metadata_id = 3 - metadata_id",
        "UPDATE metadata SET hash = zeroblob(32) WHERE metadata_id = 2",
        "UPDATE metadata SET hash = randomblob(32)",
    ] {
        let (folder, log) = with_metadata();
        assert!(assert_mended(&folder, log, damage).rows_corrected > 0, "{damage}");
    }
}

#[test]
fn a_metadata_map_that_was_changed_is_told_and_not_called_whole() {
    let (folder, _) = with_metadata();
    tamper(&folder, "UPDATE metadata SET map = x'a0' WHERE metadata_id = 2");
    for _ in 0..2 {
        let report = repaired(&folder);
        assert!(!report.is_whole() && report.remaining == problems(&folder), "{report:?}");
        assert!(matches!(report.remaining[..], [Problem::WrongMetadata { leaf_index: 3, .. }]), "{report:?}");
    }
}

#[test]
fn a_list_that_tells_of_no_compression_or_of_another_size_is_made_right() {
    let (_, refs, content) = two_chunks();
    for damage in ["compression = 99", "compression = -1", "compression = 300", "original_size = original_size + 1"] {
        let (folder, log, _) = with_a_list();
        tamper(&folder, &format!("UPDATE payloads SET {damage} WHERE kind = 1"));
        assert_ne!(problems(&folder), [], "{damage}");
        let report = repaired(&folder);
        assert!(report.is_whole() && report.rows_corrected == 1, "{damage}: {report:?}");
        assert_eq!(problems(&folder), [], "{damage}");
        let backend = open(&folder, Access::Read).unwrap();
        assert_eq!(backend.block(2).unwrap().as_ref(), log.newest.last());
        assert_eq!(backend.payload(&hash(&content)).unwrap(), Some(info(2000)));
        assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs);
    }
}

#[test]
fn a_content_is_what_its_chunks_are_whatever_stands_beside_them() {
    let (_, refs, content) = two_chunks();
    for damage in [
        "UPDATE payloads SET bytes = x'00' WHERE payload_id = 5",
        "UPDATE payloads SET kind = 0 WHERE payload_id = 5",
        "UPDATE payloads SET kind = 0, bytes = x'00' WHERE payload_id = 5",
        "INSERT INTO payload_chunks VALUES (5, -5, 9999)",
        "INSERT INTO payload_chunks VALUES (5, 500, 1)",
        "INSERT INTO payload_chunks VALUES (5, 2000, 1)",
        "UPDATE payload_chunks SET start_offset = 1001 WHERE start_offset = 1000",
        "UPDATE payload_chunks SET start_offset = -1 WHERE start_offset = 0",
    ] {
        let (folder, log, _) = with_a_list();
        tamper(&folder, damage);
        let report = repaired(&folder);
        assert!(report.is_whole() && report.rows_corrected > 0, "{damage}: {report:?}");
        assert_eq!(problems(&folder), [], "{damage}");
        let backend = open(&folder, Access::Read).unwrap();
        assert_eq!(backend.block(2).unwrap().as_ref(), log.newest.last());
        assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs, "{damage}");
    }
}

/// A repository with a name and a strategy, what was put, and its settings.
fn named() -> (tempfile::TempDir, Vec<(String, Vec<u8>)>) {
    let folder = tempfile::tempdir().unwrap();
    let strategy = "recent-only:3".parse().unwrap();
    let options = InitOptions { name: "land titles".into(), strategy, ..InitOptions::default() };
    let (engine, _) = StorageEngine::init(folder.path(), &options, Config::default()).unwrap();
    engine.store(&b"a deed"[..], None).unwrap();
    drop(engine);
    let settings = settings_of(&folder);
    (folder, settings)
}

fn settings_of(folder: &tempfile::TempDir) -> Vec<(String, Vec<u8>)> {
    use crate::bulk::BulkBackend;
    open(folder, Access::Read).unwrap().settings().unwrap()
}

#[test]
fn damaged_settings_keep_nobody_from_reading_and_a_repair_makes_them_anew() {
    for (damage, lost) in [
        ("UPDATE settings SET value = x'00' WHERE key = 'name'", &[][..]),
        ("DELETE FROM settings WHERE key = 'name'", &[]),
        ("UPDATE settings SET value = x'ff' WHERE key = 'strategy'", &[]),
        ("UPDATE settings SET value = CAST('depth-balanced' AS BLOB) WHERE key = 'strategy'", &[]),
        ("DELETE FROM settings WHERE key IN ('strategy', 'name')", &[]),
        ("UPDATE settings SET value = x'00' WHERE key = 'instance'", &["strategy"]),
        ("UPDATE settings SET value = zeroblob(32) WHERE key = 'checksum'", &["strategy"]),
        ("DELETE FROM settings", &["strategy"]),
        ("INSERT INTO settings VALUES ('keep_for_ms', x'0102')", &["strategy"]),
    ] {
        let (folder, before) = named();
        tamper(&folder, damage);
        let flags = Default::default();
        let engine = StorageEngine::open(folder.path(), Access::Write, &flags).unwrap();
        let block = engine.resolve("@1").unwrap();
        assert_eq!(&*engine.retrieve(&block.block_hash()).unwrap(), b"a deed", "{damage}");
        let refused = engine.store(&b"another deed"[..], None).unwrap_err().to_string();
        assert!(refused.contains("setting"), "{damage}: {refused}");
        drop(engine);
        assert_ne!(problems(&folder), [], "{damage}");
        let report = repaired(&folder);
        assert_eq!(
            (report.settings_lost.as_slice(), report.is_whole()),
            (lost, lost.is_empty()),
            "{damage}: {report:?}"
        );
        assert_eq!((report.settings_corrected, problems(&folder)), (1, vec![]), "{damage}");
        let engine = StorageEngine::open(folder.path(), Access::Write, &flags).unwrap();
        assert_eq!(engine.name().unwrap(), "land titles", "{damage}");
        engine.store(&b"another deed"[..], None).unwrap();
        drop(engine);
        if lost.is_empty() {
            assert_eq!(settings_of(&folder), before, "{damage}");
        }
        assert!(repaired(&folder).is_whole(), "{damage}");
    }
}

#[test]
fn sums_that_tell_of_no_block_are_damage_and_no_reason_to_make_another_genesis() {
    for damage in ["UPDATE totals SET blocks = 0", "DELETE FROM totals"] {
        let (folder, _) = named();
        tamper(&folder, damage);
        let flags = Default::default();
        let is_damage = |error: crate::engine::OpenError| {
            matches!(error, crate::engine::OpenError::Backend(BackendError::Damaged(_)))
        };
        for access in [Access::Read, Access::Write] {
            assert!(is_damage(StorageEngine::open(folder.path(), access, &flags).err().unwrap()), "{damage}");
        }
        let again = StorageEngine::init(folder.path(), &InitOptions::default(), Config::default());
        assert!(is_damage(again.err().unwrap()), "{damage}");
        assert!(repaired(&folder).is_whole(), "{damage}");
        assert_eq!(problems(&folder), [], "{damage}");
    }
}
