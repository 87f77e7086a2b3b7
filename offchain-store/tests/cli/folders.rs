//! Folders out of a repository: whole, in part, by path, and where listings are hostile or damaged.

use super::{Done, Shop, finish, number, objects, text};
use offchain_store::{
    DagBackend, DagBlock, DagBuilder, LogAppender, NewBlock,
    backend::{StoredChunk, WriteBatch},
    cid::{Cid, DAG_CBOR},
    sqlite::{Access, Options, SqliteBackend},
    tree::{self, Entry, Node},
};
use pakit_primitives::Compression;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
};

fn entry(name: &str, node: Node) -> Entry {
    Entry { name: name.into(), node, mode: 0o755, mtime_ns: 1_000_000_000, size: 1 }
}

/// Commits listings, whatever they name, as somebody does who writes their own repository.
fn commit_listings(shop: &Shop, listings: &[Vec<Entry>]) -> Vec<DagBlock> {
    let backend = SqliteBackend::open(&shop.path(".pakit"), Access::Write, &Options::default()).unwrap();
    let totals = backend.totals().unwrap();
    let mut builder = DagBuilder::new(totals.blocks, totals.slices);
    let mut log = LogAppender::resume(&backend).unwrap();
    let mut blocks: Vec<DagBlock> = Vec::new();
    for leaf_index in (0..totals.blocks).rev().take(2) {
        blocks.insert(0, backend.block(leaf_index).unwrap().unwrap());
    }
    let before = blocks.len();
    for entries in listings {
        let bytes = tree::encode(entries).unwrap();
        let content = NewBlock { codec: DAG_CBOR, ..NewBlock::raw(&bytes) };
        let (compression, original_size) = (Compression::None, bytes.len() as u32);
        let mut batch = WriteBatch::default();
        batch.chunks.push(StoredChunk { chunk_hash: content.content_hash, compression, original_size, bytes });
        let parents = &blocks[blocks.len().saturating_sub(2)..];
        let block = builder.block(content, blocks.last().unwrap().header().timestamp_ms, parents).unwrap();
        builder.advance(&block);
        log.append(&block, &mut batch.log_nodes).unwrap();
        batch.blocks.push(block.clone());
        backend.commit(batch).unwrap();
        blocks.push(block);
    }
    blocks.split_off(before)
}

fn cid_of(entries: &[Entry]) -> Cid {
    let content = NewBlock::raw(&tree::encode(entries).unwrap());
    Cid::new(DAG_CBOR, content.content_hash)
}

/// Listings that each name the next one twice: 2^levels folders of as many listings.
fn doubling(levels: usize) -> Vec<Vec<Entry>> {
    let mut listings: Vec<Vec<Entry>> = vec![Vec::new()];
    for _ in 0..levels {
        let below = cid_of(listings.last().unwrap());
        listings.push(vec![entry("a", Node::Folder(below)), entry("b", Node::Folder(below))]);
    }
    listings
}

fn folders_in(path: &Path) -> u64 {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| 1 + folders_in(&entry.path())).sum()
}

