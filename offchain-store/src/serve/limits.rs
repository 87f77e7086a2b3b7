//! What a client may take: bytes, time, places. And what it may call this host.

use super::{
    Shared,
    problem::{Name, Problem},
};
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Uri,
        header::{HOST, ORIGIN},
        uri::Authority,
    },
    middleware::Next,
    response::Response,
};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// What browsers say of the page that asks, of how, and of what for: Fetch Metadata of the W3C.
const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";
const FETCH_DESTINATION: &str = "sec-fetch-dest";
/// Tells a browser which pages may take an answer in.
const RESOURCE_POLICY: &str = "cross-origin-resource-policy";

/// Bounds on what clients take. Each has a default that fits a companion on the machine of its only client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// Questions to the repository at once; others wait.
    pub questions_max: usize,
    /// Contents that are put at once.
    pub puts_max: usize,
    /// Bytes of a content that is put.
    pub body_bytes_max: u64,
    /// How long a request's line and headers may take, and how long a connection may stay without any.
    pub header_time: Duration,
    /// How long a question to the repository may take, the wait for a thread included.
    pub answer_time: Duration,
    /// How long a client may take nothing of what it is sent.
    pub stall_time: Duration,
    /// How long requests under way may go on after the service was told to stop.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 128,
            questions_max: 32,
            puts_max: 4,
            body_bytes_max: 1 << 30,
            header_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
            shutdown_time: Duration::from_secs(10),
        }
    }
}

/// Refuses requests that call this host by a name that it does not have, and those of foreign pages.
///
/// A page in a browser on this machine may have its own name point here, and would then read every content as its own. Such a
/// request names the page's host; one by address or as `localhost` cannot come about in this way.
pub(super) async fn check_host(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let known = &shared.options.hosts;
    if !is_known_host(request.headers(), request.uri(), known) {
        return Err(Problem::new(Name::UnknownHost));
    }
    if is_of_foreign_page(request.headers(), known) {
        return Err(Problem::new(Name::ForeignPage));
    }
    let mut response = next.run(request).await;
    // For browsers that do not say who asks.
    response.headers_mut().insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// Whether a browser says that a page from elsewhere asks. Such a page cannot read an answer, but it would see whether there is
/// one, and so which blocks are here, and could have contents read for challenges until the node's own are answered too late.
///
/// To follow a link here is the user's doing.
fn is_of_foreign_page(headers: &HeaderMap, known: &[String]) -> bool {
    let says = |name: &str, what: &[&str]| headers.get(name).is_some_and(|it| what.iter().any(|what| it == what));
    if headers.contains_key(FETCH_SITE) {
        let is_link = says(FETCH_MODE, &["navigate"]) && says(FETCH_DESTINATION, &["document"]);
        return !says(FETCH_SITE, &["same-origin", "none"]) && !is_link;
    }
    headers.get(ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        !origin.is_some_and(|origin| origin.host().is_some_and(|host| is_known_name(host, known)))
    })
}

fn is_known_host(headers: &HeaderMap, uri: &Uri, known: &[String]) -> bool {
    let mut named = headers.get_all(HOST).iter();
    let header = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        // HTTP/1.0 names none, and no browser speaks it; two are an attack on whoever stands in between.
        (None, _) => return uri.host().is_none_or(|host| is_known_name(host, known)),
        (Some(_), Some(_)) => None,
    };
    let is_known = |host: &str| is_known_name(host, known);
    header.is_some_and(|host| is_known(host.host())) && uri.host().is_none_or(is_known)
}

fn is_known_name(host: &str, known: &[String]) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || known.iter().any(|known| known.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_addresses_localhost_and_names_that_were_given_are_this_host() {
        let is_known = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            is_known_host(&headers, &Uri::from_static("/v1/head"), &["archive.example".to_owned()])
        };
        for host in
            ["127.0.0.1", "127.0.0.1:9955", "[::1]:80", "localhost", "LocalHost:1", "10.1.2.3", "Archive.Example"]
        {
            assert!(is_known(host), "{host}");
        }
        for host in
            ["", "evil.example", "evil.example:9955", "localhost.evil.example", "127.0.0.1.evil.example", "a b", "@"]
        {
            assert!(!is_known(host), "{host}");
        }
    }

    #[test]
    fn a_request_names_one_host_and_the_same_in_its_target() {
        let mut headers = HeaderMap::new();
        let (own, evil) =
            (Uri::from_static("http://127.0.0.1/v1/head"), Uri::from_static("http://evil.example/v1/head"));
        assert!(is_known_host(&headers, &Uri::from_static("/v1/head"), &[]));
        assert!(!is_known_host(&headers, &evil, &[]));
        headers.append(HOST, "127.0.0.1".parse().unwrap());
        assert!(is_known_host(&headers, &own, &[]));
        assert!(!is_known_host(&headers, &evil, &[]));
        headers.append(HOST, "localhost".parse().unwrap());
        assert!(!is_known_host(&headers, &own, &[]));
    }

    #[test]
    fn a_browser_is_answered_for_its_user_and_its_own_pages_alone() {
        let is_foreign = |given: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, value.parse().unwrap());
            }
            is_of_foreign_page(&headers, &["archive.example".to_owned()])
        };
        let link = |site| [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let frame = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let own: [&[_]; 7] = [
            &[],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://archive.example")],
            &link("cross-site"),
            &link("none"),
            &[("origin", "http://localhost:9955")],
            &[("origin", "https://archive.example")],
        ];
        for headers in own {
            assert!(!is_foreign(headers), "{headers:?}");
        }
        let foreign: [&[_]; 8] = [
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
            &[("sec-fetch-site", "")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://localhost")],
            &frame,
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "http://localhost.evil.example")],
        ];
        for headers in foreign {
            assert!(is_foreign(headers), "{headers:?}");
        }
    }
}
