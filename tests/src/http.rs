//! HTTP as far as it is spoken here: one request, one answer, and the connection ends.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Sends a request, `GET /path` and the lines of its head, each with its end. The answer is to be read, or not.
pub fn send(address: SocketAddr, request: &str, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    stream.set_write_timeout(Some(ANSWER_MAX)).unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: {address}\r\n{head}Connection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// The body of an answer, which has to be of status 200.
#[track_caller]
pub fn body_of(mut answer: TcpStream, what: &str) -> String {
    let mut text = String::new();
    answer.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{what}: {head}");
    body.to_owned()
}
