//! Wrong use, items that cannot be stored, repositories that cannot be used.

use super::{Shop, finish, number, objects, text};
use offchain_store::sqlite::{Access, Options, SqliteBackend};
use serde_json::json;
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    process::Command,
};

/// The user that owns nothing, on every system that has users.
const NOBODY: u32 = 65_534;

/// Complaints under captions, for one snapshot.
fn listed<'a>(complaints: impl IntoIterator<Item = (&'a str, String)>) -> String {
    complaints.into_iter().map(|(caption, complaint)| format!("# {caption}\n{complaint}\n")).collect()
}

#[test]
fn wrong_use_is_code_2_and_says_what_was_wrong() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    let folder = text(&shop.objects(&["put", "--meta", "a=b", "."])[1], "block");
    let of = |arguments: &[&str]| shop.complaint(2, arguments);
    insta::assert_snapshot!(listed([
        ("no such command", of(&["upload", "file"])),
        ("no such flag", of(&["put", "file", "--recursive"])),
        ("nothing to put", of(&["put"])),
        ("standard input twice", of(&["put", "-", "-"])),
        ("metadata without a value", of(&["put", "file", "--meta", "author"])),
        ("a strategy that there is not", of(&["init", "--strategy", "best"])),
        ("neither a hash nor a CID", of(&["get", "file"])),
        ("half a hash", of(&["show", "0xabababababababababab"])),
        ("a range without a start", of(&["get", &block, "--range", "-5"])),
        ("a range that ends before it starts", of(&["get", &block, "--range", "5-4"])),
        ("a range behind the end", of(&["get", &block, "--range", "100-200"])),
        ("a range of a folder", of(&["get", &folder, "--range", "0-9"])),
        ("a log from behind its end", of(&["log", "--from", "5"])),
        ("a key of metadata twice", of(&["put", "file", "--meta", "key=1", "--meta", "key=2"])),
        ("a folder to standard output", of(&["get", &folder])),
        ("a listing of what is no folder", of(&["ls", &block])),
        ("depths that are none", of(&["query", "--depth", "deep"])),
        ("a time that is none", of(&["query", "--since", "lately"])),
        ("a size beyond the log", of(&["prove", &block, "--size", "99"])),
        ("a size before the block", of(&["prove", &block, "--size", "1"])),
        ("a root without a size", of(&["verify", "file", "--root", &block])),
        ("a root that is none", of(&["verify", "file", "--root", "0xab", "--size", "1"])),
        ("a name that is too long", of(&["init", "--repo", "other", "--name", &"n".repeat(1_025)])),
        ("a cache that is no size", of(&["head", "--cache", "much"])),
        ("a way to wait that there is not", of(&["head", "--fsync", "sometimes"])),
        ("a compression that there is not", of(&["put", "file", "--compression", "lzma"])),
        (
            "a level beyond the compression's",
            of(&["put", "file", "--compression", "gzip", "--compression-level", "99"])
        ),
        ("chunks that are too small", of(&["put", "file", "--chunk-size", "1KiB"])),
        ("no threads", of(&["put", "file", "--jobs", "0"])),
    ]));
    shop.write(".pakit/config.toml", "compresion = \"zstd\"\n");
    insta::assert_snapshot!("wrong_settings_file", shop.complaint(2, &["head"]));
}

#[test]
fn a_repository_that_is_missing_made_twice_or_half_made_is_said_in_one_line() {
    let shop = Shop::empty();
    let missing = shop.complaint(3, &["head"]);
    let elsewhere = shop.complaint(3, &["put", "x", "--repo", "no/where"]);
    shop.write("file", "not a folder");
    let file = shop.complaint(3, &["head", "--repo", "file"]);
    shop.object(&["init"]);
    let twice = shop.complaint(2, &["init"]);
    let other = shop.complaint(2, &["show", &"ab".repeat(32)]);
    // Killed between making the database and the first block.
    drop(SqliteBackend::create(&shop.path("half"), &Options::default()).unwrap());
    let half = shop.complaint(3, &["head", "--repo", "half"]);
    insta::assert_snapshot!(listed([
        ("missing", missing),
        ("missing elsewhere", elsewhere),
        ("a file", file),
        ("made twice", twice),
        ("a block of another repository", other),
        ("half made", half),
    ]));
    shop.object(&["init", "--repo", "half"]);
    assert_eq!(shop.object(&["head", "--repo", "half"])["size"], json!(1));
}

