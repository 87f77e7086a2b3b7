//! An HTTP client that hides nothing: what is sent is given as it is, and what comes is told as it came.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take on a busy machine before the service is said to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, as far as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether as many bytes came as were announced.
    pub(crate) is_whole: bool,
}

impl Reply {
    /// The one header of a name, in lower case.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(found, _)| found == name);
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(found.next().is_none(), "{name} twice in {self:?}");
        value
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(found, _)| found == name)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is a problem with this name, and of one form.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, name: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}\n{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["name"], name, "{problem}");
        assert_eq!(problem["type"], format!("urn:pakit:problem:{name}"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
        self
    }
}

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What came and was not read yet.
    rest: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap()
    }

    pub(crate) fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Some(Self { stream, rest: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request without a body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.send(head(method, path, headers)).unwrap();
    }

    /// Reads the next answer; of one to HEAD, there is no body.
    pub(crate) fn reply(&mut self, is_head: bool) -> io::Result<Reply> {
        let (status, headers) = self.reply_head()?;
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse::<usize>().unwrap());
        let has_body = !is_head && !matches!(status, 204 | 304);
        let mut reply = Reply { status, headers, body: Vec::new(), is_whole: true };
        while has_body && self.rest.len() < length {
            // An end before the end, in whatever way it comes.
            if self.more().unwrap_or(0) == 0 {
                reply.is_whole = false;
                break;
            }
        }
        let end = if has_body { length.min(self.rest.len()) } else { 0 };
        reply.body = self.rest.drain(..end).collect();
        Ok(reply)
    }

    /// Reads the next answer up to its body.
    pub(crate) fn reply_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8(self.rest.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Ok((status.unwrap_or_else(|| panic!("no status: {head}")), lines.map(header).collect()))
    }

    /// Reads what comes next, some of it.
    pub(crate) fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        let count = self.stream.read(&mut buffer)?;
        self.rest.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Whether the other side closes, and says nothing more before.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.more(), Ok(0)) || self.more().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }
}

/// A request's line and headers.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let host =
        if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) { "" } else { "host: localhost\r\n" };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\n{host}{headers}\r\n")
}
