//! The runtime's Wasm in a stock `polkadot-omni-node`, in its development mode: the demo is played against that.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    demo::{self, Host},
    process::{self, Background, typed},
    text::duration,
};

/// The time between blocks, which finalizes each as it makes it.
const BLOCK_MS: u64 = 1_000;
/// The block that shows that the node makes them one after another.
const BLOCKS_AWAITED: u64 = 3;
/// Time for the node to come to that block; it compiles the Wasm first.
const START_MAX: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(250);
/// Time for one answer, and the bytes it may have.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// The recipe `omni`.
pub(crate) fn run(node: &Path) -> Result<()> {
    let node = node.canonicalize().with_context(|| {
        format!(
            "no node at {}; give the recipe a polkadot-omni-node, which `cargo install --locked polkadot-omni-node` makes",
            node.display()
        )
    })?;
    let version = version_of(&node)?;
    println!("With {version} as the node.");
    demo::run_on(Host::Omni(node), None)
}

/// What the program says it is. Refused where it is another one.
fn version_of(node: &Path) -> Result<String> {
    let mut command = process::command(&node.to_string_lossy());
    let said = process::said(command.arg("--version"), START_MAX)?;
    ensure!(said.status.success(), "`{}` failed:\n{}", typed(&command), said.stderr.trim());
    let version = said.stdout.trim().to_owned();
    ensure!(
        version.starts_with("polkadot-omni-node") || version.starts_with("polkadot-parachain"),
        "`{}` says that it is {version:?} and no polkadot-omni-node",
        typed(&command)
    );
    Ok(version)
}

/// Starts the node with the runtime's development chain in `scratch`, and returns when it makes blocks.
pub(crate) fn start(node: &Path, binaries: &Path, scratch: &Path) -> Result<(Background, String)> {
    let start = Instant::now();
    let spec = scratch.join("chain-spec.json");
    let mut export = process::command(&binaries.join("pakit-dev-node").to_string_lossy());
    process::run(export.args(["export-chain-spec", "--output"]).arg(&spec))?;

    let address = free_address()?;
    let log_path = scratch.join("omni-node.log");
    let mut command = process::command(&node.to_string_lossy());
    command.arg("--chain").arg(&spec).arg("--base-path").arg(scratch.join("omni-node"));
    command.args(["--dev", "--dev-block-time", &BLOCK_MS.to_string(), "--rpc-port", &address.port().to_string()]);
    // Nobody else is spoken to.
    command.args(["--no-prometheus", "--no-telemetry", "--no-mdns", "--listen-addr", "/ip4/127.0.0.1/tcp/0"]);
    let log = fs::File::create(&log_path)?;
    command.stdout(Stdio::null()).stderr(log);
    let mut running = Background::spawn(&mut command)?;
    await_blocks(&mut running, address).with_context(|| {
        let log = fs::read_to_string(&log_path).unwrap_or_default();
        format!("`{}` made no {BLOCKS_AWAITED} blocks; its log:\n{log}", typed(&command))
    })?;
    println!(
        "  {:<30} ws://{address}, at block {BLOCKS_AWAITED} after {}",
        "polkadot-omni-node",
        duration(start.elapsed())
    );
    Ok((running, format!("ws://{address}")))
}

/// A port that nobody has now. Another program may take it before the node does, which the node then says.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

fn await_blocks(node: &mut Background, address: SocketAddr) -> Result<()> {
    let start = Instant::now();
    loop {
        if let Some(status) = node.ended()? {
            bail!("it ended ({status})");
        }
        // Until it listens there is no answer, and that is no error yet.
        let best = best_block(address);
        if best.as_ref().is_ok_and(|best| *best >= BLOCKS_AWAITED) {
            return Ok(());
        }
        if start.elapsed() > START_MAX {
            return best.map(|_| ()).and_then(|()| bail!("not within {} s", START_MAX.as_secs()));
        }
        thread::sleep(POLL);
    }
}

/// The number of the best block, asked over HTTP.
fn best_block(address: SocketAddr) -> Result<u64> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "chain_getHeader", "params": []}).to_string();
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    number_in(&answer)
}

/// The block's number in an HTTP answer: `"number":"0x1f"`.
fn number_in(answer: &str) -> Result<u64> {
    let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let body: Value = serde_json::from_str(body).with_context(|| format!("not JSON: {body}"))?;
    let number = body["result"]["number"].as_str().and_then(|number| number.strip_prefix("0x"));
    let number = number.with_context(|| format!("no block's number in {body}"))?;
    Ok(u64::from_str_radix(number, 16)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_path_without_a_node_is_refused_with_what_to_do() {
        let error = run(Path::new("no-such-node")).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("no-such-node") && text.contains("cargo install"), "{text}");
    }

    #[test]
    fn another_program_is_no_node() {
        let cargo = version_of(Path::new("cargo")).unwrap_err();
        assert!(cargo.to_string().contains("no polkadot-omni-node"), "{cargo}");
    }

    #[test]
    fn a_block_s_number_is_read_and_anything_else_refused() {
        let answered = |body: &str| number_in(&format!("HTTP/1.1 200 OK\r\n\r\n{body}"));
        assert_eq!(answered(r#"{"result":{"number":"0x1f"}}"#).unwrap(), 31);
        for body in ["", "{}", r#"{"result":{"number":31}}"#, r#"{"result":{"number":"0x"}}"#] {
            assert!(answered(body).is_err(), "{body}");
        }
        assert!(number_in("0x1f").is_err());
    }

    #[test]
    fn a_node_that_ends_is_an_error_at_once() {
        let mut gone = Background::spawn(&mut process::command("true")).unwrap();
        let error = await_blocks(&mut gone, free_address().unwrap()).unwrap_err();
        assert!(error.to_string().contains("it ended"), "{error}");
    }
}
