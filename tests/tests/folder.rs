//! A large folder of real files, and a stream that is larger than the memory it may take.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::chunk::CHUNK_BYTES_DEFAULT;
use pakit_tests::{
    POLL, Pakit,
    folder::{assert_same, count_files, describe},
    pakit::{number, text},
    process::Running,
};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use serde_json::json;
use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Files of the folder.
const FILES_MIN: usize = 20_000;
/// Files after which no more are copied.
const FILES_ENOUGH: usize = 20_500;

/// Bytes of the stream.
const STREAM_BYTES: u64 = 1 << 30;
/// Memory that a stream of any size may take.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;

/// Time for putting or getting all of it on a busy machine.
const LONG: Duration = Duration::from_secs(900);

/// The sources of the crates that this workspace is built from: they are on every machine that can run this test.
fn registry_sources() -> PathBuf {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    cargo_home.expect("neither CARGO_HOME nor a home folder is known").join("registry/src")
}

/// Copies crate after crate, modes and times and links included, until there are files enough.
fn copy_sources(into: &Path) {
    let sources = registry_sources();
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
        let mut entries: Vec<PathBuf> = entries.unwrap_or_default();
        entries.sort();
        entries
    };
    let mut files = 0;
    for registry in list(&sources) {
        for package in list(&registry).into_iter().filter(|path| path.is_dir()) {
            if files >= FILES_ENOUGH {
                return;
            }
            let target = into.join(package.file_name().unwrap());
            if target.exists() {
                continue;
            }
            let status = Command::new("cp").arg("-a").args([&package, &target]).status().unwrap();
            assert!(status.success(), "cp of {}", package.display());
            files += count_files(&describe(&target));
        }
    }
    panic!(
        "{} files below {}: this test needs {FILES_MIN}; fetch this workspace's dependencies with `cargo fetch`",
        files,
        sources.display()
    );
}

