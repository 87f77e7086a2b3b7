//! Proof documents against every change of them, read by `pakit` and by a verifier that shares no code with it.

#![allow(clippy::unwrap_used, missing_docs)]

use pakit_tests::{
    Pakit,
    pakit::{number, text},
    process::Running,
    proof::mutations,
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const CONTENT: &str = "parcel 12/7: 412 square metres\n";

/// A document with everything a document can have, in a folder with the file it is about.
struct Proved {
    pakit: Pakit,
    document: String,
    /// The head that the block is proved in.
    root: String,
    size: u64,
    /// The later head that the consistency proof leads to.
    later_root: String,
    later_size: u64,
    genesis: String,
}

/// The verifier that was written from the formats' description.
fn independent(arguments: &[&str], folder: &Path) -> Running {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pallet-pakit/primitives/vectors/pakit.py");
    let mut command = Command::new("python3");
    command.arg(script).arg("verify").args(arguments).current_dir(folder);
    Running::start(command)
}

fn prove(folder: &Path) -> Proved {
    let pakit = Pakit::new(folder);
    let genesis = pakit.init();
    for index in 0..9 {
        pakit.put(&format!("{index}"), format!("document {index}\n"));
    }
    let block = pakit.put("file", CONTENT);
    for index in 0..9 {
        pakit.put(&format!("later {index}"), format!("later document {index}\n"));
    }
    let proof = pakit.run(["prove", &block, "--size", "13", "--consistent-with", "20", "--lineage"]).ok();
    let mut document: Value = serde_json::from_slice(&proof.stdout).unwrap();
    document["anchor"] = json!({
        "genesis": format!("0x{}", "c4".repeat(32)), "dag": 3, "anchor": 7, "block_hash": format!("0x{}", "b1".repeat(32)),
        "block_number": 12, "extrinsic_index": 2,
    });
    let root = text(&document["tree_head"], "root");
    let size = number(&document["tree_head"], "size");
    let (later_size, later_root) = pakit.head();
    assert_eq!((size, later_size), (13, 20));
    Proved { document: document.to_string(), pakit, root, size, later_root, later_size, genesis }
}

#[test]
fn every_change_of_a_document_is_refused_by_two_verifiers_that_share_no_code() {
    let scratch = tempfile::tempdir().unwrap();
    let proved = prove(&scratch.path().join("archive"));
    // Neither of them has a repository.
    let reader = Pakit::new(scratch.path().join("reader"));
    reader.write("file", CONTENT);
    // The later head is trusted, so that the consistency proof is needed too.
    let size = proved.later_size.to_string();
    let arguments = ["proof.json", "file", "--root", &proved.later_root, "--size", &size];
    let both = |name: &str, document: &[u8]| {
        reader.write("proof.json", document);
        let ours = reader.start([&["--json", "verify"][..], &arguments].concat());
        let theirs = independent(&arguments, reader.folder()).wait();
        let ours = ours.wait();
        for done in [&ours, &theirs] {
            assert!(matches!(done.code, Some(0 | 1)), "{name}: {done:?}");
        }
        assert_eq!(ours.code, theirs.code, "{name}: {ours:?} {theirs:?}");
        // A document that cannot be read has no answer, only a complaint.
        if !ours.stdout.is_empty() {
            let (ours, theirs) = (ours.object(), theirs.object());
            for field in ["valid", "consistent"] {
                assert_eq!(ours[field], theirs[field], "{name}: {ours} {theirs}");
            }
            let refusal = ours.get("refusal").and_then(Value::as_str);
            assert_eq!(refusal.is_some_and(|text| !text.is_empty()), ours["valid"] == false, "{name}: {ours}");
        } else {
            assert!(ours.stderr.starts_with("pakit: proof.json: "), "{name}: {}", ours.stderr);
        }
        ours.code == Some(0)
    };
    assert!(both("unchanged", proved.document.as_bytes()));
    let changed = mutations(&proved.document);
    assert!(changed.len() >= 250, "{}", changed.len());
    let wrong: Vec<_> = changed
        .iter()
        .filter(|mutation| both(&mutation.name, &mutation.bytes) != mutation.is_harmless)
        .map(|mutation| &mutation.name)
        .collect();
    assert!(wrong.is_empty(), "accepted, or refused though it is harmless: {wrong:?}");
}

#[test]
fn a_changed_file_is_refused_whatever_changed() {
    let scratch = tempfile::tempdir().unwrap();
    let proved = prove(scratch.path());
    let pakit = &proved.pakit;
    pakit.write("proof.json", &proved.document);
    let size = proved.size.to_string();
    let verify = |content: &str| {
        pakit.write("given", content);
        let done = pakit.run(["--json", "verify", "proof.json", "given", "--root", &proved.root, "--size", &size]);
        let theirs = ["proof.json", "given", "--root", &proved.root, "--size", &size];
        let theirs = independent(&theirs, pakit.folder()).wait();
        assert_eq!(done.code, theirs.code, "{content:?}");
        (done.code, done.object())
    };
    let (code, answer) = verify(CONTENT);
    assert_eq!((code, &answer["valid"], &answer["head"]), (Some(0), &json!(true), &json!("given")));
    let checked = |lineage: &str| {
        json!(["header", "block_hash", "inclusion", lineage, "consistency", "content_size", "content", "head"])
    };
    assert_eq!(answer["checked"], checked("lineage_unchecked_genesis"));
    // Both verifiers name the lineage when the genesis is one that was named to them, and only then.
    pakit.write("given", CONTENT);
    for (genesis, lineage) in [(None, "lineage_unchecked_genesis"), (Some(&proved.genesis), "lineage")] {
        let mut arguments = vec!["proof.json", "given", "--root", &proved.root, "--size", &size];
        arguments.extend(genesis.iter().flat_map(|genesis| ["--genesis", genesis.as_str()]));
        let ours = pakit.run([&["--json", "verify"][..], &arguments].concat()).ok().object();
        assert_eq!(ours["checked"], checked(lineage));
        let theirs = independent(&arguments, pakit.folder()).wait().object();
        // Its header is one only with its hash, its content only with its size.
        assert_eq!(theirs["checked"], json!(["header", "inclusion", lineage, "consistency", "content", "head"]));
    }
    let end = CONTENT.len() - 1;
    for (content, refusal) in [
        (CONTENT.replace('7', "8"), "the file is not the block's content"),
        (CONTENT[..end].to_owned(), "the file has 30 bytes, the block 31"),
        (format!("{CONTENT}\n"), "the file has more than the block's 31 bytes"),
        (String::new(), "the file has 0 bytes, the block 31"),
    ] {
        let (code, answer) = verify(&content);
        assert_eq!((code, &answer["valid"], &answer["consistent"]), (Some(1), &json!(false), &json!(false)));
        assert_eq!(answer["refusal"], json!(refusal));
    }
}

#[test]
fn without_a_head_to_trust_a_document_is_consistent_and_not_valid() {
    let scratch = tempfile::tempdir().unwrap();
    let proved = prove(scratch.path());
    let pakit = &proved.pakit;
    pakit.write("proof.json", &proved.document);
    let verify = |more: &[&str]| {
        let done = pakit.run([&["--json", "verify", "proof.json", "file"], more].concat());
        (done.code, done.object())
    };
    let (code, answer) = verify(&[]);
    assert_eq!((code, &answer["valid"], &answer["consistent"]), (Some(1), &json!(false), &json!(true)));
    assert_eq!((&answer["head"], &answer["owner"]), (&json!("unchecked"), &Value::Null));
    let (code, answer) = verify(&["--allow-unchecked-head"]);
    assert_eq!((code, &answer["valid"], &answer["consistent"]), (Some(0), &json!(false), &json!(true)));

    // The later head of the consistency proof is as good as the one that the block is proved in; any other is not.
    let root = &proved.later_root;
    let (code, answer) = verify(&["--size", "20", "--root", root]);
    assert_eq!((code, &answer["valid"], &answer["size"]), (Some(0), &json!(true), &json!(20)));
    for (root, size) in [(root, "19"), (&proved.root, "12"), (&proved.root, "14"), (&proved.genesis, "13")] {
        let (code, answer) = verify(&["--root", root, "--size", size]);
        assert_eq!((code, &answer["valid"], &answer["consistent"]), (Some(1), &json!(false), &json!(true)), "{size}");
        assert_eq!(answer["refusal"], json!("the document leads to no trusted head"));
    }
    // Half a head is wrong use, and so is a head with the permission to do without one.
    for more in [&["--root", root][..], &["--size", "20"], &["--dag", "0"], &["--finalized"]] {
        assert_eq!(pakit.run([&["verify", "proof.json"], more].concat()).code, Some(2), "{more:?}");
    }
}

#[test]
fn a_document_from_standard_input_and_files_that_are_not_there() {
    let scratch = tempfile::tempdir().unwrap();
    let proved = prove(scratch.path());
    let pakit = &proved.pakit;
    let mut running = pakit.start_piped(
        ["--json", "verify", "-", "file", "--root", &proved.root, "--size", &proved.size.to_string()],
        std::process::Stdio::piped(),
    );
    std::io::Write::write_all(&mut running.stdin(), proved.document.as_bytes()).unwrap();
    assert_eq!(running.wait().ok().object()["valid"], json!(true));

    let complaint = pakit.complaint(3, ["verify", "nowhere.json"]);
    assert!(complaint.contains("nowhere.json") && complaint.contains("No such file"), "{complaint}");
    pakit.write("proof.json", &proved.document);
    let complaint = pakit.complaint(3, ["verify", "proof.json", "nowhere"]);
    assert!(complaint.contains("nowhere"), "{complaint}");
    // A folder is neither a document nor a content.
    let complaint = pakit.complaint(3, ["verify", "proof.json", "."]);
    assert!(complaint.starts_with(".: "), "{complaint}");
}
