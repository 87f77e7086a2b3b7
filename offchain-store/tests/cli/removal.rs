//! forget, gc, compact, pin, unpin, pins, retention and audit from outside, and what is left of a gc or a compact that is killed.

use super::{Shop, finish, number, text};
use offchain_store::{
    StorageEngine,
    engine::Access,
    get::{ContentReader, GetError},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

fn shop() -> Shop {
    Shop::new().with_env("PAKIT_WHO", "ada@registry")
}

fn actions(lines: &[Value]) -> Vec<(String, String)> {
    lines.iter().map(|line| (text(line, "block"), text(line, "action"))).collect()
}

#[test]
fn what_is_forgotten_is_told_before_during_and_after() {
    let shop = shop();
    shop.write("folder/a", "only in the folder");
    shop.write("folder/b", "also on its own, with metadata");
    let items = shop.objects(&["put", "folder"]);
    let [a, b, folder] = [0, 1, 2].map(|at| text(&items[at], "block"));
    let own = text(&shop.object(&["put", "folder/b", "--meta", "case=7"]), "block");
    let size_before = number(&shop.object(&["head"]), "size");

    let foreseen = shop.objects(&["forget", &folder, "--why", "erasure 12", "--dry-run"]);
    let drop = |block: &String| (block.clone(), "drop".to_owned());
    assert_eq!(actions(&foreseen), [drop(&a), (b.clone(), "keep".to_owned()), drop(&folder)]);
    assert_eq!(text(&foreseen[1], "held_by"), own);
    assert_eq!(number(&shop.object(&["head"]), "size"), size_before, "nothing was changed");

    let done = shop.object(&["forget", &folder, "--why", "erasure 12"]);
    assert_eq!((&done["forgotten"], &done["already"], &done["pinned"]), (&json!(3), &json!(0), &json!(0)));
    let audit = text(&json!({"block": done["audit_blocks"][0]}), "block");
    let shown = shop.object(&["show", &a]);
    assert_eq!((&shown["kept"], text(&shown["forgotten"], "why")), (&json!(true), "erasure 12".to_owned()));
    assert_eq!(shop.objects(&["gc", "--dry-run"]).len(), 3);
    let summary = shop.object(&["gc"]);
    assert_eq!((&summary["dropped"], &summary["held"], &summary["audits"]), (&json!(2), &json!(1), &json!(1)));

    let told = "forgotten by ada@registry on ";
    let end = format!(": erasure 12, audit block {audit})");
    for arguments in [&["get", a.as_str()][..], &["ls", &folder], &["get", &folder, "-o", "out"]] {
        let done = shop.run(arguments).with_code(1);
        assert!(done.stderr.contains(told) && done.stderr.contains(&end), "{arguments:?}: {}", done.stderr);
    }
    let shown = String::from_utf8(shop.ok(&["show", &a])).unwrap();
    assert!(shown.contains("content        removed (forgotten by ada@registry on "), "{shown}");
    assert_eq!(shop.ok(&["get", &b]), b"also on its own, with metadata");
    let report = shop.object(&["check", "--full"]);
    assert_eq!((&report["problem_count"], &report["removed_payloads"]), (&json!(0), &json!(2)));
    assert!(String::from_utf8(shop.ok(&["check"])).unwrap().contains("2 contents forgotten and dropped"));
    let stats = shop.object(&["stats"]);
    assert_eq!(["removed_payloads", "forgotten_blocks", "audit_blocks"].map(|name| number(&stats, name)), [2, 3, 2]);

    // Its proof still verifies, with the bytes that only somebody else has now.
    shop.ok(&["prove", &a, "--lineage", "-o", "proof.json"]);
    let head = shop.object(&["head"]);
    let (root, size) = (text(&head, "root"), number(&head, "size").to_string());
    shop.ok(&["verify", "proof.json", "folder/a", "--root", &root, "--size", &size]);

    // Put again it is there under its old block, and that is told too.
    assert_eq!(text(&shop.object(&["put", "folder/a"]), "block"), a);
    assert_eq!(shop.ok(&["get", &a]), b"only in the folder");
    let trail = shop.objects(&["audit"]);
    let told: Vec<String> = trail.iter().map(|line| text(line, "action")).collect();
    assert_eq!(told, ["forget", "drop", "restore"]);
    assert!(trail.iter().all(|line| text(line, "who") == "ada@registry"));
    assert_eq!(text(&trail[2]["blocks"][0], "block"), a);
    assert_eq!(shop.objects(&["audit", "--from", &(number(&trail[1], "leaf_index")).to_string()]).len(), 2);
    let page = shop.run(&["audit", "--limit", "1"]).with_code(0);
    assert!(page.stderr.contains("truncated"), "{}", page.stderr);
}

#[test]
fn pins_and_the_retention_rule_are_set_listed_and_obeyed() {
    let shop = shop();
    let block = shop.put("file", "evidence");
    let pinned = shop.object(&["pin", &block, "--until", "2999-01-01", "--why", "case 7"]);
    assert_eq!(pinned["blocks"], json!([block]));
    let pins = shop.objects(&["pins"]);
    assert_eq!((&pins[0]["holds"], text(&pins[0], "why")), (&json!(true), "case 7".to_owned()));
    assert!(number(&pins[0], "until_ms") > 32_000_000_000_000);
    assert_eq!(shop.object(&["show", &block])["pinned"], json!(true));
    insta::assert_snapshot!("forget_pinned", shop.complaint(1, &["forget", &block, "--why", "x"]));
    shop.ok(&["unpin", &block]);
    assert!(shop.objects(&["pins"]).is_empty());
    insta::assert_snapshot!("unpin_what_is_not_pinned", shop.complaint(2, &["unpin", &block]));

    assert_eq!(shop.object(&["retention"]), json!({"keep_for_ms": null}));
    assert_eq!(number(&shop.object(&["retention", "--keep-for", "3650d"]), "keep_for_ms"), 3650 * 86_400_000);
    shop.ok(&["forget", &block, "--why", "x"]);
    let summary = shop.object(&["gc"]);
    assert_eq!((&summary["dropped"], &summary["waiting"]), (&json!(0), &json!(1)));
    let line = shop.objects(&["gc", "--dry-run"]).remove(0);
    assert_eq!((text(&line, "action"), &line["until_ms"]), ("wait".to_owned(), &summary["waiting_until_ms"]));
    shop.ok(&["retention", "--none"]);
    assert_eq!(shop.object(&["gc"])["dropped"], json!(1));
    insta::assert_snapshot!("pin_what_is_gone", shop.complaint(2, &["pin", &block]));
    let genesis = text(&shop.objects(&["log", "--limit", "1"])[0], "block");
    insta::assert_snapshot!("forget_genesis", shop.complaint(2, &["forget", &genesis, "--why", "x"]));
    let audit = text(&shop.objects(&["audit"])[0], "block");
    insta::assert_snapshot!("forget_an_audit_block", shop.complaint(2, &["forget", &audit, "--why", "x"]));
    insta::assert_snapshot!("who_is_no_name", shop.complaint(2, &["gc", "--who", "a\nb"]));
    insta::assert_snapshot!("keep_for_no_age", shop.complaint(2, &["retention", "--keep-for", "long"]));
}

/// Bytes that do not compress.
fn noise(length: usize, key: &str) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(key.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A repository of two folders, of which the first is forgotten: small files, large ones, and large ones that share chunks with the other's.
fn half_forgotten() -> (Shop, String) {
    let shop = shop();
    let shared = noise(200_000, "shared");
    for number in 0..600 {
        shop.write(format!("gone/{number}"), format!("gone {number}"));
        shop.write(format!("held/{number}"), format!("held {number}"));
    }
    for number in 0..12 {
        shop.write(format!("gone/large {number}"), noise(300_000, &format!("gone {number}")));
        shop.write(format!("gone/part {number}"), [&shared[..], &noise(9_000, &format!("gone {number}"))].concat());
        shop.write(format!("held/part {number}"), [&shared[..], &noise(9_000, &format!("held {number}"))].concat());
    }
    let put = |folder| {
        let items = shop.objects(&["put", folder, "--chunk-size", "4KiB", "--fsync", "off"]);
        text(items.last().unwrap(), "block")
    };
    let (gone, held) = (put("gone"), put("held"));
    shop.ok(&["forget", &gone, "--why", "a test"]);
    (shop, held)
}

/// A copy of a shop's repository that nobody has open, in a folder of its own.
fn copy(shop: &Shop) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["pakit.db", "lock"] {
        fs::copy(shop.path(".pakit").join(file), dir.path().join(file)).unwrap();
    }
    fs::create_dir(dir.path().join("packs")).unwrap();
    for pack in fs::read_dir(shop.path(".pakit/packs")).unwrap() {
        let pack = pack.unwrap();
        fs::copy(pack.path(), dir.path().join("packs").join(pack.file_name())).unwrap();
    }
    dir
}

fn pakit(repository: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakit"));
    command.arg("--repo").arg(repository).args(arguments).env_clear().env("PAKIT_WHO", "ada@registry");
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    command
}

/// All that is held is there and right, and nothing is damaged.
fn assert_whole(repository: &Path, held: &str, expected: &Path) {
    finish(pakit(repository, &["check", "--full"]).spawn().unwrap()).with_code(0);
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("held");
    let restored = pakit(repository, &["get", held, "-o"]).arg(&target).spawn().unwrap();
    finish(restored).with_code(0);
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&target), names(expected));
    for name in names(expected) {
        assert!(fs::read(target.join(&name)).unwrap() == fs::read(expected.join(&name)).unwrap(), "{name:?}");
    }
}

