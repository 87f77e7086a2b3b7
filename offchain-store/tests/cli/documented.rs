//! docs/cli.md says what `--json` prints; here the commands are asked.

use super::{Shop, objects, text};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
};

/// Commands that only a chain answers; the tests with a node look at what they print.
const OF_A_CHAIN: [&str; 6] =
    ["dag create", "dag succeed", "dag show", "anchor", "record", "forget of contents of a staked DAG"];

/// What a service prints when it listens.
fn first_line_of_a_service(shop: &Shop) -> Value {
    let mut service = shop.command(&["--json", "serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(service.stdout.take().unwrap()).read_line(&mut line).unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    serde_json::from_str(&line).unwrap()
}

/// The rows of the table: by command, the keys of each kind of object that it prints, and whether a key may be absent.
fn documented() -> BTreeMap<String, Vec<BTreeMap<String, bool>>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md")).unwrap();
    let table = text.split_once("## What `--json` prints").unwrap().1;
    let mut rows: BTreeMap<String, Vec<BTreeMap<String, bool>>> = BTreeMap::new();
    let mut commands: Vec<String> = Vec::new();
    for line in table.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [command, _, keys] = cells[..] else { panic!("{line}") };
        if !command.is_empty() {
            commands = match command.contains("` of ") || command.contains("` with ") {
                true => vec![command.replace('`', "")],
                false => command.split(", ").map(|name| name.trim_matches('`').to_owned()).collect(),
            };
        }
        let keys: BTreeMap<_, _> = keys
            .split(", ")
            .filter_map(|key| key.strip_prefix('`')?.strip_suffix('`'))
            .map(|key| (key.trim_end_matches('?').to_owned(), key.ends_with('?')))
            .collect();
        commands.iter().for_each(|command| rows.entry(command.clone()).or_default().push(keys.clone()));
    }
    rows
}

fn fits(object: &Value, keys: &BTreeMap<String, bool>) -> bool {
    let members = object.as_object().unwrap();
    members.keys().all(|key| keys.contains_key(key))
        && keys.iter().all(|(key, may_be_absent)| *may_be_absent || members.contains_key(key))
}

#[test]
fn every_command_prints_the_keys_that_are_documented() {
    let shop = Shop::empty();
    let mut rows = documented();
    let mut prints = |row: &str, code: i32, arguments: &[&str]| {
        let kinds = rows.remove(row).unwrap_or_else(|| panic!("{row} is not documented, or asked twice"));
        let done = shop.run(&[&["--json"], arguments].concat()).with_code(code);
        let printed = objects(&done.stdout);
        for (place, keys) in kinds.iter().enumerate() {
            assert!(printed.iter().any(|object| fits(object, keys)), "{row}, kind {place}: {printed:?}");
        }
        for object in &printed {
            assert!(kinds.iter().any(|keys| fits(object, keys)), "{row}: {object}");
        }
    };
    prints("init", 0, &["init"]);
    for name in ["folder/file", "folder/bad/file", "other"] {
        shop.write(name, format!("content of {name}"));
    }
    prints("put", 0, &["put", "folder", "other"]);
    let folder = text(&shop.objects(&["put", "folder"])[3], "block");
    prints("pin", 0, &["pin", "@5", "--until", "2999-01-01"]);
    prints("pins", 0, &["pins"]);
    prints("unpin", 0, &["unpin", "@5"]);
    prints("retention", 0, &["retention", "--none"]);
    prints("forget with --dry-run", 0, &["forget", "@5", "--why", "a test", "--dry-run"]);
    prints("forget", 0, &["forget", "@5", "--why", "a test"]);
    prints("gc with --dry-run", 0, &["gc", "--dry-run"]);
    prints("gc", 0, &["gc"]);
    prints("audit", 0, &["audit"]);
    prints("compact", 0, &["compact"]);
    prints("backup", 0, &["backup", "kept"]);
    prints("backup list", 0, &["backup", "list", "kept"]);
    prints("backup verify", 0, &["backup", "verify", "kept"]);
    prints("backup prune", 0, &["backup", "prune", "kept", "--keep-last", "1"]);
    prints("restore", 0, &["restore", "kept", "--repo", "from-a-backup"]);
    let damaged = rusqlite::Connection::open(shop.database()).unwrap();
    let inner = shop.object(&["show", &format!("{folder}:bad")])["leaf_index"].as_i64().unwrap();
    let sql = "UPDATE payloads SET bytes = zeroblob(length(bytes))
        WHERE payload_id = (SELECT payload_id FROM blocks WHERE leaf_index = ?1)";
    assert_eq!(damaged.execute(sql, [inner]).unwrap(), 1);
    drop(damaged);

    prints("get of a file, with -o", 0, &["get", &format!("{folder}:file"), "-o", "out"]);
    prints("get of a folder", 1, &["get", &folder, "-o", "restored"]);
    prints("ls", 1, &["ls", "-R", &folder]);
    prints("show", 0, &["show", "@1"]);
    for list in ["query", "log"] {
        prints(list, 0, &[list]);
    }
    for walk in ["parents", "children", "ancestors", "descendants"] {
        prints(walk, 0, &[walk, "@1"]);
    }
    prints("common", 0, &["common", "@1", "@2"]);
    prints("frontier", 0, &["frontier"]);
    prints("head", 0, &["head"]);
    prints("prove with -o", 0, &["prove", "@1", "-o", "proof.json"]);
    prints("verify", 0, &["verify", "proof.json", "--allow-unchecked-head"]);
    shop.write("proofs/a.json", fs::read(shop.path("proof.json")).unwrap());
    shop.write("proofs/b.json", "no document");
    prints("verify with --batch", 1, &["verify", "--batch", "proofs"]);
    prints("status", 0, &["status", "--url", "ws://127.0.0.1:1"]);
    prints("check", 1, &["check", "--full"]);
    prints("repair", 1, &["repair"]);
    let listening = first_line_of_a_service(&shop);
    assert!(fits(&listening, &rows.remove("serve").unwrap()[0]), "{listening}");
    // Not a line but a document, and a page of its own.
    let proof: Value = serde_json::from_slice(&shop.ok(&["prove", "@1", "--lineage"])).unwrap();
    assert!(fits(&proof, &rows.remove("prove").unwrap()[0]), "{proof}");
    let stats = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/stats.md")).unwrap();
    for key in shop.object(&["stats"]).as_object().unwrap().keys() {
        assert!(stats.contains(key.as_str()), "stats.md does not tell {key}");
    }
    let asked: Vec<_> = rows.into_keys().filter(|row| !OF_A_CHAIN.contains(&row.as_str())).collect();
    assert_eq!(asked, ["completions", "stats"], "documented and not asked");
}

#[test]
fn every_command_stands_in_the_table() {
    let rows = documented();
    let help = String::from_utf8(Shop::empty().ok(&["--help"])).unwrap();
    let commands = help.split_once("Commands:\n").unwrap().1.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        let is_there = rows.keys().any(|row| row == name || row.starts_with(&format!("{name} ")));
        assert!(is_there, "{name} is not documented in docs/cli.md");
    }
}
