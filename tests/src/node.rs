//! The development node, and its RPC as any client may use it.

use crate::{
    PATIENCE, POLL, binary, http,
    process::{Running, started_again},
};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Instant,
};
use tempfile::TempDir;

/// What the node says on standard output when it is ready, before its address.
const READY: &str = "pakit-dev-node listening on ws://";

/// A node with a chain in a folder of its own. Killed when the value goes.
#[derive(Debug)]
pub struct Node {
    running: Option<Running>,
    address: SocketAddr,
    flags: Vec<String>,
    // Removed after the process is gone.
    folder: TempDir,
}

impl Node {
    /// Starts a node with these flags (`--seal`, `--finalize-after`, `--preset`) on a free port, and waits until it is
    /// ready.
    pub fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (running, address) = launch(&flags, &folder, 0).unwrap_or_else(|said| panic!("no node: {said}"));
        Self { running: Some(running), address, flags, folder }
    }

    /// Makes a block for each extrinsic, final at once: for all that is not about blocks.
    pub fn instant() -> Self {
        Self::start(&["--seal", "instant", "--finalize-after", "0"])
    }

    /// Makes and finalizes blocks only when it is told to.
    pub fn manual() -> Self {
        Self::start(&["--seal", "manual", "--finalize-after", "never"])
    }

    /// Where it listens, for `--url`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Kills the process with SIGKILL, and returns when it is gone. The chain stays.
    pub fn kill9(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill9();
        }
    }

    /// Whether it was started, and not killed since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts it again on the same chain and port.
    pub fn restart(&mut self) {
        self.kill9();
        // The lock on the folder is held until the kernel has cleaned up.
        let start = || launch(&self.flags, &self.folder, self.address.port());
        self.running = Some(started_again("node", start).0);
    }

    /// Starts it again on the same chain and port, with other flags.
    pub fn restart_as(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.restart();
    }

    /// What it has said on standard error since it was started last.
    pub fn said(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// Sets an entry of the off-chain workers' storage, as its operator does.
    pub fn set_local(&self, key: &[u8], value: &[u8]) {
        let text = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
        self.ask("offchain_localStorageSet", json!(["PERSISTENT", text(key), text(value)]));
    }

    /// An entry of the off-chain workers' storage.
    pub fn local(&self, key: &[u8]) -> Option<Vec<u8>> {
        let key = format!("0x{}", hex::encode(key));
        let value = self.ask("offchain_localStorageGet", json!(["PERSISTENT", key]));
        value.as_str().map(|text| hex::decode(text.trim_start_matches("0x")).unwrap())
    }

    /// Keeps a copy of the chain as it is now. The process is killed and started again for it, which empties its pool.
    pub fn save(&mut self) -> TempDir {
        self.kill9();
        let copy = tempfile::tempdir().unwrap();
        let everything = self.folder.path().join(".");
        let copied = Command::new("cp").arg("-a").arg(everything).arg(copy.path()).status().unwrap();
        assert!(copied.success());
        self.restart();
        copy
    }

    /// Goes on with another chain at the same address, as no honest node would, and gives the one so far.
    pub fn exchange(&mut self, chain: TempDir) -> TempDir {
        self.kill9();
        let before = std::mem::replace(&mut self.folder, chain);
        self.restart();
        before
    }

    /// The result of an RPC call.
    #[track_caller]
    pub fn ask(&self, method: &str, parameters: Value) -> Value {
        let mut answer = self.call(method, parameters);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The whole answer to an RPC call.
    pub fn call(&self, method: &str, parameters: Value) -> Value {
        let body = http::body_of(self.send(method, parameters), method);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{method}: {error} in {body}"))
    }

    /// Sends an RPC call and does not wait for its answer.
    pub fn send(&self, method: &str, parameters: Value) -> TcpStream {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).to_string();
        let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        http::send(self.address, "POST /", &head, &body)
    }

    /// The chain's genesis hash.
    pub fn genesis(&self) -> String {
        self.block_hash(0)
    }

    /// The hash of the best chain's block of that number.
    #[track_caller]
    pub fn block_hash(&self, number: u64) -> String {
        let hash = self.ask("chain_getBlockHash", json!([number]));
        hash.as_str().unwrap_or_else(|| panic!("no block {number}")).to_owned()
    }

    /// The number of the best block.
    pub fn best(&self) -> u64 {
        number_of(&self.ask("chain_getHeader", json!([])))
    }

    /// The number of the last finalized block.
    pub fn finalized(&self) -> u64 {
        let hash = self.ask("chain_getFinalizedHead", json!([]));
        number_of(&self.ask("chain_getHeader", json!([hash])))
    }

    /// Extrinsics that wait in the pool, in hex.
    pub fn pending(&self) -> Vec<String> {
        let pending = self.ask("author_pendingExtrinsics", json!([]));
        pending.as_array().unwrap().iter().map(|bytes| bytes.as_str().unwrap().to_owned()).collect()
    }

    /// Makes a block on the best one, with what waits in the pool, and gives its hash.
    pub fn make_block(&self) -> String {
        self.make_block_on(None)
    }

    /// Makes a block on the named one: a fork, where that is not the best one.
    pub fn make_block_on(&self, parent: Option<&str>) -> String {
        let made = self.ask("engine_createBlock", json!([true, false, parent]));
        made["hash"].as_str().unwrap().to_owned()
    }

    /// Makes so many blocks above the named one, each on the other: the first with these extrinsics, and nothing of the pool.
    /// Gives their hashes.
    #[track_caller]
    pub fn make_branch(&self, parent: &str, blocks: usize, extrinsics: &[String]) -> Vec<String> {
        let made = self.ask("engine_createBranch", json!([parent, blocks, extrinsics]));
        made.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().to_owned()).collect()
    }

    /// Has a block made on the best one, and does not wait for it. Who drops the answer gives it up.
    pub fn begin_block(&self) -> TcpStream {
        self.send("engine_createBlock", json!([true, false, null]))
    }

    /// Finalizes a block and all before it.
    pub fn finalize(&self, hash: &str) {
        assert_eq!(self.ask("engine_finalizeBlock", json!([hash, null])), json!(true));
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "never {what}");
            thread::sleep(POLL);
        }
    }
}

fn launch(flags: &[String], folder: &TempDir, port: u16) -> Result<(Running, SocketAddr), String> {
    let mut command = Command::new(binary("pakit-dev-node"));
    command.env_clear().args(flags).args(["--rpc-port", &port.to_string(), "--base-path"]).arg(folder.path());
    let (running, line) = Running::start(command).ready()?;
    let address = line.strip_prefix(READY).and_then(|address| address.parse().ok());
    address.map(|address| (running, address)).ok_or_else(|| format!("not a line we wait for: {line}"))
}

/// The number in a header.
#[track_caller]
fn number_of(header: &Value) -> u64 {
    let text = header["number"].as_str().unwrap_or_else(|| panic!("no number in {header}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}
