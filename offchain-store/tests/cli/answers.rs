//! What each command answers.

use super::{Done, Shop, finish, number, objects, text};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{PermissionsExt, symlink},
    },
    process::Stdio,
};

/// Type of a value in an answer: its shape, and for texts what they are a text of.
fn shape(value: &Value) -> Value {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(number) if number.is_f64() => json!("fraction"),
        Value::Number(_) => json!("integer"),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) if digits.len() == 64 && is_hex(digits) => json!("0x-hash"),
            Some(digits) if is_hex(digits) => json!("0x-hex"),
            _ => json!("text"),
        },
        // All items are alike.
        Value::Array(items) => match items.first() {
            None => json!([]),
            Some(first) => {
                let first = shape(first);
                assert!(items.iter().all(|item| shape(item) == first), "items of several kinds in {value}");
                json!([first])
            }
        },
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), shape(member))).collect(),
    }
}

/// The shape of what every list says of a block.
fn block_line() -> Value {
    json!({
        "block": "0x-hash", "leaf_index": "integer", "depth": "integer", "timestamp_ms": "integer", "cid": "text",
        "content_hash": "0x-hash", "codec": "integer", "size": "integer",
    })
}

/// The shape of what put says of an item.
fn item() -> Value {
    json!({
        "path": "text", "block": "0x-hash", "cid": "text", "content_hash": "0x-hash", "size": "integer",
        "stored": "integer", "leaf_index": "integer", "deduplicated": "bool",
    })
}

fn blake3_of(content: &[u8]) -> String {
    format!("0x{}", blake3::hash(content).to_hex())
}

#[test]
fn init_names_the_genesis() {
    let shop = Shop::empty();
    let made = shop.object(&["init", "--name", "land titles", "--strategy", "recent-only:4"]);
    assert_eq!(shape(&made), json!({"genesis": "0x-hash", "repository": "text"}));
    let shown = shop.object(&["show", &text(&made, "genesis")]);
    assert_eq!((&shown["leaf_index"], &shown["depth"], &shown["parents"]), (&json!(0), &json!(0), &json!([])));
    assert_eq!(shop.object(&["head"]), json!({"size": 1, "root": made["genesis"]}));
    let status = shop.object(&["status"]);
    assert_eq!((&status["name"], &status["strategy"]), (&json!("land titles"), &json!("recent-only:4")));
    let content = shop.ok(&["get", &text(&made, "genesis")]);
    assert_eq!((content.len(), &content[32..]), (43, &b"land titles"[..]));
}

#[test]
fn put_prints_an_items_line_with_what_it_added() {
    let shop = Shop::new();
    shop.write("a", "content a");
    shop.write("same", "content a");
    let items = shop.objects(&["put", "a", "./same", "a"]);
    assert!(items.iter().all(|line| shape(line) == item()), "{items:?}");
    let paths: Vec<_> = items.iter().map(|item| item["path"].clone()).collect();
    assert_eq!(json!(paths), json!(["a", "./same", "a"]), "paths as they were given");
    assert_eq!(items[0]["content_hash"], json!(blake3_of(b"content a")));
    assert_eq!((&items[0]["size"], &items[0]["stored"]), (&json!(9), &json!(9)));
    assert_eq!((&items[0]["leaf_index"], &items[0]["deduplicated"]), (&json!(1), &json!(false)));
    for again in &items[1..] {
        assert_eq!((&again["block"], &again["stored"]), (&items[0]["block"], &json!(0)));
        assert_eq!(again["deduplicated"], json!(true));
    }
    // Metadata makes another block of the same content.
    let noted = shop.object(&["put", "a", "--meta", "parcel=12/7", "--meta", "author=A = B"]);
    assert_eq!((&noted["leaf_index"], &noted["stored"], &noted["cid"]), (&json!(2), &json!(0), &items[0]["cid"]));
    let hash = text(&shop.object(&["show", &text(&noted, "block")]), "metadata_hash");
    assert_eq!(hash, blake3_of(b"\xa2\x66author\x65A = B\x66parcel\x6412/7"));
    assert_eq!(shop.object(&["put", "a", "--meta", "author=A = B", "--meta", "parcel=12/7"])["block"], noted["block"]);
}

