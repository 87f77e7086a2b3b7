//! Whom to ask: a list in the node's local storage, which its operator writes and nobody else can.
//!
//! Lines of text, `DAG URL`. What is wrong in it is refused as a whole, so that a slip is seen at once and not when a stake is
//! slashed.

use alloc::vec::Vec;
use core::{
    net::{AddrParseError, SocketAddr},
    num::ParseIntError,
    str::FromStr,
};
use pakit_primitives::chain::DagId;
use sp_runtime::offchain::StorageKind;

/// Under which key of the node's persistent local storage the list stands.
pub const COMPANIONS_KEY: &[u8] = b"pakit/worker/companions";
/// Most DAGs that a node answers for.
pub const COMPANIONS_MAX: usize = 16;
/// Most bytes of the list.
pub const COMPANIONS_BYTES_MAX: usize = 4096;

/// Before the address.
const SCHEME: &str = "http://";

/// Why a list of companions is refused. Lines are counted from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompanionsError {
    /// It has too many bytes.
    #[error("it has {0} bytes, more than {COMPANIONS_BYTES_MAX}")]
    TooLong(usize),
    /// It is no UTF-8.
    #[error("it is no text")]
    NotText,
    /// It names too many DAGs.
    #[error("it names more than {COMPANIONS_MAX} DAGs")]
    TooMany,
    /// A line is not a DAG and an address with a space between them.
    #[error("line {line} is not `DAG http://127.0.0.1:PORT`")]
    Malformed {
        /// The line.
        line: usize,
    },
    /// A DAG's number is none.
    #[error("line {line} begins with no DAG's number: {source}")]
    NotADag {
        /// The line.
        line: usize,
        /// What is wrong with it.
        source: ParseIntError,
    },
    /// A DAG stands there twice.
    #[error("line {line} names DAG {dag} again")]
    DagTwice {
        /// The line.
        line: usize,
        /// The DAG.
        dag: DagId,
    },
    /// A URL is not one of plain HTTP.
    #[error("line {line} has no URL that begins with http://")]
    NotHttp {
        /// The line.
        line: usize,
    },
    /// A host is no IP address with a port, and nothing behind it. Names are not looked up: who answers would decide where the
    /// request goes.
    #[error("line {line} has a URL that is not http://, an IP address and a port: {source}")]
    NotAnAddress {
        /// The line.
        line: usize,
        /// What is wrong with it.
        source: AddrParseError,
    },
    /// A host is another machine.
    #[error("line {line} names another machine, {address}: only the loopback address is asked")]
    NotLoopback {
        /// The line.
        line: usize,
        /// The address.
        address: SocketAddr,
    },
}

/// A DAG, and where the companion of its archive listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Companion {
    pub(super) dag: DagId,
    pub(super) address: SocketAddr,
}

/// The companions that the node's operator named; none where there is no list.
pub(crate) fn named() -> Result<Vec<Companion>, CompanionsError> {
    let list = sp_io::offchain::local_storage_get(StorageKind::PERSISTENT, COMPANIONS_KEY);
    list.map_or(Ok(Vec::new()), |bytes| parse(&bytes))
}

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Companion>, CompanionsError> {
    if bytes.len() > COMPANIONS_BYTES_MAX {
        return Err(CompanionsError::TooLong(bytes.len()));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| CompanionsError::NotText)?;
    let mut companions: Vec<Companion> = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let companion = parse_line(line, text.trim())?;
        if companions.iter().any(|other| other.dag == companion.dag) {
            return Err(CompanionsError::DagTwice { line, dag: companion.dag });
        }
        if companions.len() == COMPANIONS_MAX {
            return Err(CompanionsError::TooMany);
        }
        companions.push(companion);
    }
    Ok(companions)
}

