//! What is no plain file where Pakit expects one: nothing is waited for, nothing is made elsewhere, and each is told by its name.

use super::{Shop, finish, text};
use serde_json::json;
use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_or_a_link_beside_the_database_is_refused_and_not_waited_for() {
    let shop = Shop::new();
    shop.put("file", "content");
    for name in ["pakit.db-journal", "pakit.db-wal", "pakit.db-shm"] {
        let path = shop.path(".pakit").join(name);
        assert!(!path.exists(), "the last one that wrote put everything away");
        for what in ["a pipe", "a symlink"] {
            if what == "a pipe" {
                pipe(&path)
            } else {
                symlink(shop.path("elsewhere"), &path).unwrap()
            }
            for arguments in [
                &["head"][..],
                &["put", "file"],
                &["check"],
                &["repair"],
                &["compact"],
                &["status"],
                &["backup", "kept"],
            ] {
                let complaint = shop.complaint(3, arguments);
                let is_named = complaint.contains(name) && complaint.contains(&format!("it is {what} and not a file"));
                assert!(is_named && complaint.lines().count() == 1, "{arguments:?}: {complaint}");
            }
            fs::remove_file(&path).unwrap();
        }
    }
    assert!(!shop.path("elsewhere").exists());
    assert_eq!(shop.object(&["check", "--full"])["problem_count"], json!(0));
}

#[test]
fn a_pipe_in_the_place_of_any_file_of_a_backup_is_refused_and_not_waited_for() {
    let shop = Shop::new();
    let gone = shop.put("file", "content");
    shop.put("other", "more content");
    shop.ok(&["forget", &gone, "--why", "a test"]);
    shop.ok(&["gc"]);
    shop.ok(&["backup", "kept"]);
    let files = ["pakit-backup.json", "snapshots/00000001.json", "snapshots/00000001.absent", "segments/00000001.pack"];
    for file in files {
        let (path, away) = (shop.path("kept").join(file), shop.path("away"));
        fs::rename(&path, &away).unwrap();
        pipe(&path);
        for arguments in
            [&["backup", "list", "kept"][..], &["backup", "verify", "kept"], &["restore", "kept", "--repo", "new"]]
        {
            let complaint = shop.complaint(3, arguments);
            assert!(complaint.contains(file) && complaint.contains("it is a pipe and not a file"), "{complaint}");
        }
        fs::remove_file(&path).unwrap();
        // A link to what was written is as good: nothing is ever written through it.
        symlink(&away, &path).unwrap();
        shop.ok(&["backup", "verify", "kept"]);
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    assert!(!shop.path("new").exists());
    shop.ok(&["backup", "kept", "--verify"]);
}

#[test]
fn a_backup_makes_nothing_elsewhere_through_links_in_its_folder() {
    let shop = Shop::new();
    shop.put("file", "content");
    let elsewhere = shop.path("elsewhere");
    fs::create_dir(shop.path("kept")).unwrap();
    for name in ["lock", "pakit-backup.json.new"] {
        symlink(&elsewhere, shop.path("kept").join(name)).unwrap();
    }
    let complaint = shop.complaint(3, &["backup", "kept"]);
    assert!(complaint.contains("kept/lock: it is a symlink and not a file; remove it"), "{complaint}");
    assert!(!elsewhere.exists());
    fs::remove_file(shop.path("kept/lock")).unwrap();
    shop.ok(&["backup", "kept", "--verify"]);
    assert!(!elsewhere.exists() && shop.path("kept/pakit-backup.json").symlink_metadata().unwrap().is_file());
    fs::remove_file(shop.path("kept/lock")).unwrap();
    pipe(&shop.path("kept/lock"));
    let complaint = shop.complaint(3, &["backup", "prune", "kept", "--keep-last", "1"]);
    assert!(complaint.contains("it is a pipe and not a file"), "{complaint}");
}

#[test]
fn a_proof_and_a_file_come_from_pipes_and_a_pipe_without_a_writer_is_not_waited_for() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    shop.write("proof.json", shop.ok(&["prove", &block]));
    let head = shop.object(&["head"]);
    let line = r#"exec "$0" verify --json <(cat proof.json) <(cat file) --root "$1" --size "$2""#;
    let mut bash = Command::new("bash");
    bash.args(["-c", line]).arg(&shop.program).args([&text(&head, "root"), &head["size"].to_string()]);
    bash.current_dir(shop.folder.path()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let done = finish(bash.spawn().unwrap()).with_code(0);
    assert_eq!(super::objects(&done.stdout)[0]["valid"], json!(true));

    pipe(&shop.path("pipe"));
    shop.complaint(1, &["verify", "pipe"]);
    // Nothing came, which is not the content.
    let done = shop.run(&["verify", "proof.json", "pipe"]).with_code(1);
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("REFUSED"), "{done:?}");
    for arguments in [["verify", ".", "file"], ["verify", "proof.json", "."]] {
        assert!(shop.complaint(3, &arguments).contains("it is a folder and not a file"));
    }
    // More than a document can be, of something without an end.
    shop.complaint(1, &["verify", "/dev/zero"]);
}

#[test]
fn a_file_whose_content_the_system_makes_up_is_named_and_can_be_put_as_a_stream() {
    let shop = Shop::new();
    symlink("/proc/version", shop.path("link")).unwrap();
    insta::assert_snapshot!("made_up_content", shop.complaint(1, &["put", "/proc/version"]));
    assert!(shop.complaint(1, &["put", "link"]).contains("it is no ordinary file"));
    let mut command = shop.command(&["--json", "put", "-"]);
    command.stdin(fs::File::open("/proc/version").unwrap());
    let done = finish(command.spawn().unwrap()).with_code(0);
    let block = text(&super::objects(&done.stdout)[0], "block");
    assert_eq!(shop.ok(&["get", &block]), fs::read("/proc/version").unwrap());
}