/// Kills a command at 30 points spread over the time that it takes.
fn killed_thirty_times(base: &dyn Fn() -> tempfile::TempDir, arguments: &[&str], check: &dyn Fn(&Path)) {
    let whole = base();
    let start = Instant::now();
    finish(pakit(whole.path(), arguments).spawn().unwrap()).with_code(0);
    let takes = start.elapsed();
    check(whole.path());
    let mut killed = 0;
    for point in 0..30 {
        let repository = base();
        let mut child = pakit(repository.path(), arguments).spawn().unwrap();
        thread::sleep(takes * point / 30);
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        check(repository.path());
        // And to the end: what was interrupted is taken up.
        finish(pakit(repository.path(), arguments).spawn().unwrap()).with_code(0);
        if point % 5 == 0 {
            check(repository.path());
        }
    }
    assert!(killed > 10, "only {killed} were killed before they ended");
}

#[test]
fn a_gc_that_is_killed_loses_nothing_that_is_held_and_goes_on() {
    let (shop, held) = half_forgotten();
    let expected = shop.path("held");
    killed_thirty_times(&|| copy(&shop), &["gc"], &|repository| assert_whole(repository, &held, &expected));
    let repository = copy(&shop);
    let count = |name: &str| {
        let done = finish(pakit(repository.path(), &["stats", "--json"]).spawn().unwrap()).with_code(0);
        number(&super::objects(&done.stdout)[0], name)
    };
    finish(pakit(repository.path(), &["gc"]).spawn().unwrap()).with_code(0);
    assert_eq!(count("removed_payloads"), 600 + 24 + 1);
}

