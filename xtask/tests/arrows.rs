//! Which crate and which module may know which other, held by tests; docs/design.md says why.
//!
//! These tests read manifests and sources. They look at code only: a comment may speak of anything.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The crates of this workspace a crate may depend on, tests and build scripts included.
const ARROWS: [(&str, &[&str]); 12] = [
    ("pakit-primitives", &[]),
    ("pakit-runtime-api", &["pakit-primitives"]),
    ("pallet-pakit", &["pakit-primitives", "pakit-runtime-api"]),
    ("pakit-runtime-mock", &["pakit-primitives", "pakit-runtime-api", "pallet-pakit"]),
    ("pakit-dev-node", &["pakit-primitives", "pakit-runtime-api", "pallet-pakit", "pakit-runtime-mock"]),
    ("pakit-verifier", &["pakit-primitives"]),
    ("pakit-verifier-js", &["pakit-primitives", "pakit-verifier"]),
    ("offchain-store", &["pakit-primitives", "pakit-verifier"]),
    ("pakit-tests", &["pakit-primitives", "pakit-runtime-api", "pallet-pakit", "pakit-runtime-mock", "offchain-store"]),
    ("pakit-faults-layer", &[]),
    ("pakit-faults", &["pakit-primitives", "offchain-store", "pakit-tests", "pakit-faults-layer"]),
    ("xtask", &[]),
];

/// How the names of the SDK's crates begin.
const CHAIN_PREFIXES: [&str; 6] = ["frame-", "pallet-", "sc-", "sp-", "substrate-", "polkadot-"];

/// Of the store's modules, those that may know the anchor's, the service's and the command line's: they put the parts together.
const STORE_FACES: [&str; 3] = ["lib.rs", "main.rs", "engine.rs"];

/// Starts of machine-specific places, cut in two so that this file does not hold them itself.
const MACHINE_PATHS: [&str; 7] = [
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/var/ca", "che/"),
    concat!("arti", "factory"),
];

/// Words that mean something else in one of the fields that meet here. `object` is not among them: JSON has objects.
const AVOIDED_WORDS: [&str; 7] = ["tip", "tips", "blob", "blobs", "upload", "uploads", "checkpoint"];

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What cargo knows of this workspace's crates, by name.
fn manifests() -> BTreeMap<String, Value> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(checkout());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone())).collect()
}

fn dependencies(manifest: &Value) -> &[Value] {
    manifest["dependencies"].as_array().unwrap()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

fn is_chain_crate(name: &str) -> bool {
    CHAIN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Everything below the folder, relative to it, except what is built or git's.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type().unwrap(), entry.path());
            if kind.is_dir() && !["target", ".git", "node_modules"].iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path.strip_prefix(folder).unwrap().to_path_buf());
            }
        }
    }
    files.sort();
    files
}

/// A source file: its path with `/`, and its lines, numbered from 1, without comments.
struct Source {
    path: String,
    lines: Vec<(usize, String)>,
}

fn sources(folder: &str) -> Vec<Source> {
    let folder = checkout().join(folder);
    let rust = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<_> = rust
        .map(|path| {
            let text = fs::read_to_string(folder.join(&path)).unwrap();
            Source { path: path.to_str().unwrap().replace('\\', "/"), lines: code_lines(&text) }
        })
        .collect();
    assert!(!sources.is_empty(), "no sources below {}", folder.display());
    sources
}

fn code_lines(text: &str) -> Vec<(usize, String)> {
    let code = text.lines().map(without_comment);
    (1..).zip(code).filter(|(_, line)| !line.trim().is_empty()).collect()
}

/// The line up to a `//` that is not in a string.
fn without_comment(line: &str) -> String {
    let (mut in_string, mut escaped, mut previous) = (false, false, ' ');
    for (place, letter) in line.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            // A quote as a character, `'"'`, opens no string.
            '"' if in_string || previous != '\'' => in_string = !in_string,
            '/' if !in_string && previous == '/' => return line[..place - 1].to_owned(),
            _ => {}
        }
        previous = letter;
    }
    line.to_owned()
}

/// Whether the identifier occurs as the first of a path or by itself: `name::x` and `use name;`, not `other::name`, and
/// not within a longer identifier.
fn starts_a_path(line: &str, identifier: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(identifier).any(|(place, _)| {
        let (before, after) = (&line[..place], &line[place + identifier.len()..]);
        let is_whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        let is_first = !before.ends_with("::") || before.ends_with(" ::");
        is_whole && is_first && (after.starts_with("::") || before.trim_end().ends_with("use"))
    })
}

