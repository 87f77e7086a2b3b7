//! Many proof documents at once.

use super::{Shop, objects, text};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::symlink, process::Command};

/// Proofs of 150 blocks in the folder `proofs`, more than are in memory at once, and the flags that name the head.
fn proofs(shop: &Shop) -> Vec<String> {
    for number in 0..150 {
        shop.write(format!("folder/{number:03}"), format!("content {number}"));
    }
    shop.ok(&["put", "folder"]);
    fs::create_dir(shop.path("proofs")).unwrap();
    for leaf_index in 0..150 {
        shop.ok(&["prove", &format!("@{leaf_index}"), "-o", &format!("proofs/{leaf_index:03}.json")]);
    }
    let head = shop.object(&["head"]);
    ["--root", &text(&head, "root"), "--size", &head["size"].to_string()].map(ToOwned::to_owned).to_vec()
}

fn verify(shop: &Shop, code: i32, flags: &[String]) -> (Vec<Value>, String) {
    let mut arguments = vec!["--json".to_owned(), "verify".to_owned(), "--batch".to_owned(), "proofs".to_owned()];
    arguments.extend_from_slice(flags);
    let done = shop.run(&arguments).with_code(code);
    (objects(&done.stdout), done.stderr)
}

#[test]
fn a_folder_of_documents_is_verified_in_order_and_hostile_ones_stop_nothing() {
    let shop = Shop::new();
    let head = proofs(&shop);
    fs::write(shop.path("proofs/notes.txt"), "no document").unwrap();
    let (lines, _) = verify(&shop, 0, &head);
    assert_eq!(lines.len(), 150);
    for (leaf_index, line) in lines.iter().enumerate() {
        assert_eq!(line["path"], json!(format!("proofs/{leaf_index:03}.json")));
        assert_eq!(
            (&line["valid"], &line["leaf_index"], &line["head"]),
            (&json!(true), &json!(leaf_index), &json!("given"))
        );
    }
    // Without a head to trust, none is valid.
    let (lines, stderr) = verify(&shop, 1, &[]);
    assert!(lines.iter().all(|line| line["valid"] == json!(false) && line["consistent"] == json!(true)));
    assert!(stderr.contains("150 of 150 documents in proofs did not pass"), "{stderr}");
    verify(&shop, 0, &["--allow-unchecked-head".to_owned()]);

    let place = |name: &str| shop.path(format!("proofs/{name}"));
    fs::write(place("a-empty.json"), "").unwrap();
    fs::write(place("b-long.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    fs::write(place("c-deep.json"), "[".repeat(1 << 19)).unwrap();
    assert!(Command::new("mkfifo").arg(place("d-pipe.json")).status().unwrap().success());
    fs::create_dir(place("e-folder.json")).unwrap();
    symlink("/dev/zero", place("f-endless.json")).unwrap();
    symlink("nowhere", place("g-nowhere.json")).unwrap();
    symlink("007.json", place("h-link.json")).unwrap();
    let changed = fs::read_to_string(place("003.json")).unwrap().replace("\"leaf_index\": 3", "\"leaf_index\": 4");
    fs::write(place("003.json"), changed).unwrap();
    let (lines, stderr) = verify(&shop, 1, &head);
    assert_eq!(lines.len(), 158);
    assert!(stderr.contains("8 of 158 documents"), "{stderr}");
    assert!(lines[3]["refusal"].as_str().unwrap().contains("place 4 of the log"), "{}", lines[3]);
    let said = |place: usize| lines[150 + place]["error"].as_str().unwrap_or_default().to_owned();
    for (place, expected) in ["", "", "", "a pipe", "a folder", "a device", "No such file"].into_iter().enumerate() {
        assert!(said(place).contains(expected) && !said(place).is_empty(), "{:?}", lines[150 + place]);
    }
    assert_eq!(lines[157]["valid"], json!(true), "a link to a document");
}

#[test]
fn a_batch_is_used_alone_and_never_of_nothing() {
    let shop = Shop::empty();
    fs::create_dir(shop.path("proofs")).unwrap();
    assert!(shop.complaint(2, &["verify", "--batch", "proofs"]).contains("holds no *.json"));
    assert!(shop.complaint(3, &["verify", "--batch", "nowhere"]).contains("No such file"));
    shop.run(&["verify", "--batch", "proofs", "proof.json"]).with_code(2);
    shop.run(&["verify"]).with_code(2);
}
