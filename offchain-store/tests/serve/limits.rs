//! What is too much, too slow, malformed, or called by another name.

use super::{Archive, bytes, client::head, eventually};
use std::time::{Duration, Instant};

#[test]
fn a_connection_above_the_limit_is_told_so_and_a_place_that_is_free_again_is_given() {
    let archive = Archive::new();
    let server = archive.serve(&["--max-connections", "2", "--header-timeout", "60"]);
    let mut first = server.connect();
    let mut second = server.connect();
    for connection in [&mut first, &mut second] {
        connection.ask("GET", "/healthz", &[]);
        assert_eq!(connection.reply(false).unwrap().status, 200);
    }
    for _ in 0..3 {
        let mut third = server.connect();
        third.ask("GET", "/healthz", &[]);
        let reply = third.reply(false).unwrap();
        assert_eq!(reply.is_problem(503, "too-many-connections").header("retry-after"), "1");
        assert!(third.is_closed());
    }
    // Those that have a place keep it.
    first.ask("GET", "/v1/head", &[]);
    assert_eq!(first.reply(false).unwrap().status, 200);
    drop(second);
    eventually("a place is free", || server.get("/healthz").status == 200);
    eventually("the count is right", || {
        first.ask("GET", "/metrics", &[]);
        let text = String::from_utf8(first.reply(false).unwrap().body).unwrap();
        !text.contains("pakit_http_connections_refused_total 0") && text.contains("pakit_http_connections 1\n")
    });
}

#[test]
fn a_header_that_comes_drop_by_drop_is_cut_and_so_is_a_connection_that_says_nothing() {
    let archive = Archive::new();
    let server = archive.serve(&["--header-timeout", "1"]);
    let (mut silent, mut idle, begin) = (server.connect(), server.connect(), Instant::now());
    idle.ask("GET", "/healthz", &[]);
    assert_eq!(idle.reply(false).unwrap().status, 200);
    let mut slow = server.connect();
    let mut drops = head("GET", "/healthz", &[("x-filler", &"x".repeat(500))]).into_bytes().into_iter();
    // Each is well within the time of a second, all of them are not.
    while let Some(drop) = drops.next()
        && slow.send([drop]).is_ok()
    {
        assert!(begin.elapsed() < Duration::from_secs(30), "a slow header is not cut");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(drops.len() > 0, "it took all of a slow header");
    assert!(silent.is_closed() && idle.is_closed());
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn what_is_no_http_or_too_much_of_it_is_refused_and_the_service_goes_on() {
    let archive = Archive::new();
    let server = archive.serve(&[]);
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(100_000));
    let large = head("GET", "/healthz", &[("x-filler", &"x".repeat(100_000))]);
    let malformed: [(&[u8], u16); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nhost localhost\r\n\r\n", 400),
        (b"POST /v1/head HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n", 400),
        (many.as_bytes(), 400),
        (long.as_bytes(), 414),
        (large.as_bytes(), 431),
    ];
    for (bytes, status) in malformed {
        let mut connection = server.connect();
        // It may have been refused before all of it was taken.
        let _ = connection.send(bytes);
        match connection.reply(false) {
            Ok(reply) => assert!((400..=431).contains(&reply.status), "{status}: {reply:?}"),
            Err(_) => assert!(bytes.len() > 16 << 10 || status == 400, "no answer to {bytes:?}"),
        }
    }
    let reply = server.ask("GET", "/healthz", &[("connection", "close")]);
    assert_eq!(reply.status, 200);
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let archive = Archive::new();
    let block = archive.put(&bytes(64 << 20, 3));
    let server = archive.serve(&["--timeout", "1", "--quiet"]);
    let mut stuck = server.connect();
    stuck.ask("GET", &format!("/v1/blocks/{block}/content"), &[]);
    eventually("only the one that asks is connected", || server.metric("pakit_http_connections") < 2.0);
    let reply = stuck.reply(false).unwrap();
    assert_eq!((reply.status, reply.is_whole), (200, false));
}

#[test]
fn requests_for_a_host_of_another_name_are_refused() {
    let archive = Archive::new();
    let server = archive.serve(&["--allow-host", "archive.example"]);
    for host in ["archive.example", "ARCHIVE.example:80", "127.0.0.1", "[::1]:9955", "localhost:9955"] {
        assert_eq!(server.ask("GET", "/v1/head", &[("host", host)]).status, 200, "{host}");
    }
    for host in ["evil.example", "archive.example.evil", "localhost.evil.example:9955", ""] {
        server.ask("GET", "/v1/head", &[("host", host)]).is_problem(421, "unknown-host");
    }
    server.ask("GET", "http://evil.example/v1/head", &[("host", "localhost")]).is_problem(421, "unknown-host");
}

#[test]
fn what_a_page_from_elsewhere_has_a_browser_ask_is_refused_before_it_is_looked_at() {
    let archive = Archive::new();
    let block = archive.put(b"a deed");
    let server = archive.serve(&[]);
    let paths = ["/v1/challenge?size=2&position=0", &format!("/v1/blocks/{block}"), "/v1/blocks/none", "/nowhere"];
    for path in paths {
        for header in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
            server.ask("GET", path, &[header]).is_problem(403, "foreign-page");
        }
    }
    server.ask("POST", "/v1/blocks", &[("sec-fetch-site", "same-site")]).is_problem(403, "foreign-page");
    assert_eq!(server.metric("pakit_challenges_answered_total"), 0.0);
    // A browser that does not say who asks is told who may have the answer, whatever it is.
    for path in paths {
        assert_eq!(server.get(path).header("cross-origin-resource-policy"), "same-origin");
    }
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(server.ask("GET", "/v1/head", &link).status, 200);
}

#[test]
fn addresses_that_others_reach_need_a_flag_and_are_warned_of() {
    let archive = Archive::new();
    let (code, message) = archive.complaint(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(code == 2 && message.contains("--allow-remote"), "{code}: {message}");
    let (code, message) = archive.complaint(&["serve", "--listen", "localhost"]);
    assert!(code == 2 && message.contains("--listen"), "{code}: {message}");
    let taken = archive.serve(&[]);
    let (code, message) = archive.complaint(&["serve", "--listen", &taken.address.to_string()]);
    assert!(code == 3 && message.contains("cannot listen"), "{code}: {message}");
    let open = archive.serve(&["--quiet", "--allow-remote", "--listen", "0.0.0.0:0"]);
    eventually("a warning", || open.log().contains("warning"));
}
