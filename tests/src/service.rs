//! `pakit serve`, and its paths as any client may ask for them.

use crate::{
    PATIENCE, POLL, Pakit, http,
    process::{Running, started_again},
};
use serde_json::Value;
use std::{net::SocketAddr, thread, time::Instant};

/// A repository's service. Killed when the value goes.
#[derive(Debug)]
pub struct Service {
    running: Option<Running>,
    address: SocketAddr,
    pakit: Pakit,
    flags: Vec<String>,
}

impl Service {
    /// Starts it with these flags on a free port, and waits until it listens.
    pub fn start(pakit: &Pakit, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (running, address) = launch(pakit, &flags, 0).unwrap_or_else(|said| panic!("no service: {said}"));
        Self { running: Some(running), address, pakit: pakit.clone(), flags }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the process with SIGKILL, and returns when it is gone.
    pub fn kill9(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill9();
        }
    }

    /// Whether it was started, and not killed since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill9();
        let start = || launch(&self.pakit, &self.flags, self.address.port());
        self.running = Some(started_again("service", start).0);
    }

    /// What it has said on standard error since it was started last.
    pub fn said(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// The text at a path that has one.
    #[track_caller]
    pub fn get(&self, path: &str) -> String {
        http::body_of(http::send(self.address, &format!("GET {path}"), "", ""), path)
    }

    /// The value of a counter.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "never {what}: {}", self.said());
            thread::sleep(POLL);
        }
    }
}

fn launch(pakit: &Pakit, flags: &[String], port: u16) -> Result<(Running, SocketAddr), String> {
    let listen = ["--json".to_owned(), "serve".to_owned(), "--listen".to_owned(), format!("127.0.0.1:{port}")];
    let (running, line) = pakit.start(listen.iter().chain(flags)).ready()?;
    let line: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
    let address = line["listening"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
    address.map(|address| (running, address)).ok_or_else(|| format!("not a line we wait for: {line}"))
}
