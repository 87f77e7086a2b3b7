//! `pakit serve` from outside: the real program, real sockets.
//!
//! | file | what |
//! |---|---|
//! | `client.rs` | a client that shows what came |
//! | `reading.rs` | every path that reads, ranges |
//! | `puts.rs` | putting, tokens, bodies, kills |
//! | `challenges.rs` | answers to possession challenges |
//! | `anchoring.rs` | a schedule whose node is not there |
//! | `description.rs` | docs/openapi.json |
//! | `limits.rs` | what is too much, too slow, malformed or called by another name |
//! | `damage.rs` | damaged and removed contents |
//! | `stopping.rs` | signals while clients are served |
//! | `metrics.rs` | counters that move |

#![allow(clippy::unwrap_used, missing_docs)]

mod anchoring;
mod challenges;
mod client;
mod damage;
mod description;
mod limits;
mod metrics;
mod puts;
mod reading;
mod stopping;

use client::{Connection, Reply};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a program may take on a busy machine before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a repository in `archive`.
pub(crate) struct Archive {
    folder: TempDir,
}

impl Archive {
    pub(crate) fn new() -> Self {
        let archive = Self { folder: tempfile::tempdir().unwrap() };
        archive.run(&["init", "--name", "served"]);
        archive
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pakit"));
        command.args(arguments).args(["--repo", "archive", "--json"]).env_clear();
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a command prints, if it succeeds.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<Value> {
        let done = self.command(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        let lines = String::from_utf8(done.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a command that fails says, and its exit code.
    pub(crate) fn complaint(&self, arguments: &[&str]) -> (i32, String) {
        let done = self.command(arguments).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    }

    /// Stores a content, and gives its block's hash.
    pub(crate) fn put(&self, content: &[u8]) -> String {
        fs::write(self.path("content"), content).unwrap();
        let [item] = &self.run(&["put", "content"])[..] else { panic!("one item") };
        item["block"].as_str().unwrap().to_owned()
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        self.serve_with(arguments, &[])
    }

    /// Starts the service on a free port, and waits for it to listen.
    pub(crate) fn serve_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut command = self.command(&[&["serve"], listen, arguments].concat());
        let mut child = command.envs(variables.iter().copied()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let (mut stderr, kept) = (child.stderr.take().unwrap(), log.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let Ok(line) = serde_json::from_str::<Value>(&line) else {
            child.wait().unwrap();
            panic!("it does not listen: {line}{}", log.lock().unwrap());
        };
        let address = line["listening"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Server { child, address, log }
    }
}

/// A service that runs, until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut connection = self.connect();
        connection.ask(method, path, headers);
        connection.reply(method == "HEAD").unwrap()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    /// The value of a metric, by the whole beginning of its line.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// What it said on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that do not compress and differ from seed to seed.
pub(crate) fn bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
