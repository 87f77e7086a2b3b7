//! Names and texts that others chose, on their way to a terminal. Programs get them as they are.

use super::{Shop, objects, text};
use serde_json::json;
use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt};

/// A name that a terminal would show as another: what follows the override is shown from its end.
const TURNED: &str = "deed-\u{202e}fdp.exe";
/// The same, escaped.
const ESCAPED: &str = "deed-\\u{202e}fdp.exe";
/// A line end, a colour and a mark of direction.
const HOSTILE: &[u8] = b"x\npakit: all is well\x1b[31m\xe2\x80\x8f.json";

#[track_caller]
fn assert_harmless(output: &str) {
    let is_harmful = |letter: char| (letter.is_control() && letter != '\n') || "\u{202e}\u{200f}".contains(letter);
    assert!(!output.contains(is_harmful), "{output:?}");
    assert!(!output.contains("\npakit: all is well"), "{output:?}");
}

#[test]
fn names_of_files_are_escaped_for_people_and_exact_for_programs() {
    let shop = Shop::new();
    shop.write(format!("folder/{TURNED}"), "content");
    fs::write(shop.path("folder").join(OsString::from_vec(HOSTILE.to_vec())), "more").unwrap();
    std::os::unix::fs::symlink(TURNED, shop.path("folder/link")).unwrap();
    let put = shop.run(&["put", "folder"]).with_code(0);
    let folder = text(shop.objects(&["put", "folder"]).last().unwrap(), "block");
    let listed = shop.run(&["ls", &folder]).with_code(0);
    for done in [&put, &listed] {
        let stdout = String::from_utf8(done.stdout.clone()).unwrap();
        assert_harmless(&stdout);
        assert!(stdout.contains(ESCAPED), "{stdout}");
        assert_eq!(stdout.lines().count(), 3, "{stdout}");
    }
    let names: Vec<_> = shop.objects(&["ls", &folder]).iter().map(|entry| entry["name"].clone()).collect();
    assert!(names.contains(&json!(TURNED)) && names.contains(&json!(String::from_utf8(HOSTILE.to_vec()).unwrap())));
    let done = shop.run(&["get", &format!("{folder}:no/{TURNED}")]).with_code(2);
    assert_harmless(&done.stderr);
    let done = shop.run(&["get", &folder, "-o", &format!("to-{TURNED}")]).with_code(0);
    assert_harmless(&String::from_utf8(done.stdout).unwrap());
}

#[test]
fn what_is_wrong_with_a_document_is_told_without_what_its_name_would_do() {
    let shop = Shop::empty();
    fs::create_dir(shop.path("proofs")).unwrap();
    fs::write(shop.path("proofs").join(OsString::from_vec(HOSTILE.to_vec())), "no document").unwrap();
    shop.write(format!("proofs/{TURNED}.json"), "[\"\u{202e}\"]");
    let done = shop.run(&["verify", "--batch", "proofs"]).with_code(1);
    let stdout = String::from_utf8(done.stdout).unwrap();
    assert_harmless(&stdout);
    assert_harmless(&done.stderr);
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    let done = shop.run(&["--json", "verify", "--batch", "proofs"]).with_code(1);
    assert_eq!(objects(&done.stdout)[0]["path"], json!(format!("proofs/{TURNED}.json")));
    for path in [OsString::from(format!("proofs/{TURNED}.json")), OsString::from_vec([b"proofs/", HOSTILE].concat())] {
        let done = shop.run(&[&OsString::from("verify"), &path]).with_code(1);
        assert_harmless(&done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
}

#[test]
fn texts_that_a_repository_holds_are_escaped_for_people_and_exact_for_programs() {
    let shop = Shop::empty();
    shop.object(&["init", "--name", TURNED]);
    let block = shop.put("file", "content");
    shop.ok(&["forget", &block, "--why", TURNED]);
    for command in [&["status"][..], &["show", &block], &["audit"]] {
        let stdout = String::from_utf8(shop.ok(command)).unwrap();
        assert_harmless(&stdout);
        assert!(stdout.contains("\\u{202e}"), "{stdout}");
    }
    assert_eq!(shop.object(&["status"])["name"], json!(TURNED));
    assert_eq!(shop.object(&["show", &block])["forgotten"]["why"], json!(TURNED));
}

#[test]
fn variables_that_are_no_text_or_mean_nothing_are_refused_by_name() {
    for (name, value) in [
        ("PAKIT_JOBS", &b"4\xff"[..]),
        ("PAKIT_JOBS", b"four"),
        ("PAKIT_CACHE", b"\xff"),
        ("PAKIT_LOG", b"debug\xff"),
        ("PAKIT_LOG", b"pakit=loud"),
        ("PAKIT_TOKEN", b"\xff"),
    ] {
        let mut shop = Shop::new();
        shop.variables.push((name.into(), OsString::from_vec(value.to_vec())));
        let arguments: &[&str] = if name == "PAKIT_TOKEN" { &["serve"] } else { &["head"] };
        let complaint = shop.complaint(2, arguments);
        assert!(complaint.contains(name) && complaint.lines().count() == 1, "{complaint}");
    }
    // One that is empty is not set.
    let mut shop = Shop::new();
    shop.variables.extend(["PAKIT_JOBS", "PAKIT_LOG"].map(|name| (name.into(), OsString::new())));
    shop.ok(&["head"]);
}
