//! Backups and restores: what they print, and what they refuse.

use super::{Shop, number, text};
use serde_json::json;
use std::fs;

#[test]
fn a_repository_is_backed_up_listed_verified_pruned_and_restored() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    let first = shop.object(&["backup", "kept"]);
    assert_eq!((number(&first, "snapshot"), number(&first, "size"), number(&first, "absent")), (1, 2, 0));
    assert_eq!(number(&first, "added_bytes"), number(&first, "bytes"));
    let later = shop.put("other", "more content");
    let second = shop.object(&["backup", "kept", "--verify", "--keep-last", "5"]);
    assert_eq!(second["root"], shop.object(&["head"])["root"]);
    assert_eq!(second["verified"]["snapshots"], json!(2));
    assert_eq!(second["pruned"]["dropped"], json!([]));
    let listed = shop.objects(&["backup", "list", "kept"]);
    assert_eq!(listed.iter().map(|line| number(line, "size")).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(listed[0], first);
    assert_eq!(number(&shop.object(&["backup", "verify", "kept"]), "chunks"), 3);

    let restored = shop.object(&["restore", "kept", "--repo", "new"]);
    assert_eq!((number(&restored, "size"), &restored["root"]), (3, &second["root"]));
    assert_eq!(shop.ok(&["get", &later, "--repo", "new"]), b"more content");
    assert_eq!(shop.object(&["check", "--full", "--repo", "new"])["problem_count"], json!(0));
    // A number is a size; what is longer is a time, as it is elsewhere.
    let old = shop.object(&["restore", "kept", "--at", "2", "--repo", "old"]);
    assert_eq!((number(&old, "snapshot"), &old["root"]), (1, &first["root"]));
    assert_eq!(shop.ok(&["get", &block, "--repo", "old"]), b"content");
    shop.run(&["show", &later, "--repo", "old"]).with_code(2);
    let at = number(&listed[0], "time_ms").to_string();
    assert_eq!(shop.object(&["restore", "kept", "--at", &at, "--repo", "then"])["root"], first["root"]);
    assert_eq!(number(&shop.object(&["restore", "kept", "--at", "0s", "--repo", "now"]), "size"), 3);

    let would = shop.object(&["backup", "prune", "kept", "--keep-last", "1", "--dry-run"]);
    assert_eq!((&would["dropped"], &would["segments"]), (&json!([1]), &json!(0)));
    assert_eq!(shop.object(&["backup", "prune", "kept", "--keep-last", "1"])["dropped"], json!([1]));
    assert_eq!(shop.objects(&["backup", "list", "kept"]).len(), 1);
    assert_eq!(number(&shop.object(&["restore", "kept", "--at", "2", "--repo", "again"]), "size"), 2);
    assert_eq!(number(&shop.object(&["backup", "kept", "--full", "--keep-daily", "1"]), "series"), 3);
}

#[test]
fn what_was_forgotten_is_forgotten_in_a_restored_repository_too() {
    let shop = Shop::new();
    let gone = shop.put("file", "content");
    shop.put("other", "more content");
    shop.ok(&["backup", "kept"]);
    shop.ok(&["forget", &gone, "--why", "a test"]);
    shop.ok(&["pin", "@2", "--why", "a test"]);
    shop.ok(&["gc"]);
    assert_eq!(number(&shop.object(&["backup", "kept"]), "absent"), 1);
    shop.ok(&["restore", "kept", "--repo", "new"]);
    assert_eq!(shop.object(&["check", "--full", "--repo", "new"])["problem_count"], json!(0));
    for command in ["pins", "audit"] {
        assert_eq!(shop.objects(&[command, "--repo", "new"]), shop.objects(&[command]));
    }
    shop.run(&["get", &gone, "--repo", "new"]).with_code(1);
    // Before, it was there.
    shop.ok(&["restore", "kept", "--at", "3", "--repo", "old"]);
    assert_eq!(shop.ok(&["get", &gone, "--repo", "old"]), b"content");
    assert_eq!(shop.object(&["check", "--full", "--repo", "old"])["problem_count"], json!(0));
}

#[test]
fn what_backups_and_restores_refuse_is_said_in_one_line() {
    let shop = Shop::new();
    shop.put("file", "content");
    shop.ok(&["backup", "kept"]);
    shop.ok(&["init", "--repo", "other"]);
    shop.write("letters/mine", "mine");
    let of = |caption: &str, code, arguments: &[&str]| format!("# {caption}\n{}\n", shop.complaint(code, arguments));
    let mut said = vec![
        of("no folder", 2, &["backup"]),
        of("a folder with something else", 2, &["backup", "letters"]),
        of("another repository's backup", 2, &["backup", "kept", "--repo", "other"]),
        of("no backup to list", 2, &["backup", "list", "letters"]),
        of("no backup to restore", 2, &["restore", "nowhere", "--repo", "new"]),
        of("nothing that stays", 2, &["backup", "prune", "kept"]),
        of("over a repository", 2, &["restore", "kept"]),
        of("over a folder", 2, &["restore", "kept", "--repo", "letters"]),
        of("a size that there is not", 2, &["restore", "kept", "--at", "99", "--repo", "new"]),
        of("a time before all", 2, &["restore", "kept", "--at", "2001-01-01", "--repo", "new"]),
        of("neither size nor time", 2, &["restore", "kept", "--at", "lately", "--repo", "new"]),
        of("a log of nothing", 2, &["restore", "kept", "--at", "0", "--repo", "new"]),
    ];
    let segment = shop.path("kept/segments/00000001.pack");
    let good = fs::read(&segment).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&segment, bad).unwrap();
    said.push(of("a damaged segment", 1, &["restore", "kept", "--repo", "new"]));
    said.push(of("a damaged segment, verified", 1, &["backup", "verify", "kept"]));
    fs::remove_file(&segment).unwrap();
    said.push(of("a missing segment", 1, &["backup", "list", "kept"]));
    assert!(!shop.path("new").exists());
    insta::assert_snapshot!(said.concat());
    assert_eq!(text(&shop.object(&["head"]), "root").len(), 66);
}
