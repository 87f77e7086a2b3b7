//! Putting: who may, how much, how slowly, and that what is acknowledged is there.

use super::{
    Archive, Server, bytes,
    client::{Connection, Reply, head},
    eventually,
};
use serde_json::json;
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, thread, time::Duration};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const VARIABLES: [(&str, &str); 1] = [("PAKIT_TOKEN", TOKEN)];

fn writable(archive: &Archive, arguments: &[&str]) -> Server {
    archive.serve_with(arguments, &VARIABLES)
}

/// The head of a put of so many bytes.
fn put_head(length: usize, token: &str) -> String {
    let (length, token) = (length.to_string(), format!("Bearer {token}"));
    head("POST", "/v1/blocks", &[("content-length", &length), ("authorization", &token)])
}

fn put(server: &Server, content: &[u8], token: &str) -> Reply {
    let mut connection = server.connect();
    connection.send(put_head(content.len(), token)).unwrap();
    // A refusal may come before all of it is taken.
    let _ = connection.send(content);
    connection.reply(false).unwrap()
}

#[test]
fn contents_of_any_size_are_stored_and_given_back_and_equal_ones_have_one_block() {
    let archive = Archive::new();
    let server = writable(&archive, &[]);
    for (number, size) in [0, 1, 100_000, 1 << 20, (1 << 20) + 1, 9_000_000].into_iter().enumerate() {
        let content = bytes(size, number as u64 + 1);
        let reply = put(&server, &content, TOKEN);
        assert_eq!(reply.status, 201, "{size}: {}", String::from_utf8_lossy(&reply.body));
        let stored = reply.json();
        assert_eq!((&stored["size"], &stored["deduplicated"]), (&json!(size), &json!(false)));
        let place = reply.header("location");
        assert_eq!(server.get(place).json()["leaf_index"], number + 1);
        assert!(server.get(&format!("{place}/content")).body == content, "{size}");
        let again = put(&server, &content, TOKEN);
        assert_eq!((again.status, &again.json()["block"]), (200, &stored["block"]));
    }
    drop(server);
    // The same as the command line makes of them.
    let block = archive.put(&bytes(9_000_000, 6));
    assert_eq!(archive.run(&["show", &block])[0]["leaf_index"], 6);
    assert_eq!(archive.run(&["check", "--full"])[0]["problem_count"], 0);
}

#[test]
fn a_body_in_pieces_of_unknown_number_is_stored_too() {
    let archive = Archive::new();
    let server = writable(&archive, &["--max-body", "3000000"]);
    let content = bytes(2_500_000, 9);
    let chunked = |content: &[u8]| {
        let token = format!("Bearer {TOKEN}");
        let mut connection = server.connect();
        let headers = [("transfer-encoding", "chunked"), ("authorization", &*token)];
        connection.send(head("POST", "/v1/blocks", &headers)).unwrap();
        for piece in content.chunks(77_777) {
            let sent = connection.send(format!("{:x}\r\n", piece.len())).and_then(|()| connection.send(piece));
            if sent.and_then(|()| connection.send("\r\n")).is_err() {
                break;
            }
        }
        let _ = connection.send("0\r\n\r\n");
        connection.reply(false)
    };
    let reply = chunked(&content).unwrap();
    assert_eq!(reply.status, 201);
    assert!(server.get(&format!("{}/content", reply.header("location"))).body == content);
    // More than is allowed shows only on the way.
    if let Ok(reply) = chunked(&bytes(20_000_000, 9)) {
        reply.is_problem(413, "body-too-large");
    }
    assert_eq!(server.get("/v1/head").json()["size"], 2);
}

#[test]
fn whoever_has_no_token_or_a_wrong_one_is_told_the_same_and_nothing_is_stored() {
    let archive = Archive::new();
    let server = writable(&archive, &["--max-body", "1000"]);
    let length = [("content-length", "5")];
    let mut replies = vec![put(&server, b"hello", "x"), put(&server, b"hello", &TOKEN[1..]), put(&server, b"", "")];
    for authorization in ["", "Basic abc", TOKEN, "Bearer", &format!("Bearer {TOKEN} {TOKEN}")] {
        let mut connection = server.connect();
        connection.ask("POST", "/v1/blocks", &[length[0], ("authorization", authorization)]);
        let _ = connection.send("hello");
        replies.push(connection.reply(false).unwrap());
    }
    let mut connection = server.connect();
    connection.ask("POST", "/v1/blocks", &length);
    let _ = connection.send("hello");
    replies.push(connection.reply(false).unwrap());
    // Also of a body that is too large: a stranger learns nothing of limits.
    replies.push(put(&server, &[0; 5_000], "wrong"));
    for reply in &replies {
        assert_eq!(reply.is_problem(401, "unauthorized").header("www-authenticate"), "Bearer realm=\"pakit\"");
        assert_eq!(reply.body, replies[0].body);
    }
    assert_eq!(server.get("/v1/head").json()["size"], 1);
    assert_eq!(server.metric("pakit_blocks_stored_total"), 0.0);
}

#[test]
fn a_service_without_a_token_stores_nothing_and_lets_others_write() {
    let archive = Archive::new();
    let server = archive.serve(&[]);
    put(&server, b"hello", TOKEN).is_problem(403, "puts-off");
    archive.put(b"another process writes");
    drop(server);
    let server = writable(&archive, &[]);
    let (code, message) = archive.complaint(&["put", "content"]);
    assert!(code == 3 && message.contains("written by another process"), "{code}: {message}");
    assert_eq!(put(&server, b"hello", TOKEN).status, 201);
}