fn parse_line(line: usize, text: &str) -> Result<Companion, CompanionsError> {
    let (dag, url) = text.split_once(' ').ok_or(CompanionsError::Malformed { line })?;
    let dag = DagId::from_str(dag).map_err(|source| CompanionsError::NotADag { line, source })?;
    let place = url.trim_start().strip_prefix(SCHEME).ok_or(CompanionsError::NotHttp { line })?;
    let place = place.strip_suffix('/').unwrap_or(place);
    let address = SocketAddr::from_str(place).map_err(|source| CompanionsError::NotAnAddress { line, source })?;
    // What else an address may carry, such as an interface, is left out.
    let address = SocketAddr::new(address.ip(), address.port());
    match address.ip().is_loopback() {
        true => Ok(Companion { dag, address }),
        false => Err(CompanionsError::NotLoopback { line, address }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> CompanionsError {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_list_has_a_line_for_each_dag() {
        let list = parse(b"0 http://127.0.0.1:9955\n\n  4294967295   http://[::1]:1/\r\n7 http://127.9.9.9:2").unwrap();
        let told: Vec<_> = list.iter().map(|companion| (companion.dag, companion.address.to_string())).collect();
        let expected = [(0, "127.0.0.1:9955"), (u32::MAX, "[::1]:1"), (7, "127.9.9.9:2")];
        assert_eq!(told, expected.map(|(dag, address)| (dag, address.to_owned())));
        assert_eq!((parse(b""), parse(b" \n\n")), (Ok(Vec::new()), Ok(Vec::new())));
    }

    #[test]
    fn only_this_machine_is_asked() {
        for other in ["10.0.0.1:80", "0.0.0.0:80", "8.8.8.8:80", "[2001:db8::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80"]
        {
            let refused = refusal(&alloc::format!("0 http://{other}"));
            assert!(matches!(refused, CompanionsError::NotLoopback { line: 1, .. }), "{other}: {refused}");
        }
        // A name may lead anywhere, and so may what stands before an @.
        for name in ["localhost:80", "127.0.0.1.example.org:80", "127.0.0.1@example.org:80", "127.1:80"] {
            let refused = refusal(&alloc::format!("0 http://{name}"));
            assert!(matches!(refused, CompanionsError::NotAnAddress { line: 1, .. }), "{name}: {refused}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_list_is_named_with_its_line() {
        const FIRST: &str = "0 http://127.0.0.1:1\n";
        let second = |text: &str| refusal(&alloc::format!("{FIRST}{text}"));
        assert_eq!(second("1"), CompanionsError::Malformed { line: 2 });
        assert_eq!(second("1\thttp://127.0.0.1:1"), CompanionsError::Malformed { line: 2 });
        for number in ["-1", "4294967296", "one", "0x1"] {
            let refused = second(&alloc::format!("{number} http://127.0.0.1:1"));
            assert!(matches!(refused, CompanionsError::NotADag { line: 2, .. }), "{number}: {refused}");
        }
        assert_eq!(second("0 http://127.0.0.1:2"), CompanionsError::DagTwice { line: 2, dag: 0 });
        for url in ["https://127.0.0.1:1", "127.0.0.1:1", "HTTP://127.0.0.1:1", "file:///etc/passwd"] {
            assert_eq!(second(&alloc::format!("1 {url}")), CompanionsError::NotHttp { line: 2 }, "{url}");
        }
        for url in
            ["http://127.0.0.1", "http://127.0.0.1:", "http://127.0.0.1:99999", "http://127.0.0.1:1/x", "http://"]
        {
            let refused = second(&alloc::format!("1 {url}"));
            assert!(matches!(refused, CompanionsError::NotAnAddress { line: 2, .. }), "{url}: {refused}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let list = |count: usize| {
            let lines = (0..count).map(|dag| alloc::format!("{dag} http://127.0.0.1:1\n"));
            parse(lines.collect::<String>().as_bytes())
        };
        assert_eq!(list(COMPANIONS_MAX).unwrap().len(), COMPANIONS_MAX);
        assert_eq!(list(COMPANIONS_MAX + 1), Err(CompanionsError::TooMany));
        assert_eq!(parse(&[b'\n'; COMPANIONS_BYTES_MAX]), Ok(Vec::new()));
        let long = [b'\n'; COMPANIONS_BYTES_MAX + 1];
        assert_eq!(parse(&long), Err(CompanionsError::TooLong(COMPANIONS_BYTES_MAX + 1)));
        assert_eq!(parse(b"0 http://127.0.0.1:1\xff"), Err(CompanionsError::NotText));
    }

    proptest! {
        #[test]
        fn no_list_makes_the_worker_ask_another_machine(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                "[0-9]{1,3} http://[0-9a-f:.\\[\\]@/localhst]{0,30}:[0-9]{1,6}".prop_map(String::into_bytes),
            ],
        ) {
            if let Ok(companions) = parse(&bytes) {
                prop_assert!(companions.iter().all(|companion| companion.address.ip().is_loopback()));
            }
        }
    }
}
