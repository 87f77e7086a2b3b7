//! Damaged repositories: what is wrong is named, what is right is still given, and nothing is lost.

use super::{Shop, number, text};
use rusqlite::Connection;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Content of several chunks with small ones.
fn content() -> Vec<u8> {
    (0..40_000u32).flat_map(|index| (index.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
}

/// Overwrites bytes of a file.
fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut before = vec![0; bytes.len()];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut before).unwrap();
    assert_ne!(before, bytes);
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_file_that_is_no_database_any_more_is_damaged_and_not_missing() {
    for bytes in [&b"not SQLite"[..], &[0; 100]] {
        let shop = Shop::new();
        overwrite(&shop.database(), 0, bytes);
        let before = fs::read(shop.database()).unwrap();
        shop.write("file", "content");
        for arguments in [&["head"][..], &["put", "file"], &["check"], &["status"], &["repair"], &["init"]] {
            let complaint = shop.complaint(1, arguments);
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
            let is_named = complaint.contains("the repository is damaged") || complaint.contains("beyond repair here");
            assert!(is_named, "{arguments:?}: {complaint}");
        }
        assert!(fs::read(shop.database()).unwrap() == before, "nobody wrote to it");
    }
    let shop = Shop::new();
    overwrite(&shop.database(), 0, b"not SQLite");
    insta::assert_snapshot!("no_database", shop.complaint(1, &["head"]) + &shop.complaint(1, &["repair"]));
}

#[test]
fn an_empty_or_cut_file_is_damaged() {
    for size in [0, 100, 8192, 20_000] {
        let shop = Shop::new();
        shop.put("file", content());
        File::options().write(true).open(shop.database()).unwrap().set_len(size).unwrap();
        for arguments in [&["log"][..], &["check", "--full"]] {
            let done = shop.run(arguments);
            assert!(matches!(done.code, Some(1 | 3)), "{size}: {done:?}");
            let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), done.stderr);
            assert!(!said.contains("panicked"), "{size}: {said}");
            assert!(
                ["damaged", "problems", "not completely made"].iter().any(|word| said.contains(word)),
                "{size}: {said}"
            );
        }
    }
}

#[test]
fn a_changed_payload_is_refused_by_get_and_found_by_a_full_check() {
    let shop = Shop::new();
    let good = shop.put("good", "good");
    shop.write("bad", content());
    let item = shop.object(&["put", "bad", "--chunk-size", "4KiB", "--compression", "none"]);
    let bad = text(&item, "block");
    assert!(number(&shop.object(&["stats"]), "chunks") > 10);
    // One byte of a chunk in the middle, as a failing disk would have it.
    let pack = shop.path(".pakit/packs/00000001.pack");
    let bytes = fs::read(&pack).unwrap();
    let needle = &content()[80_000..80_064];
    let at = bytes.windows(needle.len()).position(|window| window == needle).expect("stored as it is");
    overwrite(&pack, at as u64 + 7, &[needle[7] ^ 1]);

    let done = shop.run(&["get", &bad]).with_code(1);
    insta::assert_snapshot!("changed_payload", shop.normalized(&done.stderr));
    assert!(done.stderr.contains(&bad), "it names the block");
    assert!(content().starts_with(&done.stdout) && done.stdout.len() < content().len(), "nothing wrong was handed out");
    // A file is only there when all of it was right.
    let complaint = shop.complaint(1, &["get", &bad, "-o", "out"]);
    assert!(complaint.contains("damaged") && !shop.path("out").exists(), "{complaint}");
    assert_eq!(shop.ok(&["get", &good]), b"good");
    // A part is only right as a part of something that is right.
    shop.run(&["get", &bad, "--range", "0-99"]).with_code(1);

    assert_eq!(shop.object(&["check"])["problem_count"], json!(0), "it reads no payload");
    let done = shop.run(&["--json", "check", "--full"]).with_code(1);
    let report = super::objects(&done.stdout).remove(0);
    assert!(number(&report, "problem_count") >= 1 && done.stderr.is_empty(), "{report}");
    // Putting it again is no cure that is done silently: the chunk is known, and check still says so.
    let text = String::from_utf8(shop.run(&["check", "--full"]).with_code(1).stdout).unwrap();
    assert!(text.contains("problems:") && text.lines().count() > 1, "{text}");
}

#[test]
fn a_changed_header_is_found_by_whatever_reads_it() {
    let shop = Shop::new();
    let block = shop.put("file", "content of the file");
    let other = shop.put("other", "other");
    let database = Connection::open(shop.database()).unwrap();
    let changed = database.execute("UPDATE blocks SET timestamp_key = timestamp_key + 1 WHERE leaf_index = 1", []);
    assert_eq!(changed.unwrap(), 1);
    drop(database);
    for arguments in [&["show", block.as_str()][..], &["get", &block], &["prove", &block], &["log"]] {
        let done = shop.run(arguments).with_code(1);
        assert!(done.stderr.contains("the repository is damaged"), "{arguments:?}: {}", done.stderr);
    }
    let report = super::objects(&shop.run(&["--json", "check"]).with_code(1).stdout).remove(0);
    assert!(number(&report, "problem_count") >= 1, "{report}");
    assert_eq!(shop.ok(&["get", &other]), b"other");
}