#[test]
fn a_newer_version_is_refused_and_left_as_it_is() {
    let shop = Shop::new();
    let database = rusqlite::Connection::open(shop.database()).unwrap();
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    shop.write("file", "content");
    for arguments in [&["head"][..], &["put", "file"], &["check"], &["init"], &["status"]] {
        let complaint = shop.complaint(3, arguments).replace(&format!("up to {version}"), "up to [known]");
        let is_init = arguments == ["init"];
        assert!(
            complaint.contains("format version 99") && complaint.contains("use a newer pakit") || is_init,
            "{arguments:?}: {complaint}"
        );
        if !is_init {
            insta::assert_snapshot!("newer_version", complaint);
        }
    }
    let database = rusqlite::Connection::open(shop.database()).unwrap();
    database.pragma_update(None, "user_version", version).unwrap();
    drop(database);
    assert_eq!(shop.object(&["head"])["size"], json!(1));
}

#[test]
fn while_one_writes_another_reads_and_is_told_why_it_cannot_write() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    let writer = SqliteBackend::open(&shop.path(".pakit"), Access::Write, &Options::default()).unwrap();
    insta::assert_snapshot!("locked_by_a_writer", shop.complaint(3, &["put", "file"]));
    assert!(shop.complaint(3, &["check"]).contains("is being written by another process"));
    assert_eq!(shop.ok(&["get", &block]), b"content");
    assert_eq!(shop.object(&["head"])["size"], json!(2));
    shop.object(&["status"]);
    shop.object(&["stats"]);
    drop(writer);
    // A process that another test is starting at this instant holds the lock's file until it is a program of its own.
    let is_locked = |done: &super::Done| done.stderr.contains("is being written by another process");
    let done = (0..100).map(|_| shop.run(&["put", "file"])).find(|done| !is_locked(done));
    done.unwrap().with_code(0);
}

/// A shop whose commands are run by somebody who is not above permissions, as the superuser is.
fn by_somebody() -> Shop {
    let mut shop = Shop::empty();
    // Where the program was built, that user may not be able to go.
    let copy = shop.path("pakit");
    fs::copy(&shop.program, &copy).unwrap();
    shop.program = copy;
    shop
}

fn chown(shop: &Shop, name: &str) {
    if is_superuser() {
        let status = Command::new("chown").arg("-R").arg(NOBODY.to_string()).arg(shop.path(name)).status().unwrap();
        assert!(status.success());
    }
}

fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

fn run_as_somebody(shop: &Shop, arguments: &[&str]) -> super::Done {
    let mut command = shop.command(arguments);
    if is_superuser() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // The program is a copy that was just written; a process that another test starts at that moment still has it open.
    for _ in 0..100 {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            started => return finish(started.unwrap()),
        }
    }
    panic!("the program is being written for two seconds");
}