/// What is rare among sources: modes, times before 1970 and with nanoseconds, links of every kind, names that are not text.
fn add_oddities(folder: &Path) {
    let odd = folder.join("odd");
    fs::create_dir(&odd).unwrap();
    for (index, mode) in [0o000, 0o400, 0o600, 0o644, 0o700, 0o755, 0o777, 0o1777].into_iter().enumerate() {
        let path = odd.join(format!("mode {mode:04o}"));
        fs::write(&path, format!("{index}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(odd.join("empty"), "").unwrap();
    fs::write(odd.join(OsStr::from_bytes(b"not text \xff\xfe")), "bytes").unwrap();
    fs::write(odd.join("line\nbreak \u{1f980}"), "text").unwrap();
    fs::create_dir(odd.join("empty folder")).unwrap();
    for (name, target) in [
        ("to a file", "empty"),
        ("to a folder", "empty folder"),
        ("to nothing", "nowhere/at all"),
        ("to itself", "to itself"),
    ] {
        symlink(target, odd.join(name)).unwrap();
    }
    symlink("/", odd.join("to the root")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), odd.join("to a name that is not text")).unwrap();
    // Deeper than any path that a system call takes at once would be unkind; this is merely deep.
    let deep = (0..60).fold(odd.join("deep"), |path, level| path.join(level.to_string()));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "deep").unwrap();
    // Contents around the size at which they are cut into chunks.
    for extra in [-1, 0, 1] {
        let size = usize::try_from(i64::from(CHUNK_BYTES_DEFAULT) + extra).unwrap();
        let bytes: Vec<u8> = (0..size).map(|index| (index * index / 7) as u8).collect();
        fs::write(odd.join(format!("{size} bytes")), bytes).unwrap();
    }
    let times = [
        ("empty", 1, 1),
        ("mode 0644", -1, 999_999_999),
        ("to nothing", 1_234_567_890, 123_456_789),
        ("deep", 0, 7),
        ("", 5, 5),
    ];
    for (name, seconds, nanoseconds) in times {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, odd.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

#[test]
fn twenty_thousand_real_files_come_back_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("folder");
    fs::create_dir(&folder).unwrap();
    copy_sources(&folder);
    add_oddities(&folder);
    let entries = describe(&folder);
    let files = count_files(&entries);
    assert!(files >= FILES_MIN, "{files}");

    let pakit = Pakit::new(scratch.path().join("archive"));
    pakit.init();
    let put = || {
        let mut command = pakit.command(["--json", "put"]);
        command.arg(&folder);
        let done = Running::start(command).within(LONG).wait().ok();
        assert_eq!(done.objects().last().unwrap()["path"], json!(folder), "a folder's listing comes last");
        done.objects()
    };
    let first = put();
    let folders = entries.len() - files - entries.values().filter(|entry| entry.mode & 0o170000 == 0o120000).count();
    assert_eq!(first.len(), files + folders + 1, "a line for each file and folder, and the folder itself");
    let block = text(first.last().unwrap(), "block");

    let restored = scratch.path().join("restored");
    let get = pakit.start([OsStr::new("get"), block.as_ref(), "-o".as_ref(), restored.as_os_str()]);
    get.within(LONG).wait().ok();
    assert_same(&folder, &restored);
    let before = pakit.object(["stats"]);
    let second = put();
    assert!(second.iter().all(|item| item["stored"] == json!(0) && item["deduplicated"] == json!(true)));
    let blocks =
        |items: &[serde_json::Value]| -> BTreeSet<String> { items.iter().map(|item| text(item, "block")).collect() };
    assert_eq!(blocks(&first), blocks(&second));
    assert_eq!(pakit.object(["stats"]), before, "the second time adds nothing at all");

    let checked = Running::start(pakit.command(["--json", "check", "--full"])).within(LONG).wait().ok().object();
    assert_eq!((&checked["problem_count"], &checked["is_complete"]), (&json!(0), &json!(true)));
    assert_eq!(number(&checked, "blocks"), number(&before, "blocks"));
}

#[test]
fn whose_rights_a_program_has_is_kept_and_not_restored() {
    let scratch = tempfile::tempdir().unwrap();
    let pakit = Pakit::new(scratch.path());
    pakit.init();
    let program = pakit.write("folder/program", "#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let block = text(pakit.objects(["put", "folder"]).last().unwrap(), "block");
    assert_eq!(pakit.object(["ls", &block])["mode"], json!(0o6755));
    pakit.run(["get", &block, "-o", "restored"]).ok();
    assert_eq!(fs::metadata(pakit.path("restored/program")).unwrap().permissions().mode() & 0o7777, 0o755);
}

/// Bytes that do not compress and do not repeat, always the same ones.
struct Noise(blake3::OutputReader);

impl Noise {
    fn new() -> Self {
        Self(blake3::Hasher::new().update(b"a stream").finalize_xof())
    }
}

/// Watches how much memory a process has at most, until it ends.
fn peak_until_end(mut running: Running) -> (u64, pakit_tests::process::Done) {
    let start = Instant::now();
    let mut peak = 0;
    while running.ended().is_none() {
        assert!(start.elapsed() < LONG, "it does not end: {}", running.stderr());
        peak = peak.max(running.peak_resident_bytes().unwrap_or(0));
        thread::sleep(POLL);
    }
    (peak, running.wait().ok())
}

#[test]
fn a_stream_of_a_gibibyte_goes_in_and_out_within_a_quarter_of_that_in_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let pakit = Pakit::new(scratch.path());
    pakit.init();
    // Neither end of the test holds the stream: it is made on one thread, and hashed on another.
    let mut putting = pakit.start_piped(["--json", "put", "-"], Stdio::piped());
    let mut input = putting.stdin();
    let writer = thread::spawn(move || {
        let mut noise = Noise::new().0;
        let mut piece = vec![0; 1 << 20];
        for _ in 0..STREAM_BYTES >> 20 {
            noise.fill(&mut piece);
            input.write_all(&piece).unwrap();
        }
    });
    let (peak, done) = peak_until_end(putting);
    writer.join().unwrap();
    assert!(peak > 0 && peak < RESIDENT_BYTES_MAX, "{} MiB", peak >> 20);
    let item = done.object();
    assert_eq!((&item["path"], number(&item, "size")), (&json!("-"), STREAM_BYTES));

    let (mut reader, out) = io::pipe().unwrap();
    let getting = Running::start_with(pakit.command(["get", &text(&item, "block")]), Stdio::null(), out.into());
    let hasher = thread::spawn(move || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut reader).unwrap();
        (hasher.count(), format!("0x{}", hasher.finalize().to_hex()))
    });
    let (peak, _) = peak_until_end(getting);
    assert!(peak > 0 && peak < RESIDENT_BYTES_MAX, "{} MiB", peak >> 20);
    assert_eq!(hasher.join().unwrap(), (STREAM_BYTES, text(&item, "content_hash")));

    // The end of it alone, too.
    let mut expected = vec![0; 1 << 10];
    let mut noise = Noise::new().0;
    let start = STREAM_BYTES - 5_000;
    noise.set_position(start);
    noise.fill(&mut expected);
    let range = format!("{start}-{}", start + 1_023);
    let part = pakit.run(["get", &text(&item, "block"), "--range", &range]).ok();
    assert_eq!(part.stdout, expected);
}
