//! Starts the node's binary and asks it over HTTP, as a client that shares no code with it would.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long anything may take on a busy machine before the test says that it never happens.
const PATIENCE: Duration = Duration::from_secs(120);
const ANSWER_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running node, killed when it goes out of scope.
pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
}

/// The node's binary with a free port, unless the arguments say another.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakit-dev-node"));
    // Compiling the runtime takes seconds, and every test starts nodes.
    command.env("PAKIT_NODE_WASM_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/wasm-cache"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Node {
    /// Starts a node and waits for the line that says where it listens.
    pub(crate) fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Self {
        let mut child = command(arguments).args(["--rpc-port", "0"]).stderr(Stdio::inherit()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(out).read_line(&mut line);
            // The receiver is gone if the test gave up.
            let _ = sender.send(read.map(|_| line));
        });
        let line = match lines.recv_timeout(PATIENCE) {
            Ok(line) => line.unwrap(),
            Err(error) => {
                child.kill().unwrap();
                panic!("the node said nothing: {error}");
            }
        };
        let address = line.trim_end().strip_prefix("pakit-dev-node listening on ws://");
        let address = address.unwrap_or_else(|| panic!("not the line we wait for: {line:?}")).parse().unwrap();
        Self { child, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The result of a call.
    pub(crate) fn ask(&self, method: &str, parameters: Value) -> Value {
        let mut answer = self.call(method, parameters);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The whole answer to a call.
    pub(crate) fn call(&self, method: &str, parameters: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).to_string();
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER_MAX).unwrap();
        stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        stream.set_write_timeout(Some(ANSWER_MAX)).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// The number of the best block.
    pub(crate) fn best(&self) -> u64 {
        number(&self.ask("chain_getHeader", json!([])))
    }

    /// The number of the finalized block.
    pub(crate) fn finalized(&self) -> u64 {
        let hash = self.ask("chain_getFinalizedHead", json!([]));
        number(&self.ask("chain_getHeader", json!([hash])))
    }

    /// Waits until the question is answered with yes.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "never {what}");
            thread::sleep(POLL);
        }
    }

    /// Ends the process with SIGKILL, and returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to end, with that signal, and waits for it.
    pub(crate) fn stop(mut self, signal: &str) -> ExitStatus {
        let killed = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the node does not stop");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(header: &Value) -> u64 {
    let text = header["number"].as_str().unwrap_or_else(|| panic!("no number in {header}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}