#[test]
fn a_token_file_is_read_if_it_is_one_and_only_its_owner_can() {
    let archive = Archive::new();
    let file = archive.path("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let server = archive.serve(&["--token-file", "token"]);
    assert_eq!(put(&server, b"hello", TOKEN).status, 201);
    drop(server);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, message) = archive.complaint(&["serve", "--token-file", "token"]);
    assert!(code == 2 && message.contains("chmod 600") && !message.contains(TOKEN), "{code}: {message}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "short").unwrap();
    let (code, message) = archive.complaint(&["serve", "--token-file", "token"]);
    assert!(code == 2 && message.contains("characters"), "{code}: {message}");
    let (code, message) = archive.complaint(&["serve", "--token-file", "nowhere"]);
    assert!(code == 2 && message.contains("nowhere"), "{code}: {message}");
}

#[test]
fn bodies_too_large_too_slow_cut_off_and_too_many_at_once_are_refused_and_leave_nothing() {
    let archive = Archive::new();
    let server = writable(&archive, &["--max-body", "4MiB", "--max-puts", "1", "--timeout", "2"]);
    put(&server, &bytes((4 << 20) + 1, 1), TOKEN).is_problem(413, "body-too-large");
    assert_eq!(put(&server, &bytes(4 << 20, 1), TOKEN).status, 201);

    let begin = |length: usize| -> Connection {
        let mut connection = server.connect();
        connection.send(put_head(length, TOKEN)).unwrap();
        connection.send(bytes(2 << 20, 2)).unwrap();
        connection
    };
    // One that stands still holds the only place, until it is cut. Who asks meanwhile may have it at that moment: then another one tries.
    let mut slow = Vec::new();
    eventually("one has the place", || {
        slow.push(begin(3 << 20));
        put(&server, b"hello", TOKEN).status == 503
    });
    put(&server, b"hello", TOKEN).is_problem(503, "too-many-puts");
    // Two seconds, and as many more as its first bytes are worth at the least pace, would be a minute and more: it is cut off.
    drop(slow);
    eventually("the place is free", || put(&server, b"hello", TOKEN).status != 503);
    assert_eq!(put(&server, b"hello", TOKEN).status, 200);
    let mut slow = server.connect();
    slow.send(put_head(1_000, TOKEN)).unwrap();
    slow.send("a drop").unwrap();
    let reply = slow.reply(false).unwrap();
    reply.is_problem(408, "body-too-slow");
    assert!(slow.is_closed());
    assert_eq!(server.get("/v1/head").json()["size"], 3, "genesis, the one of 4 MiB, hello");
    drop(server);
    assert_eq!(archive.run(&["check", "--full"])[0]["problem_count"], 0);
}

#[test]
fn what_was_acknowledged_is_there_after_a_signal_in_the_midst_of_puts() {
    let archive = Archive::new();
    for (signal, size) in [("-TERM", 2_000), ("-KILL", 2_000), ("-TERM", 1_500_000), ("-KILL", 1_500_000)] {
        let mut server = writable(&archive, &["--max-puts", "8"]);
        let acknowledged: Vec<String> = thread::scope(|scope| {
            let server = &server;
            let clients: Vec<_> = (0..4u64)
                .map(|client| {
                    scope.spawn(move || {
                        let mut blocks = Vec::new();
                        for number in 0.. {
                            let content = bytes(size, client << 32 | (size as u64) << 16 | number | 1 << 60);
                            let Some(block) = try_put(server, &content) else { break };
                            blocks.push(block);
                        }
                        blocks
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(700));
            server.signal(signal);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        let status = server.wait();
        assert_eq!(status.success(), signal == "-TERM");
        assert!(!acknowledged.is_empty());
        drop(server);
        let log = archive.run(&["log", "--limit", "1000000"]);
        let kept: BTreeMap<_, _> = log.iter().map(|line| (line["block"].as_str().unwrap(), &line["size"])).collect();
        for block in &acknowledged {
            assert_eq!(kept.get(block.as_str()), Some(&&json!(size)));
        }
        assert_eq!(archive.run(&["check", "--full"])[0]["problem_count"], 0);
    }
}

/// A put whose service may go away at any moment.
fn try_put(server: &Server, content: &[u8]) -> Option<String> {
    let mut connection = Connection::try_open(server.address)?;
    connection.send(put_head(content.len(), TOKEN)).ok()?;
    connection.send(content).ok()?;
    let reply = connection.reply(false).ok()?;
    let is_stored = matches!(reply.status, 200 | 201) && reply.is_whole;
    is_stored.then(|| reply.json()["block"].as_str().unwrap().to_owned())
}

#[test]
fn puts_of_many_clients_at_once_are_all_there_once() {
    let archive = Archive::new();
    let server = writable(&archive, &["--max-puts", "16"]);
    thread::scope(|scope| {
        for client in 0..8u64 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..20 {
                    // Each content is put by two clients.
                    let reply = put(server, &bytes(3_000, client / 2 * 100 + number + 1), TOKEN);
                    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
                }
            });
        }
    });
    assert_eq!(server.get("/v1/head").json()["size"], 1 + 4 * 20);
    assert_eq!(server.metric("pakit_blocks_stored_total"), 80.0);
    assert_eq!(server.metric("pakit_write_seconds_count"), 160.0);
}