/// The lines of the sources for which the check holds, as `path:line: code`.
fn lines_where<'a>(
    sources: impl IntoIterator<Item = &'a Source>,
    check: impl Fn(&Source, &str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in &source.lines {
            if check(source, line) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    found
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn crates_of_the_workspace_know_only_those_before_them() {
    let manifests = manifests();
    let listed: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (crate_name, manifest) in &manifests {
        let allowed = ARROWS.iter().find(|(name, _)| name == crate_name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{crate_name} is not in this test's list"));
        for dependency in dependencies(manifest).iter().map(name) {
            let is_ours = listed.contains(&dependency);
            assert!(!is_ours || allowed.contains(&dependency), "{crate_name} must not depend on {dependency}");
        }
    }
    assert_eq!(manifests.len(), listed.len(), "a listed crate is gone");
}

#[test]
fn primitives_know_no_chain_crate_and_no_std() {
    let manifests = manifests();
    for dependency in dependencies(&manifests["pakit-primitives"]) {
        let name = name(dependency);
        assert!(!is_chain_crate(name), "pakit-primitives must not depend on {name}");
        let needs_std = dependency["kind"].is_null() && dependency["uses_default_features"] == true;
        assert!(!needs_std, "{name} must be without default features, or the runtime's Wasm pulls in std");
    }
    let lib = fs::read_to_string(checkout().join("pallet-pakit/primitives/src/lib.rs")).unwrap();
    assert!(lib.contains("no_std"), "pakit-primitives declares no_std");
}

#[test]
fn the_verifier_knows_no_chain_crate_and_no_std_unless_asked() {
    let manifests = manifests();
    for crate_name in ["pakit-verifier", "pakit-verifier-js"] {
        for dependency in dependencies(&manifests[crate_name]) {
            let name = name(dependency);
            assert!(!is_chain_crate(name), "{crate_name} must not depend on {name}");
            let needs_std = dependency["kind"].is_null()
                && dependency["optional"] == false
                && dependency["uses_default_features"] == true;
            assert!(!needs_std, "{name} must be without default features, or a browser gets a Wasm with std");
        }
    }
}

#[test]
fn the_store_knows_no_chain_crate() {
    let manifests = manifests();
    for dependency in dependencies(&manifests["offchain-store"]).iter().map(name) {
        assert!(!is_chain_crate(dependency), "offchain-store must not depend on {dependency}: it reads metadata");
    }
}

#[test]
fn store_modules_know_neither_the_anchor_nor_the_command_line() {
    let sources = sources("offchain-store/src");
    let parts = sources.iter().filter(|source| {
        let is_outer = ["anchor", "cli", "serve"].iter().any(|module| is_in_module(&source.path, module));
        !is_outer && !STORE_FACES.contains(&source.path.as_str())
    });
    let outer = ["anchor", "cli", "serve"];
    let found = lines_where(parts, |_, line| outer.iter().any(|module| names_module(line, module)));
    assert_none(&found, "only the store's faces may use the modules anchor, cli and serve");
}

fn is_in_module(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// `crate::anchor`, alone or in a group: `crate::{anchor::Client, log}`.
fn names_module(line: &str, module: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let direct = format!("crate::{module}");
    let is_direct = line.match_indices(&direct).any(|(place, found)| is_end(&line[place + found.len()..]));
    let group = line.split_once("crate::{").map_or("", |(_, group)| group);
    is_direct || group.split(['{', ',', ' ', '}']).any(|item| item.split("::").next() == Some(module))
}

#[test]
fn sql_is_written_in_one_place() {
    let sources = sources("offchain-store/src");
    let others = sources.iter().filter(|source| !is_in_module(&source.path, "sqlite"));
    let statements = ["\"SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "\"PRAGMA "];
    let found = lines_where(others, |_, line| {
        starts_a_path(line, "rusqlite") || statements.iter().any(|statement| line.contains(statement))
    });
    assert_none(&found, "SQL and rusqlite belong below offchain-store/src/sqlite");
}

#[test]
fn subxt_is_known_in_one_place() {
    let sources = sources("offchain-store/src");
    let others = sources.iter().filter(|source| !is_in_module(&source.path, "anchor/subxt"));
    let found = lines_where(others, |_, line| {
        ["subxt", "subxt_signer", "subxt_rpcs"].iter().any(|identifier| starts_a_path(line, identifier))
    });
    assert_none(&found, "subxt belongs in offchain-store/src/anchor/subxt.rs (our own module is `self::subxt`)");
}

#[test]
fn unsafe_code_is_written_in_one_place() {
    let layer = "faults/layer/";
    let found = lines_where(&sources(""), |source, line| {
        !source.path.starts_with(layer) && starts_with_word(line, "unsafe") && !source.path.starts_with("xtask/tests/")
    });
    assert_none(&found, "unsafe code belongs in faults/layer, which no program is linked with");
}

/// Whether the word stands in the line, and not as a part of a longer one or of a path.
fn starts_with_word(line: &str, word: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word)
        .any(|(place, _)| !line[..place].ends_with(is_word) && line[place + word.len()..].starts_with([' ', '(']))
}

#[test]
fn every_dependency_comes_from_crates_io() {
    let locks = ["Cargo.lock", "fuzz/Cargo.lock", "verifier/glue/Cargo.lock"]
        .map(|lock| fs::read_to_string(checkout().join(lock)).unwrap());
    let sources: Vec<_> =
        locks.iter().flat_map(|lock| lock.lines()).filter_map(|line| line.strip_prefix("source = ")).collect();
    assert!(sources.len() > 100, "the lock files are read");
    let crates_io = "\"registry+https://github.com/rust-lang/crates.io-index\"";
    let other = sources.iter().find(|source| **source != crates_io);
    assert!(other.is_none(), "another source: {other:?}");
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let root = checkout();
    let mut found = Vec::new();
    for path in files(&root) {
        let text = fs::read(root.join(&path)).unwrap();
        let text = String::from_utf8_lossy(&text);
        for (number, line) in (1..).zip(text.lines()) {
            if MACHINE_PATHS.iter().any(|machine_path| line.contains(machine_path)) {
                found.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert_none(&found, "these name a folder or a host of one machine");
}

#[test]
fn declared_names_avoid_words_that_mean_two_things() {
    for folder in ["pallet-pakit", "offchain-store"] {
        let found = lines_where(&sources(folder), |source, line| {
            // SQLite's word, for what SQLite does.
            let is_sqlite = source.path.starts_with("src/sqlite");
            declared(line).is_some_and(|name| {
                words(name).iter().any(|word| {
                    AVOIDED_WORDS.contains(&word.as_str())
                        && !(is_sqlite && ["checkpoint", "blob"].contains(&word.as_str()))
                })
            })
        });
        assert_none(&found, "choose another word");
    }
}

/// The name a line declares, if it declares one.
fn declared(line: &str) -> Option<&str> {
    let mut tokens =
        line.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).filter(|token| !token.is_empty());
    let keyword = ["fn", "struct", "enum", "trait", "type", "mod", "const", "static", "let"];
    while let Some(token) = tokens.next() {
        if keyword.contains(&token) {
            return tokens.find(|token| !["mut", "fn", "ref"].contains(token));
        }
    }
    None
}

/// The words of an identifier, in lower case.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in identifier.chars() {
        if letter == '_' || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

mod the_checks_themselves {
    use super::*;

    #[test]
    fn comments_are_not_code() {
        assert_eq!(without_comment("let a = 1; // crate::anchor"), "let a = 1; ");
        assert_eq!(without_comment("//! crate::anchor"), "");
        assert_eq!(without_comment(r#"let url = "ws://a\"//b"; //c"#), r#"let url = "ws://a\"//b"; "#);
        assert_eq!(without_comment("if letter == '\"' { x } // y"), "if letter == '\"' { x } ");
        assert_eq!(code_lines("// a\n\nlet b;\n"), [(3, "let b;".to_owned())]);
    }

    #[test]
    fn a_path_is_told_from_a_module_and_a_longer_name() {
        for line in ["use subxt::Config;", "fn f(c: subxt::Client)", "use ::subxt::Config;", "use subxt;"] {
            assert!(starts_a_path(line, "subxt"), "{line}");
        }
        for line in
            ["mod subxt;", "use self::subxt::Client;", "anchor::subxt::Client", "my_subxt::x", "subxt_signer::x"]
        {
            assert!(!starts_a_path(line, "subxt"), "{line}");
        }
    }

    #[test]
    fn a_module_is_found_alone_and_in_a_group() {
        for line in ["use crate::anchor;", "crate::anchor::Client::new()", "use crate::{log, anchor::Client};"] {
            assert!(names_module(line, "anchor"), "{line}");
        }
        for line in ["use crate::anchored;", "use crate::{log::anchor_of, dag};", "let anchor = 1;"] {
            assert!(!names_module(line, "anchor"), "{line}");
        }
        assert!(is_in_module("anchor/outbox.rs", "anchor") && is_in_module("anchor.rs", "anchor"));
        assert!(!is_in_module("anchors.rs", "anchor"));
    }

    #[test]
    fn declared_names_fall_into_words() {
        assert_eq!(declared("    pub(crate) fn upload_all(x: u8) {"), Some("upload_all"));
        assert_eq!(declared("    let mut tip = 1;"), Some("tip"));
        assert_eq!(declared("    tip: u32,"), None);
        assert_eq!(words("BlobStore"), ["blob", "store"]);
        assert_eq!(words("WAL_CHECKPOINT"), ["wal", "checkpoint"]);
        assert_eq!(words("multiple_tips"), ["multiple", "tips"]);
    }
}
