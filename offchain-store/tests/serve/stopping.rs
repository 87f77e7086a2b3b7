//! Signals while clients are served.

use super::{Archive, bytes, eventually};
use std::time::{Duration, Instant};

#[test]
fn a_download_under_way_ends_whole_after_a_signal_and_nobody_new_is_served() {
    let archive = Archive::new();
    let content = bytes(48 << 20, 5);
    let block = archive.put(&content);
    for signal in ["-TERM", "-INT"] {
        let mut server = archive.serve(&["--shutdown-timeout", "60"]);
        let mut idle = server.connect();
        idle.ask("GET", "/healthz", &[]);
        assert_eq!(idle.reply(false).unwrap().status, 200);
        let mut download = server.connect();
        download.ask("GET", &format!("/v1/blocks/{block}/content"), &[]);
        // Some of it has come, and the rest does not fit into what the system keeps between the two.
        download.more().unwrap();
        server.signal(signal);
        assert!(idle.is_closed(), "a connection without a request is closed");
        let address = server.address;
        eventually("it listens no more", || std::net::TcpStream::connect(address).is_err());
        let reply = download.reply(false).unwrap();
        assert!(reply.is_whole && reply.body == content, "{} of {}", reply.body.len(), content.len());
        assert!(server.wait().success());
    }
}

#[test]
fn a_download_that_nobody_takes_ends_with_the_time_for_it() {
    let archive = Archive::new();
    let block = archive.put(&bytes(48 << 20, 5));
    let mut server = archive.serve(&["--shutdown-timeout", "1", "--timeout", "600"]);
    let mut stuck = server.connect();
    stuck.ask("GET", &format!("/v1/blocks/{block}/content"), &[]);
    assert_eq!(stuck.reply_head().unwrap().0, 200);
    let begin = Instant::now();
    server.signal("-TERM");
    assert!(server.wait().success());
    assert!(begin.elapsed() < Duration::from_secs(30));
    eventually("it says so", || server.log().contains("were cut"));
}