#[test]
fn where_nothing_can_be_written_everything_can_be_read() {
    let shop = by_somebody();
    shop.object(&["init"]);
    let block = shop.put("file", "content");
    let proof = shop.ok(&["prove", &block]);
    chown(&shop, ".pakit");
    let set = |folder: u32, file: u32| {
        for entry in fs::read_dir(shop.path(".pakit")).unwrap() {
            fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(file)).unwrap();
        }
        fs::set_permissions(shop.path(".pakit"), Permissions::from_mode(folder)).unwrap();
    };
    set(0o555, 0o444);
    fs::set_permissions(shop.folder.path(), Permissions::from_mode(0o755)).unwrap();
    for (arguments, expected) in [
        (&["get", block.as_str()][..], b"content".to_vec()),
        (&["prove", &block], proof),
        (&["--json", "head"], shop.ok(&["--json", "head"])),
        (&["--json", "log"], shop.ok(&["--json", "log"])),
    ] {
        let done = run_as_somebody(&shop, arguments).with_code(0);
        assert_eq!(done.stdout, expected, "{arguments:?}");
    }
    for arguments in [&["status"][..], &["stats"], &["query", "--anchored"], &["check", "--full"]] {
        run_as_somebody(&shop, arguments).with_code(0);
    }
    let done = run_as_somebody(&shop, &["check", "--full", "--save-every", "0"]).with_code(0);
    assert_eq!(done.stderr.matches("cannot be resumed").count(), 1, "{}", done.stderr);
    let done = run_as_somebody(&shop, &["put", "file"]).with_code(3);
    insta::assert_snapshot!("read_only", shop.normalized(&done.stderr));
    set(0o755, 0o644);
    assert_eq!(shop.object(&["check", "--full"])["problem_count"], json!(0));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_stored() {
    let shop = by_somebody();
    shop.object(&["init"]);
    shop.write("folder/forbidden", "content");
    shop.write("folder/closed/inside", "content");
    shop.write("folder/open", "open");
    for (name, mode) in [("folder/forbidden", 0o000), ("folder/closed", 0o000)] {
        fs::set_permissions(shop.path(name), Permissions::from_mode(mode)).unwrap();
    }
    chown(&shop, ".pakit");
    chown(&shop, "folder");
    fs::set_permissions(shop.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let done = run_as_somebody(&shop, &["--json", "put", "folder"]).with_code(1);
    fs::set_permissions(shop.path("folder/closed"), Permissions::from_mode(0o700)).unwrap();
    let stored = objects(&done.stdout);
    assert_eq!(json!(stored.iter().map(|item| &item["path"]).collect::<Vec<_>>()), json!(["folder/open", "folder"]));
    insta::assert_snapshot!(shop.normalized(&done.stderr));
    let entry = shop.object(&["ls", &text(&stored[1], "block")]);
    assert_eq!(entry["name"], json!("open"));
}

#[test]
fn what_is_no_file_is_named_and_the_rest_is_stored() {
    let shop = Shop::new();
    shop.write("folder/file", "content");
    symlink("loop", shop.path("folder/loop")).unwrap();
    symlink("folder", shop.path("folder/above")).unwrap();
    symlink("round", shop.path("round")).unwrap();
    let _socket = UnixListener::bind(shop.path("folder/socket")).unwrap();
    let status = Command::new("mkfifo").arg(shop.path("folder/pipe")).status().unwrap();
    assert!(status.success());
    let paths = ["put", "gone", "/dev/null", "folder/pipe", "round", "folder", "file/below", "folder/file"];
    shop.write("file", "");
    let done = finish(shop.command(&[&["--json"][..], &paths].concat()).spawn().unwrap()).with_code(1);
    insta::assert_snapshot!(shop.normalized(&done.stderr));
    let stored = objects(&done.stdout);
    assert_eq!(
        json!(stored.iter().map(|item| &item["path"]).collect::<Vec<_>>()),
        json!(["folder/file", "folder", "folder/file"])
    );
    // Links within a folder are kept as links, wherever they lead.
    let names = shop.objects(&["ls", &text(&stored[1], "block")]);
    assert_eq!(json!(names.iter().map(|entry| &entry["name"]).collect::<Vec<_>>()), json!(["above", "file", "loop"]));
    assert_eq!(shop.object(&["check", "--full"])["problem_count"], json!(0));
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_stored_as_something_it_never_was() {
    let shop = Shop::new();
    let path = shop.write("growing", vec![1; 64 << 20]);
    shop.write("quiet", "quiet");
    let mut child = shop.command(&["--json", "put", "growing", "quiet"]).spawn().unwrap();
    // Written to for as long as it may be read.
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    let mut writes = 0u64;
    while child.try_wait().unwrap().is_none() {
        std::io::Write::write_all(&mut file, b"more").unwrap();
        writes += 1;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let done = finish(child).with_code(1);
    assert!(writes > 1, "it was read before it could be written to");
    insta::assert_snapshot!(shop.normalized(&done.stderr));
    let stored = objects(&done.stdout);
    assert_eq!(json!(stored.iter().map(|item| &item["path"]).collect::<Vec<_>>()), json!(["quiet"]));
    assert_eq!(number(&shop.object(&["head"]), "size"), 2);
    assert_eq!(shop.object(&["check", "--full"])["problem_count"], json!(0));
}

#[test]
fn outputs_that_cannot_be_written_are_said_and_nothing_is_half_there() {
    let shop = Shop::new();
    let block = shop.put("file", "content");
    shop.write("occupied/by", "something");
    shop.write("folder/file", "content");
    let folder = text(shop.objects(&["put", "folder"]).last().unwrap(), "block");
    insta::assert_snapshot!(listed([
        ("a file into a folder that is not there", shop.complaint(3, &["get", &block, "-o", "no/where"])),
        ("a file in place of a folder", shop.complaint(2, &["get", &block, "-o", "occupied"])),
        ("a folder in place of a file", shop.complaint(2, &["get", &folder, "-o", "file"])),
        ("a folder where something is", shop.complaint(2, &["get", &folder, "-o", "occupied"])),
        ("a proof into a folder that is not there", shop.complaint(3, &["prove", &block, "-o", "no/where"])),
        ("a full disk", shop.complaint(3, &["get", &block, "-o", "/dev/full"])),
    ]));
    assert_eq!(fs::read(shop.path("occupied/by")).unwrap(), b"something");
    assert_eq!(fs::read(shop.path("file")).unwrap(), b"content");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = shop.command(&["--json", "log"]);
    let done = finish(command.stdout(full).spawn().unwrap()).with_code(3);
    assert!(done.stderr.starts_with("pakit: standard output: No space left on device"), "{}", done.stderr);
}

#[test]
fn a_repository_is_not_put_into_itself_under_any_name() {
    let shop = Shop::new();
    let repo = shop.database().parent().unwrap().to_owned();
    fs::hard_link(repo.join("pakit.db"), shop.path("linked.db")).unwrap();
    symlink(repo.join("pakit.db"), shop.path("pointed.db")).unwrap();
    for name in [repo.clone(), repo.join("pakit.db"), shop.path("linked.db"), shop.path("pointed.db")] {
        let done = shop.run(&["put", name.to_str().unwrap()]).with_code(1);
        assert!(done.stderr.contains("belongs to the repository"), "{}", done.stderr);
    }
    shop.run(&["check", "--full"]).with_code(0);
}

#[test]
fn a_lock_that_leads_elsewhere_makes_nothing_there() {
    let shop = Shop::new();
    shop.write("file", "content");
    let lock = shop.path(".pakit/lock");
    fs::remove_file(&lock).unwrap();
    symlink(shop.path("elsewhere"), &lock).unwrap();
    insta::assert_snapshot!("lock_is_a_symlink", shop.complaint(3, &["put", "file"]));
    assert!(!shop.path("elsewhere").exists());
    fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let complaint = shop.complaint(3, &["put", "file"]);
    assert!(complaint.contains("it is a pipe and not a file"), "{complaint}");
    fs::remove_file(&lock).unwrap();
    shop.object(&["put", "file"]);
}

#[test]
fn settings_in_what_is_no_file_are_refused_by_what_it_is() {
    let shop = Shop::new();
    let settings = shop.path(".pakit/config.toml");
    assert!(Command::new("mkfifo").arg(&settings).status().unwrap().success());
    let pipe = shop.complaint(3, &["head"]);
    fs::remove_file(&settings).unwrap();
    fs::create_dir(&settings).unwrap();
    let folder = shop.complaint(3, &["head"]);
    insta::assert_snapshot!("settings_that_are_no_file", format!("{pipe}{folder}"));
}