#[test]
fn listings_that_name_each_other_twice_are_bounded_and_the_flag_is_named() {
    let shop = Shop::new();
    let blocks = commit_listings(&shop, &doubling(40));
    let bomb = blocks[40].block_hash().to_string();
    let done = shop.run(&["get", &bomb, "-o", "bomb", "--max-repeats", "300"]).with_code(1);
    insta::assert_snapshot!("too_many_repeats", shop.normalized(&done.stderr.replace("/a", "").replace("/b", "")));
    let made = folders_in(&shop.path("bomb"));
    assert!((40..500).contains(&made), "{made}");
    // What names the same listing a few times is no bomb: 2 + 4 + 8 + 16 folders of 5 listings.
    let small = blocks[4].block_hash().to_string();
    let restored = shop.object(&["get", &small, "-o", "small"]);
    assert_eq!((&restored["folders"], folders_in(&shop.path("small"))), (&json!(31), 30));
    // The 8 entries of the 4 + 8 + 16 folders that were not the first of their listing, and one less than them.
    let repeats = 2 * (1 + 3 + 7);
    shop.object(&["get", &small, "-o", "just", "--max-repeats", &repeats.to_string()]);
    shop.run(&["get", &small, "-o", "fewer", "--max-repeats", &(repeats - 1).to_string()]).with_code(1);
    // A list of it goes on for as long as somebody reads.
    let mut child = shop.command(&["--json", "ls", "-R", &bomb]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(5_000);
    assert!(lines.map(|line| line.unwrap()).all(|line| line.contains("\"kind\":\"folder\"")));
    assert_eq!(finish(child).stderr, "");
}

#[test]
fn folders_that_are_nested_too_deep_are_named_and_the_rest_is_restored() {
    let shop = Shop::new();
    let mut listings: Vec<Vec<Entry>> = vec![Vec::new()];
    for _ in 0..1_100 {
        listings.push(vec![entry("d", Node::Folder(cid_of(listings.last().unwrap())))]);
    }
    listings.push(vec![
        entry("deep", Node::Folder(cid_of(listings.last().unwrap()))),
        entry("link", Node::Symlink(b"deep".to_vec())),
    ]);
    let blocks = commit_listings(&shop, &listings);
    let deep = blocks.last().unwrap().block_hash().to_string();
    let done = shop.run(&["--json", "get", &deep, "-o", "out"]).with_code(1);
    assert!(done.stderr.contains("nested deeper than 1024"), "{}", done.stderr);
    let lines = objects(&done.stdout);
    assert_eq!((lines.len(), number(&lines[1], "failed"), number(&lines[1], "symlinks")), (2, 1, 1));
    assert_eq!(fs::read_link(shop.path("out/link")).unwrap(), Path::new("deep"));
    let done = shop.run(&["ls", "-R", &deep]).with_code(1);
    assert!(done.stderr.contains("nested deeper than 1024"), "{}", done.stderr);
}

/// Overwrites the payload of a block, as a failing disk does.
fn damage(shop: &Shop, block: &str) {
    let leaf_index = shop.object(&["show", block])["leaf_index"].as_i64().unwrap();
    let database = Connection::open(shop.database()).unwrap();
    let sql = "UPDATE payloads SET bytes = zeroblob(length(bytes))
        WHERE payload_id = (SELECT payload_id FROM blocks WHERE leaf_index = ?1)";
    assert_eq!(database.execute(sql, [leaf_index]).unwrap(), 1);
}

fn names_in(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder of five files, two of them in an inner folder, a link, and a folder of one file.
fn folder(shop: &Shop) -> String {
    for name in ["a", "bad", "inner/bad", "inner/good", "lost/file", "z"] {
        shop.write(format!("folder/{name}"), format!("content of {name}"));
    }
    symlink("bad", shop.path("folder/link")).unwrap();
    fs::set_permissions(shop.path("folder/inner"), fs::Permissions::from_mode(0o750)).unwrap();
    text(shop.objects(&["put", "folder", "--compression", "none"]).last().unwrap(), "block")
}

#[test]
fn what_is_damaged_is_named_and_everything_else_is_restored() {
    let shop = Shop::new();
    let folder = folder(&shop);
    for path in ["bad", "inner/bad", "lost"] {
        damage(&shop, &format!("{folder}:{path}"));
    }
    let done = shop.run(&["--json", "get", &folder, "-o", "out"]).with_code(1);
    insta::assert_snapshot!("damaged_items", shop.normalized(&done.stderr));
    let mut lines = objects(&done.stdout);
    let summary = lines.pop().unwrap();
    let errors: BTreeMap<_, _> = lines.iter().map(|line| (text(line, "path"), text(line, "error"))).collect();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["out/bad", "out/inner/bad", "out/lost"]);
    assert!(errors.iter().all(|(path, error)| error.contains(path) && error.contains("damaged")), "{errors:?}");
    let sums = ["files", "folders", "symlinks", "failed"].map(|name| number(&summary, name));
    assert_eq!(sums, [3, 2, 1, 3], "{summary}");
    // No file that is not whole, no folder whose entries are not known, nothing half written.
    assert_eq!(names_in(&shop.path("out")), ["a", "inner", "link", "z"]);
    assert_eq!(names_in(&shop.path("out/inner")), ["good"]);
    assert_eq!(fs::read(shop.path("out/z")).unwrap(), b"content of z");
    assert_eq!(shop.path("out/inner").metadata().unwrap().mode() & 0o777, 0o750);
    let done = shop.run(&["--json", "ls", "-R", &folder]).with_code(1);
    assert_eq!(objects(&done.stdout).last().unwrap()["path"], json!("z"), "it goes on behind what is damaged");
    assert!(done.stderr.contains("lost: ") && done.stderr.contains("1 folder could not be listed"), "{}", done.stderr);
    // The folder's own listing is another matter: without it there is nothing to restore.
    damage(&shop, &folder);
    assert!(shop.complaint(1, &["get", &folder, "-o", "nothing"]).contains("damaged"));
    assert!(!shop.path("nothing").exists());
}

#[test]
fn what_a_listing_names_and_nobody_has_is_named() {
    let shop = Shop::new();
    let known = shop.put("file", "content");
    let cid = |content: &[u8]| Cid::of_raw(content);
    let listing = vec![
        entry("\u{1b}[31mred", Node::File(cid(b"nobody has it"))),
        entry("folder", Node::Folder(cid_of(&[entry("x", Node::Symlink(b"x".to_vec()))]))),
        entry("good", Node::File(cid(b"content"))),
        entry("link", Node::Symlink(b"\x1b[2J".to_vec())),
    ];
    let block = commit_listings(&shop, &[listing])[0].block_hash().to_string();
    let done = shop.run(&["get", &block, "-o", "out"]).with_code(1);
    assert_eq!(done.stderr.matches("the repository has no block for").count(), 2, "{}", done.stderr);
    assert!(!done.stderr.contains('\u{1b}'), "names reach the terminal as text only: {:?}", done.stderr);
    let complaint = shop.complaint(2, &["get", &format!("{block}:link")]);
    assert!(complaint.contains("\\u{1b}[2J") && !complaint.contains('\u{1b}'), "{complaint:?}");
    assert_eq!(names_in(&shop.path("out")), ["good", "link"]);
    assert_eq!(shop.ok(&["get", &known]), b"content");
}

#[test]
fn a_path_within_a_folder_names_a_block_everywhere() {
    let shop = Shop::new();
    let folder = folder(&shop);
    let at = |path: &str| format!("{folder}:{path}");
    assert_eq!(shop.ok(&["get", &at("inner/good")]), b"content of inner/good");
    for same in ["/inner//good", "./inner/./good", "inner/good/"] {
        assert_eq!(shop.ok(&["get", &at(same)]), b"content of inner/good", "{same}");
    }
    shop.object(&["get", &at("inner/good"), "-o", "taken"]);
    assert_eq!(fs::read(shop.path("taken")).unwrap(), b"content of inner/good");
    let inner = shop.object(&["show", &at("inner")]);
    assert_eq!(shop.objects(&["ls", &at("inner")]), shop.objects(&["ls", &text(&inner, "cid")]));
    assert_eq!(number(&shop.object(&["get", &at("inner"), "-o", "only"]), "files"), 2);
    assert_eq!(text(&shop.object(&["show", &at("")]), "block"), folder, "an empty path is the folder");
    let index = number(&shop.object(&["show", &folder]), "leaf_index");
    let proof: Value = serde_json::from_slice(&shop.ok(&["prove", &format!("@{index}:z")])).unwrap();
    assert_eq!(proof["block_hash"], shop.object(&["show", &at("z")])["block"]);
    let complaints: String = ["nowhere", "inner/nowhere", "z/below", "link", "..", "inner/.."]
        .map(|path| format!("{path}: {}", shop.complaint(2, &["get", &at(path)])))
        .concat();
    insta::assert_snapshot!("paths_that_lead_nowhere", complaints);
    let file = text(&shop.object(&["show", &at("z")]), "block");
    assert!(shop.complaint(2, &["get", &format!("{file}:below")]).contains("is not a folder"));
    // Names need not be text.
    shop.write(OsStr::from_bytes(b"odd/caf\xe9"), "odd");
    let odd = text(shop.objects(&["put", "odd"]).last().unwrap(), "block");
    let name = [odd.as_bytes(), b":caf\xe9"].concat();
    let Done { code, stdout, .. } = shop.run(&[OsStr::new("get"), OsStr::from_bytes(&name)]);
    assert_eq!((code, stdout), (Some(0), b"odd".to_vec()));
}

#[test]
fn a_list_of_everything_below_a_folder_names_paths() {
    let shop = Shop::new();
    let folder = folder(&shop);
    let lines = shop.objects(&["ls", "--recursive", &folder]);
    let paths: Vec<_> = lines.iter().map(|line| text(line, "path")).collect();
    assert_eq!(paths, ["a", "bad", "inner", "inner/bad", "inner/good", "link", "lost", "lost/file", "z"]);
    for line in &lines {
        assert!(text(line, "path").ends_with(&text(line, "name")), "{line}");
        if line["kind"] != json!("symlink") {
            let named = shop.object(&["show", &format!("{folder}:{}", text(line, "path"))]);
            assert_eq!(named["cid"], line["cid"]);
        }
    }
    let plain: Vec<_> = shop.objects(&["ls", &folder]).iter().map(|line| text(line, "path")).collect();
    assert_eq!(plain, ["a", "bad", "inner", "link", "lost", "z"]);
    let people = String::from_utf8(shop.ok(&["ls", "-R", &folder])).unwrap();
    assert!(people.lines().any(|line| line.contains(" inner/good ")), "{people}");
}

#[test]
fn a_file_that_is_there_is_only_replaced_when_that_is_asked_for() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    shop.write("mine", "mine");
    symlink("nowhere", shop.path("dangling")).unwrap();
    for command in ["get", "prove"] {
        for name in ["mine", "dangling"] {
            let complaint = shop.complaint(2, &[command, &block, "-o", name]);
            assert_eq!(
                complaint,
                format!("pakit: {name} is there already; name another file, or replace it with --force\n")
            );
        }
    }
    assert_eq!(fs::read(shop.path("mine")).unwrap(), b"mine");
    assert!(!shop.path("nowhere").exists());
    shop.object(&["get", &block, "-o", "mine", "--force"]);
    assert_eq!(fs::read(shop.path("mine")).unwrap(), b"content");
    shop.object(&["prove", &block, "-o", "mine", "--force"]);
    assert!(fs::read(shop.path("mine")).unwrap().starts_with(b"{"));
    // What is damaged replaces nothing.
    damage(&shop, &block);
    shop.run(&["get", &block, "-o", "mine", "--force"]).with_code(1);
    shop.run(&["get", &block, "-o", "new"]).with_code(1);
    assert!(fs::read(shop.path("mine")).unwrap().starts_with(b"{"));
    assert_eq!(names_in(shop.folder.path()), [".pakit", "dangling", "file", "mine"]);
}