#[test]
fn a_compact_that_is_killed_leaves_the_repository_as_it_was_or_smaller() {
    let (shop, held) = half_forgotten();
    shop.ok(&["gc"]);
    let expected = shop.path("held");
    killed_thirty_times(&|| copy(&shop), &["compact"], &|repository| assert_whole(repository, &held, &expected));
    let repository = copy(&shop);
    let done = finish(pakit(repository.path(), &["compact", "--json"]).spawn().unwrap()).with_code(0);
    let done = super::objects(&done.stdout).remove(0);
    let (before, after) = (number(&done, "bytes_before"), number(&done, "bytes_after"));
    assert!(after < before - 3_000_000 && after > 0, "{done}");
    let database = fs::metadata(repository.path().join("pakit.db")).unwrap().len();
    let packs = fs::read_dir(repository.path().join("packs")).unwrap();
    assert_eq!(database + packs.map(|pack| pack.unwrap().metadata().unwrap().len()).sum::<u64>(), after);
    let names: Vec<_> = fs::read_dir(repository.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("etilqs")), "{names:?}");
}

#[test]
fn a_reader_in_another_process_gets_right_bytes_or_a_named_error_while_gc_runs() {
    let (shop, _) = half_forgotten();
    let repository = shop.path(".pakit");
    let engine = StorageEngine::open(&repository, Access::Read, &Default::default()).unwrap();
    let large = noise(300_000, "gone 3");
    let hash = pakit_primitives::ContentHash::new(*blake3::hash(&large).as_bytes());
    let leaf_index = engine.backend().find_content(&hash, None, 1).unwrap()[0];
    let block = engine.backend().block(leaf_index).unwrap().unwrap();
    let mut reader = ContentReader::new(engine.backend().clone(), block, None).unwrap();
    let first = reader.next_piece().unwrap().unwrap();
    assert_eq!(first, large[..first.len()]);

    let is_over = AtomicBool::new(false);
    let (right, gone) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let (mut right, mut gone) = (0, 0);
            let blocks = engine.backend().totals().unwrap().blocks;
            let mut is_last = false;
            while !is_last {
                is_last = is_over.load(Ordering::Relaxed);
                gone = 0;
                for leaf_index in 0..blocks {
                    let block = engine.backend().block(leaf_index).unwrap().unwrap();
                    let mut bytes = Vec::new();
                    let read = ContentReader::new(engine.backend().clone(), block.clone(), None)
                        .and_then(|mut reader| reader.copy_to(&mut bytes));
                    match read {
                        Ok(_) => {
                            let hash = blake3::hash(&bytes);
                            assert_eq!(hash.as_bytes(), block.header().content_hash.as_bytes());
                            right += 1;
                        }
                        Err(GetError::Forgotten { told, .. }) => {
                            assert_eq!(told.why, "a test");
                            gone += 1;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            (right, gone)
        });
        thread::sleep(Duration::from_millis(20));
        finish(pakit(&repository, &["gc"]).spawn().unwrap()).with_code(0);
        is_over.store(true, Ordering::Relaxed);
        looking.join().unwrap()
    });
    assert!(right > 600 && gone == 625, "{right} right, {gone} gone in the end");
    // The one that had begun to read.
    let error = loop {
        match reader.next_piece() {
            Ok(Some(piece)) => assert!(!piece.is_empty()),
            Ok(None) => panic!("it cannot be whole"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, GetError::Forgotten { .. }), "{error}");
}

#[test]
fn compacting_beside_a_writer_or_without_a_repository_is_refused() {
    let shop = shop();
    insta::assert_snapshot!("compact_nothing", Shop::empty().complaint(3, &["compact"]));
    let _writer = StorageEngine::open(&shop.path(".pakit"), Access::Write, &Default::default()).unwrap();
    insta::assert_snapshot!("compact_beside_a_writer", shop.complaint(3, &["compact"]));
}
