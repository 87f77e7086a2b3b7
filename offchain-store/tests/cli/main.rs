//! The program `pakit` from outside, as far as it needs no chain: its help, its answers, its complaints.
//!
//! | file | what |
//! |---|---|
//! | `help.rs` | help texts and completions |
//! | `answers.rs` | what each command prints with `--json`, and what it does |
//! | `complaints.rs` | wrong use, items that cannot be stored, repositories that cannot be used: texts and exit codes |
//! | `backups.rs` | backups and restores: answers and complaints |
//! | `damage.rs` | damaged repositories |
//! | `irregular.rs` | pipes, links and other things that are no files, where files should be |
//! | `terminal.rs` | names and texts of others on their way to a terminal |
//! | `folders.rs` | folders in whole and in part, hostile and damaged ones |
//! | `batch.rs` | many proof documents at once |
//! | `interrupted.rs` | checks that are interrupted, killed and gone on with |
//! | `documented.rs` | that docs/cli.md says of `--json` what the commands print |
//! | `removal.rs` | forgetting, pins, gc, compact, and their kills |
//!
//! Texts are snapshots; after a change that is meant, `INSTA_UPDATE=always cargo test --test cli` writes them anew.

#![allow(clippy::unwrap_used, missing_docs)]

mod answers;
mod backups;
mod batch;
mod complaints;
mod damage;
mod documented;
mod folders;
mod help;
mod interrupted;
mod irregular;
mod removal;
mod terminal;

use serde_json::Value;
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a command may take on a busy machine before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a repository in `.pakit`, and `pakit` started from there with an empty environment.
struct Shop {
    folder: TempDir,
    program: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

/// How a command ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Shop {
    /// A folder without a repository.
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, program: env!("CARGO_BIN_EXE_pakit").into(), variables: Vec::new() }
    }

    /// A folder with a new repository.
    fn new() -> Self {
        let shop = Self::empty();
        shop.object(&["init", "--name", "tests"]);
        shop
    }

    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path(".pakit/pakit.db")
    }

    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        finish(self.command(arguments).spawn().unwrap())
    }

    #[track_caller]
    fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Vec<u8> {
        self.run(arguments).with_code(0).stdout
    }

    /// The objects that a command prints with `--json`, one a line.
    #[track_caller]
    fn objects<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Vec<Value> {
        let mut command = self.command(arguments);
        command.arg("--json");
        let done = finish(command.spawn().unwrap()).with_code(0);
        assert_eq!(done.stderr.lines().filter(|line| !line.starts_with("pakit: ")).count(), 0, "{}", done.stderr);
        objects(&done.stdout)
    }

    #[track_caller]
    fn object<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Value {
        let mut objects = self.objects(arguments);
        assert_eq!(objects.len(), 1, "{objects:?}");
        objects.remove(0)
    }

    /// Stores a content and gives its block's hash.
    #[track_caller]
    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.write(name, content);
        text(&self.object(&["put", name]), "block")
    }

    /// What a command that fails says, for a snapshot: without what differs from run to run.
    #[track_caller]
    fn complaint<S: AsRef<OsStr>>(&self, code: i32, arguments: &[S]) -> String {
        let done = self.run(arguments).with_code(code);
        assert!(
            done.stdout.is_empty(),
            "a result in spite of the failure: {:?}",
            String::from_utf8_lossy(&done.stdout)
        );
        self.normalized(&done.stderr)
    }

    /// The text with the folder and all hashes replaced.
    fn normalized(&self, text: &str) -> String {
        let folder = self.folder.path().canonicalize().unwrap();
        let text = text.replace(&*folder.to_string_lossy(), "[folder]");
        let text = text.replace(&*self.folder.path().to_string_lossy(), "[folder]");
        let is_word = |letter: char| letter.is_ascii_alphanumeric();
        let mut out = String::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let digits = word.strip_prefix("0x").unwrap_or(word);
            let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            out.push_str(if is_hash { "[hash]" } else { word });
            let next = after.chars().next();
            out.extend(next);
            rest = &after[next.map_or(0, char::len_utf8)..];
        }
        out
    }
}

impl Done {
    #[track_caller]
    fn with_code(self, code: i32) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, Some(code), "\n-- stdout:\n{stdout}\n-- stderr:\n{}", self.stderr);
        self
    }
}

/// Waits for the end, with a limit, and reads both outputs meanwhile.
#[track_caller]
fn finish(mut child: Child) -> Done {
    fn read(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut from) = from {
                from.read_to_end(&mut bytes).unwrap();
            }
            bytes
        })
    }
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the command hangs");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
    Done { code: status.code(), stdout: stdout.join().unwrap(), stderr }
}

#[track_caller]
fn objects(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "a line that does not end: {text:?}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[track_caller]
fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no text {name} in {object}")).to_owned()
}

#[track_caller]
fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {object}"))
}