#[test]
fn put_of_standard_input_is_an_item_named_by_a_dash() {
    let shop = Shop::new();
    let mut command = shop.command(&["--json", "put", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    let items = objects(&finish(child).with_code(0).stdout);
    assert_eq!((items.len(), shape(&items[0])), (1, item()));
    assert_eq!((&items[0]["path"], &items[0]["content_hash"]), (&json!("-"), &json!(blake3_of(b"from a pipe"))));
    assert_eq!(shop.ok(&["get", &text(&items[0], "block")]), b"from a pipe");
    // The empty input is a content too.
    let empty = shop.object(&["put", "-"]);
    assert_eq!(
        (&empty["size"], &empty["stored"], &empty["content_hash"]),
        (&json!(0), &json!(0), &json!(blake3_of(b"")))
    );
    assert_eq!(shop.ok(&["get", &text(&empty, "cid")]), b"");
}

#[test]
fn a_folder_goes_in_with_its_listing_last_and_comes_out_with_its_links() {
    let shop = Shop::new();
    shop.write("folder/inner/file", "deep");
    shop.write("folder/b", "b");
    symlink("b", shop.path("folder/link")).unwrap();
    fs::set_permissions(shop.path("folder/b"), fs::Permissions::from_mode(0o640)).unwrap();
    let items = shop.objects(&["put", "folder/"]);
    let paths: Vec<_> = items.iter().map(|item| text(item, "path")).collect();
    assert_eq!(paths, ["folder/b", "folder/inner/file", "folder/inner", "folder/"]);
    assert!(items.iter().all(|line| shape(line) == item()));
    let folder = text(&items[3], "block");

    let entries = shop.objects(&["ls", &folder]);
    assert_eq!(
        json!(entries.iter().map(|entry| &entry["kind"]).collect::<Vec<_>>()),
        json!(["file", "folder", "symlink"])
    );
    let common = json!({
        "name": "text", "path": "text", "kind": "text", "mode": "integer", "mtime_ns": "integer", "size": "integer",
    });
    for (entry, last) in entries.iter().zip(["cid", "cid", "target"]) {
        let mut expected = common.clone();
        expected[last] = json!("text");
        assert_eq!(shape(entry), expected);
    }
    assert_eq!((&entries[0]["mode"], &entries[0]["cid"]), (&json!(0o640), &items[0]["cid"]));
    assert_eq!(entries[2]["target"], json!("b"));
    assert_eq!(entries[1]["cid"], items[2]["cid"]);

    let restored = shop.object(&["get", &folder, "-o", "restored"]);
    assert_eq!(
        restored,
        json!({
            "path": "restored", "block": folder, "files": 2, "folders": 2, "symlinks": 1, "bytes": 5, "failed": 0,
        })
    );
    assert_eq!(fs::read(shop.path("restored/inner/file")).unwrap(), b"deep");
    assert_eq!(fs::read_link(shop.path("restored/link")).unwrap(), OsStr::new("b"));
    assert_eq!(shop.objects(&["put", "restored"]).last().unwrap()["block"], json!(folder), "the same listing");
}

#[test]
fn the_repository_itself_is_left_out_of_the_folder_that_holds_it() {
    let shop = Shop::new();
    shop.write("file", "content");
    let items = shop.objects(&["put", "."]);
    let paths: Vec<_> = items.iter().map(|item| text(item, "path")).collect();
    assert_eq!(paths, ["./file", "."]);
}

#[test]
fn names_that_are_not_text_are_given_in_bytes_too() {
    let shop = Shop::new();
    let name = OsString::from_vec(b"caf\xe9".to_vec());
    shop.write(OsStr::from_bytes(b"folder/caf\xe9"), "content");
    let items = shop.objects(&["put", "folder"]);
    assert_eq!(items[0]["path"], json!("folder/caf\u{fffd}"));
    assert_eq!(items[0]["path_bytes"], json!(hex::encode(b"folder/caf\xe9")));
    assert_eq!(shape(&items[1]), item(), "only where it is needed");
    let entry = shop.object(&["ls", &text(&items[1], "block")]);
    assert_eq!((&entry["name"], &entry["name_bytes"]), (&json!("caf\u{fffd}"), &json!("636166e9")));
    shop.ok(&["get", &text(&items[1], "block"), "-o", "restored"]);
    assert_eq!(fs::read(shop.path("restored").join(&name)).unwrap(), b"content");
    // Given on the command line, too.
    let direct = objects(
        &shop.run(&[OsStr::new("--json"), "put".as_ref(), OsStr::from_bytes(b"folder/caf\xe9")]).with_code(0).stdout,
    );
    assert_eq!(direct[0]["block"], items[0]["block"]);
}

#[test]
fn get_writes_the_content_the_range_or_the_file() {
    let shop = Shop::new();
    let content: Vec<u8> = (0..300_000u32).flat_map(|index| index.wrapping_mul(index).to_le_bytes()).collect();
    let size = content.len();
    let block = shop.put("file", &content);
    assert_eq!(shop.ok(&["get", &block]), content);
    assert_eq!(shop.ok(&["get", block.trim_start_matches("0x")]), content, "without 0x");
    for (range, expected) in [
        ("0-0", 0..1),
        ("0-", 0..size),
        ("5-9", 5..10),
        ("262143-262145", 262_143..262_146),
        ("1199999-", size - 1..size),
        ("1199990-99999999999", size - 10..size),
        ("1200000-", size..size),
    ] {
        assert!(shop.ok(&["get", &block, "--range", range]) == content[expected], "{range}");
    }
    shop.write("out", "something that was there before, and longer than what comes");
    let written = shop.object(&["get", &block, "-o", "out", "--force", "--range", "10-19"]);
    assert_eq!(written, json!({"path": "out", "block": block, "bytes": 10}));
    assert_eq!(fs::read(shop.path("out")).unwrap(), &content[10..20]);
    assert_eq!(shop.ok(&["get", &block, "-o", "/dev/null"]), b"");
    let mode = |name: &str| shop.path(name).metadata().unwrap().permissions().mode();
    assert_eq!(mode("out"), mode("file"), "as any new file");
    let left: BTreeSet<_> = fs::read_dir(shop.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".pakit", "file", "out"].map(OsString::from).into(), "no temporary file stays");
}

#[test]
fn show_prints_every_field_of_the_header() {
    let shop = Shop::new();
    let first = shop.put("first", "first");
    let second = shop.put("second", "second");
    let shown = shop.object(&["show", &second]);
    assert_eq!(
        shape(&shown),
        json!({
            "block": "0x-hash", "leaf_index": "integer", "parents": [{"leaf_index": "integer", "block": "0x-hash"}],
            "depth": "integer", "timestamp_ms": "integer", "slices_before": "integer", "content_hash": "0x-hash",
            "cid": "text", "codec": "integer", "original_size": "integer", "stored_size": "integer",
            "compression": "text", "compression_code": "integer", "metadata_hash": "0x-hash", "header": "0x-hex",
            "kept": "bool", "children": [], "children_truncated": "bool", "forgotten": "null", "pinned": "bool",
            "audit": "bool",
        })
    );
    assert_eq!((&shown["leaf_index"], &shown["depth"], &shown["slices_before"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!((&shown["codec"], &shown["kept"], &shown["original_size"]), (&json!(0x55), &json!(true), &json!(6)));
    let header = hex::decode(&text(&shown, "header")[2..]).unwrap();
    assert_eq!((header.len(), &header[..4]), (118 + 2 * 40, &b"PKT1"[..]));
    assert_eq!(shop.object(&["show", &first])["children"], json!([second]));
    // A CID is as good a name.
    assert_eq!(shop.object(&["show", &text(&shown, "cid")]), shown);
}

#[test]
fn lists_walks_and_queries_agree() {
    let shop = Shop::empty();
    let genesis = text(&shop.object(&["init", "--strategy", "recent-only:2"]), "genesis");
    let blocks: Vec<String> = (0..6).map(|index| shop.put(&format!("{index}"), format!("content {index}"))).collect();
    let hashes = |lines: &[Value]| lines.iter().map(|line| text(line, "block")).collect::<Vec<_>>();
    let list = |arguments: &[&str]| {
        let list = shop.object(arguments);
        assert_eq!(shape(&list["truncated"]), json!("bool"));
        assert_eq!(list.as_object().unwrap().len(), 2);
        let lines = list["blocks"].as_array().unwrap().clone();
        assert!(lines.iter().all(|line| shape(line) == block_line()), "{list}");
        (hashes(&lines), list["truncated"] == json!(true))
    };
    let all = [std::slice::from_ref(&genesis), &blocks].concat();
    let log = shop.objects(&["log"]);
    assert!(log.iter().all(|line| shape(line) == block_line()));
    assert_eq!(hashes(&log), all);
    assert_eq!(hashes(&shop.objects(&["log", "--from", "2", "--limit", "3"])), all[2..5]);
    assert_eq!(shop.objects(&["log", "--from", "7"]), [] as [Value; 0]);

    assert_eq!(list(&["parents", &blocks[5]]), (vec![all[4].clone(), all[5].clone()], false));
    assert_eq!(list(&["children", &blocks[1]]), (vec![all[3].clone(), all[4].clone()], false));
    assert_eq!(list(&["frontier"]), (vec![all[6].clone()], false));
    assert_eq!(list(&["ancestors", &blocks[5]]).0.len(), 6);
    assert_eq!(list(&["ancestors", &blocks[5], "--max-depth", "1"]).0.len(), 2);
    let (nearest, truncated) = list(&["ancestors", &blocks[5], "--limit", "2"]);
    assert_eq!((nearest.len(), truncated), (2, true));
    assert_eq!(list(&["descendants", &genesis]).0.len(), 6);
    assert_eq!(list(&["descendants", &blocks[5]]), (Vec::new(), false));
    assert_eq!(list(&["common", &blocks[4], &blocks[5]]).0.len(), 1);

    let queried = |arguments: &[&str]| hashes(&shop.objects(&[&["query"][..], arguments].concat()));
    assert_eq!(queried(&[]).len(), 7);
    assert_eq!(queried(&["--depth", "0"]), all[..1]);
    assert_eq!(queried(&["--depth", "2..3"]), all[2..4]);
    assert_eq!(queried(&["--depth", "..1"]), all[..2]);
    assert_eq!(queried(&["--depth", "5.."]), all[5..]);
    assert_eq!(queried(&["--limit", "4"]).len(), 4);
    let since = log[3]["timestamp_ms"].to_string();
    assert!(queried(&["--since", &since]).contains(&all[6]));
    assert_eq!(queried(&["--until", "1000000000000"]), [] as [String; 0]);
    assert_eq!(queried(&["--since", "1h"]).len(), 7);
    assert_eq!(queried(&["--since", "1h", "--until", "0s", "--depth", "1..2"]), all[1..3]);
    // Nothing is anchored.
    assert_eq!(queried(&["--anchored"]), [] as [String; 0]);
    assert_eq!(queried(&["--finalized"]), [] as [String; 0]);
}

#[test]
fn proofs_go_to_a_file_or_to_standard_output() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    shop.put("more", "more");
    let document: Value = serde_json::from_slice(&shop.ok(&["prove", &block, "--lineage"])).unwrap();
    assert_eq!(
        shape(&document),
        json!({
            "format": "text", "header": "0x-hex", "block_hash": "0x-hash", "tree_head": {"size": "integer", "root": "0x-hash"},
            "inclusion": {"leaf_index": "integer", "path": ["0x-hash"]}, "lineage": ["0x-hex"],
        })
    );
    let written = shop.object(&["prove", &block, "--lineage", "-o", "proof.json"]);
    assert_eq!((&written["path"], &written["block"]), (&json!("proof.json"), &json!(block)));
    let bytes = fs::read(shop.path("proof.json")).unwrap();
    assert_eq!(number(&written, "bytes"), bytes.len() as u64);
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), document);
    let (size, root) = (document["tree_head"]["size"].to_string(), text(&document["tree_head"], "root"));
    let trusted = ["verify", "proof.json", "file", "--root", &root, "--size", &size];
    let answer = shop.object(&trusted);
    assert_eq!(
        shape(&answer),
        json!({
            "valid": "bool", "consistent": "bool", "checked": ["text"], "head": "text", "owner": "null", "size": "integer",
            "root": "0x-hash",
        })
    );
    // Who does not say which genesis is meant is not told that the block descends from it.
    let checked = |answer: &Value, name: &str| answer["checked"].as_array().unwrap().contains(&json!(name));
    assert!(checked(&answer, "lineage_unchecked_genesis") && !checked(&answer, "lineage"), "{answer}");
    let genesis = text(&shop.object(&["show", "@0"]), "block");
    let answer = shop.object(&[&trusted[..], &["--genesis", &genesis]].concat());
    assert!(checked(&answer, "lineage") && !checked(&answer, "lineage_unchecked_genesis"), "{answer}");
    let done = shop.run(&[&["--json"], &trusted[..], &["--genesis", &block]].concat()).with_code(1);
    assert_eq!(objects(&done.stdout)[0]["consistent"], json!(false), "another genesis");
}

#[test]
fn verify_reads_the_file_or_the_proof_from_standard_input() {
    let shop = Shop::new();
    let content = "content ".repeat(100_000);
    let block = shop.put("file", &content);
    let proof = shop.ok(&["prove", &block]);
    shop.write("proof.json", &proof);
    for (arguments, input) in [(["proof.json", "-"], content.as_bytes()), (["-", "file"], &proof)] {
        let mut command = shop.command(&[&["--json", "verify", "--allow-unchecked-head"], &arguments[..]].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert_eq!(objects(&finish(child).with_code(0).stdout)[0]["consistent"], json!(true), "{arguments:?}");
    }
    // Nothing comes from there.
    let done = shop.run(&["--json", "verify", "proof.json", "-", "--allow-unchecked-head"]).with_code(1);
    assert_eq!(objects(&done.stdout)[0]["refusal"], json!("the file has 0 bytes, the block 800000"));
    assert!(shop.complaint(2, &["verify", "-", "-"]).contains("not both"));
}

#[test]
fn a_block_is_named_by_the_first_digits_of_its_hash_or_its_place() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    let shown = shop.object(&["show", &block]);
    let digits = &block[2..];
    for name in [&block[..10], &digits[..8], &digits[..9], &digits[..16], &digits[..17], &digits[..63], "@1"] {
        assert_eq!(shop.object(&["show", name]), shown, "{name}");
    }
    assert_eq!(shop.object(&["show", &digits[..12].to_uppercase()]), shown);
    assert_eq!(shop.ok(&["get", &digits[..8]]), b"content");
    let other = format!("{}{}", &digits[..20], if &digits[20..21] == "0" { "1" } else { "0" });
    for (name, said) in [
        (other.as_str(), "there is no block"),
        (&digits[..7], "the first 8 or more"),
        ("@2", "there is no block @2 in this repository, whose log has 2 blocks"),
        ("@", "has to be @ and a leaf index"),
        ("@-1", "has to be @ and a leaf index"),
        ("@18446744073709551616", "has to be @ and a leaf index"),
    ] {
        let complaint = shop.complaint(2, &["show", name]);
        assert!(complaint.contains(said), "{name}: {complaint}");
    }
}

#[test]
fn status_with_a_node_and_without_a_dag_says_that_nobody_was_asked() {
    let shop = Shop::new();
    let mut status = shop.object(&["status", "--url", "ws://127.0.0.1:1"]);
    assert_eq!(status.as_object_mut().unwrap().remove("on_chain"), Some(Value::Null));
    assert_eq!(status, shop.object(&["status"]));
    let done = shop.run(&["status", "--url", "ws://127.0.0.1:1"]).with_code(0);
    assert!(String::from_utf8(done.stdout).unwrap().contains("on chain   nothing: there is no DAG to ask for"));
    assert!(done.stderr.contains("was not asked"), "{}", done.stderr);
}

#[test]
fn what_the_libraries_say_has_no_colours_in_a_file() {
    let shop = Shop::new().with_env("PAKIT_LOG", "trace");
    shop.write("file", "content");
    // An index that is damaged is something to warn of.
    let database = rusqlite::Connection::open(shop.database()).unwrap();
    database.execute("INSERT INTO derived VALUES (1, 0, 5, 5, 0, 8, 9, zeroblob(32))", []).unwrap();
    drop(database);
    let done = shop.run(&["head"]).with_code(0);
    assert!(done.stderr.contains("WARN") && !done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
}

#[test]
fn status_stats_and_check_print_one_object_each() {
    let shop = Shop::new();
    shop.put("file", "content ".repeat(1000));
    shop.put("again", "content ".repeat(1000));
    let status = shop.object(&["status"]);
    let outbox: serde_json::Map<_, _> = ["prepared", "submitted", "in_block", "finalized", "failed", "expired"]
        .map(|state| (state.to_owned(), json!("integer")))
        .into_iter()
        .collect();
    assert_eq!(
        shape(&status),
        json!({
            "repository": "text", "name": "text", "strategy": "text", "size": "integer", "root": "0x-hash", "dag": "null",
            "blocks_anchored": "integer", "blocks_finalized": "integer", "outbox": outbox,
        })
    );
    let stats = shop.object(&["stats"]);
    for (name, value) in [
        ("blocks", json!(2)),
        ("edges", json!(1)),
        ("original_bytes", json!(8_000 + 32 + 5)),
        ("depth_max", json!(1)),
        ("frontier", json!(1)),
        ("blocks_anchored", json!(0)),
        ("blocks_finalized", json!(0)),
        ("truncated", json!(false)),
        ("walked_blocks", json!(2)),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    assert!(number(&stats, "stored_bytes") < 1_000 && stats["ratio"].as_f64().unwrap() > 8.0);
    assert_eq!(shape(&stats["blocks_by_codec"]), json!([{"codec": "integer", "name": "text", "blocks": "integer"}]));
    for arguments in [&["check"][..], &["check", "--full"]] {
        let report = shop.object(arguments);
        assert_eq!(
            shape(&report),
            json!({
                "depth": "text", "is_complete": "bool", "blocks": "integer", "chunks": "integer",
                "removed_payloads": "integer", "head": {"size": "integer", "root": "0x-hash"}, "problems": [],
                "problem_count": "integer", "resumed": "bool",
            })
        );
        assert_eq!((&report["head"], &report["problem_count"]), (&shop.object(&["head"]), &json!(0)));
    }
}

#[test]
fn global_flags_stand_anywhere_and_flags_go_before_the_environment() {
    let shop = Shop::new();
    let elsewhere = shop.path("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    shop.object(&["--repo", elsewhere, "init"]);
    let (here, there) = (shop.object(&["head"]), shop.object(&["head", "--repo", elsewhere]));
    assert_ne!(here, there);
    let head = |arguments: &[&str]| objects(&shop.run(arguments).with_code(0).stdout).remove(0);
    for arguments in [["--json", "--repo", elsewhere, "head"], ["head", "--repo", elsewhere, "--json"]] {
        assert_eq!(head(&arguments), there);
    }
    let lines = shop.run(&["query", "--json", "--limit", "1", "--quiet"]).with_code(0);
    assert_eq!(objects(&lines.stdout).len(), 1);
    let unset = shop.with_env("PAKIT_REPO", "").with_env("PAKIT_FSYNC", "");
    assert_eq!(unset.object(&["head"]), here, "what is set to nothing is not set");
    let shop = unset.with_env("PAKIT_REPO", elsewhere);
    assert_eq!(shop.object(&["head"]), there);
    assert_eq!(shop.object(&["head", "--repo", ".pakit"]), here);
}

#[test]
fn settings_come_from_the_file_then_the_environment_then_the_flags() {
    let compression = |shop: &Shop, content: &str, flags: &[&str]| {
        shop.write("file", content.repeat(1_000));
        let item = shop.object(&[&["put", "file"][..], flags].concat());
        text(&shop.object(&["show", &text(&item, "block")]), "compression")
    };
    let shop = Shop::new();
    assert_eq!(compression(&shop, "one ", &[]), "zstd");
    shop.write(".pakit/config.toml", "compression = \"lz4\"\n");
    assert_eq!(compression(&shop, "two ", &[]), "lz4");
    let shop = shop.with_env("PAKIT_COMPRESSION", "gzip");
    assert_eq!(compression(&shop, "three ", &[]), "gzip");
    assert_eq!(compression(&shop, "four ", &["--compression", "brotli", "--compression-level", "4"]), "brotli");
    assert_eq!(compression(&shop, "five ", &["--compression", "none"]), "none");
    assert_eq!(shop.object(&["check", "--full"])["problem_count"], json!(0));
}

#[test]
fn text_for_people_and_json_for_programs_come_from_the_same_commands() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    shop.write("proof.json", shop.ok(&["prove", &block]));
    for arguments in [
        &["put", "file"][..],
        &["show", &block],
        &["query"],
        &["parents", &block],
        &["frontier"],
        &["head"],
        &["log"],
        &["verify", "proof.json", "--allow-unchecked-head"],
        &["status"],
        &["stats"],
        &["check"],
    ] {
        let text = String::from_utf8(shop.ok(arguments)).unwrap();
        assert!(text.ends_with('\n') && !text.starts_with('{'), "{arguments:?}: {text}");
    }
    let done = shop.run(&["put", "file", "--quiet"]).with_code(0);
    assert_eq!(done.stderr, "");
    let done = shop.run(&["put", "file"]).with_code(0);
    assert_eq!(done.stderr, "pakit: 1 item, 1 of them there before; 7 bytes, 0 newly stored\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let shop = Shop::new();
    // More than a pipe holds.
    for index in 0..900 {
        shop.write(format!("folder/{index}"), format!("{index}"));
    }
    let block = text(shop.objects(&["put", "folder"]).last().unwrap(), "block");
    for arguments in [&["--json", "log"][..], &["log"], &["query"], &["ls", &block], &["completions", "bash"]] {
        let mut child = shop.command(arguments).spawn().unwrap();
        let mut reader = BufReader::with_capacity(64, child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        drop(reader);
        let Done { code, stderr, .. } = finish(child);
        assert_eq!((stderr.as_str(), matches!(code, Some(0 | 1))), ("", true), "{arguments:?}: {code:?}");
    }
    // What is put is stored, whether or not somebody still reads about it.
    for index in 0..900 {
        shop.write(format!("more/{index}"), format!("more {index}"));
    }
    let before = number(&shop.object(&["head"]), "size");
    let mut child = shop.command(&["--json", "put", "more"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child).code, Some(1));
    assert_eq!(number(&shop.object(&["head"]), "size"), before + 901);
}