#[test]
fn a_missing_table_is_damage() {
    let shop = Shop::new();
    let database = Connection::open(shop.database()).unwrap();
    let tables: Vec<String> = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(tables.len() > 5, "{tables:?}");
    drop(database);
    for table in tables {
        let shop = Shop::new();
        let database = Connection::open(shop.database()).unwrap();
        database.pragma_update(None, "foreign_keys", 0).unwrap();
        database.execute(&format!("ALTER TABLE \"{table}\" RENAME TO gone"), []).unwrap();
        drop(database);
        shop.write("file", "content");
        for arguments in [&["put", "file"][..], &["check", "--full"], &["status"], &["stats"], &["query"]] {
            let done = shop.run(arguments);
            assert!(matches!(done.code, Some(0 | 1)), "{table}, {arguments:?}: {done:?}");
            assert!(!done.stderr.contains("panicked"), "{table}, {arguments:?}: {}", done.stderr);
            if done.code == Some(3) || (done.code == Some(1) && done.stdout.is_empty()) {
                assert!(done.stderr.contains("damaged"), "{table}, {arguments:?}: {}", done.stderr);
            }
        }
    }
}

#[test]
fn lost_blocks_are_named_once_and_a_damaged_hash_costs_no_block() {
    let shop = Shop::new();
    for index in 0..20 {
        shop.put(&format!("{index}"), format!("content {index}"));
    }
    let database = Connection::open(shop.database()).unwrap();
    database.pragma_update(None, "foreign_keys", 0).unwrap();
    database.execute("UPDATE blocks SET timestamp_key = timestamp_key + 1 WHERE leaf_index = 7", []).unwrap();
    let sql = "UPDATE payloads SET hash = randomblob(32)
        WHERE payload_id = (SELECT payload_id FROM blocks WHERE leaf_index = 9)";
    database.execute(sql, []).unwrap();
    database.execute("DELETE FROM blocks WHERE leaf_index = 20", []).unwrap();
    drop(database);
    let problems = |expected: &[u64]| {
        let report = super::objects(&shop.run(&["--json", "check", "--full"]).with_code(1).stdout).remove(0);
        let problems = report["problems"].as_array().unwrap();
        let named: Vec<u64> = (0..=20)
            .filter(|leaf_index| {
                let said = |problem: &serde_json::Value| {
                    problem["place"] == json!(format!("block {leaf_index}"))
                        || problem["leaf_index"] == json!(leaf_index)
                };
                problems.iter().any(said)
            })
            .collect();
        assert_eq!((named.as_slice(), problems.len()), (expected, expected.len()), "{report}");
    };
    shop.run(&["repair"]).with_code(1);
    problems(&[7, 20]);
    assert_eq!(shop.ok(&["get", "@9"]), b"content 8");
}

/// A shop with a few blocks, of which the database was changed.
fn changed(sql: &str) -> Shop {
    let shop = Shop::new();
    for index in 0..5 {
        shop.put(&format!("{index}"), format!("content {index}"));
    }
    let database = Connection::open(shop.database()).unwrap();
    database.pragma_update(None, "foreign_keys", 0).unwrap();
    database.execute_batch(sql).unwrap();
    shop
}

#[test]
fn damage_has_one_exit_code_whatever_meets_it_and_its_line_says_what_to_do() {
    for (damage, commands) in [
        ("DELETE FROM blocks WHERE leaf_index = 5", &[&["put", "file"][..], &["stats"], &["head"]][..]),
        ("DELETE FROM blocks WHERE leaf_index = 0", &[&["head"], &["put", "file"]]),
        (
            "UPDATE totals SET blocks = 0",
            &[&["head"], &["get", "@1"], &["put", "file"], &["check"], &["init"], &["status"]],
        ),
        ("DELETE FROM totals", &[&["head"], &["get", "@1"], &["put", "file"], &["check"], &["init"], &["status"]]),
        (
            "UPDATE outbox SET kind = 1; UPDATE settings SET value = x'00' WHERE key = 'strategy'",
            &[&["put", "file"], &["status"]],
        ),
    ] {
        let shop = changed(damage);
        shop.write("file", "content");
        for arguments in commands {
            let complaint = shop.complaint(1, arguments);
            assert!(complaint.contains("run `pakit repair`"), "{damage}, {arguments:?}: {complaint}");
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
        }
    }
}

#[test]
fn a_repository_with_damaged_settings_is_read_and_repaired() {
    let shop = changed("UPDATE settings SET value = x'ff' WHERE key = 'strategy'");
    assert_eq!(shop.ok(&["get", "@2"]), b"content 1");
    shop.ok(&["log"]);
    shop.run(&["check"]).with_code(1);
    assert!(String::from_utf8(shop.ok(&["repair"])).unwrap().ends_with("nothing is lost\n"));
    shop.ok(&["check", "--full"]);
    shop.put("more", "more");

    let shop = changed("DELETE FROM settings");
    let told = String::from_utf8(shop.run(&["repair"]).with_code(1).stdout).unwrap();
    assert!(told.contains("  strategy\n") || told.ends_with("  strategy\n"), "{told}");
    assert!(!told.contains("nothing is lost"), "{told}");
    assert_eq!(text(&shop.object(&["status"]), "name"), "tests");
    shop.ok(&["repair"]);
    shop.put("more", "more");
}

#[test]
fn a_repair_ends_with_what_a_check_finds() {
    let shop = changed("DELETE FROM blocks WHERE leaf_index = 3");
    let report = super::objects(&shop.run(&["--json", "repair"]).with_code(1).stdout).remove(0);
    let checked = super::objects(&shop.run(&["--json", "check"]).with_code(1).stdout).remove(0);
    assert_eq!((&report["remaining"], &report["remaining_count"]), (&checked["problems"], &checked["problem_count"]));
    let told = String::from_utf8(shop.run(&["repair"]).with_code(1).stdout).unwrap();
    assert!(told.contains("left, as `pakit check` tells:\n  block 3 is missing"), "{told}");
}
