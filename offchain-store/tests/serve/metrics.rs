//! Counters that move.

use super::{Archive, bytes};

#[test]
fn reading_moves_the_counters_of_reading() {
    let archive = Archive::new();
    let block = archive.put(&bytes(10_000, 1));
    let server = archive.serve(&[]);
    let path = format!("/v1/blocks/{block}/content");
    let moved =
        ["pakit_blocks_read_total", "pakit_read_bytes_total", "pakit_read_seconds_count", "pakit_cache_hits_total"];
    assert_eq!(moved.map(|name| server.metric(name)), [0.0; 4]);
    server.get(&path);
    server.get(&path);
    server.ask("GET", &path, &[("range", "bytes=0-99")]);
    assert_eq!(moved[..3].iter().map(|name| server.metric(name)).collect::<Vec<_>>(), [3.0, 20_100.0, 3.0]);
    assert!(server.metric("pakit_cache_hits_total") >= 2.0);
    assert_eq!(server.metric("pakit_log_blocks"), 2.0);
    assert_eq!(server.metric("pakit_blocks_finalized"), 0.0);
    assert!(server.metric("pakit_store_bytes") >= 10_000.0);
    server.get("/nothing/here");
    let content = "pakit_http_requests_total{route=\"/v1/blocks/{block}/content\",method=\"GET\",status=\"200\"}";
    assert_eq!(server.metric(content), 2.0);
    assert_eq!(server.metric("pakit_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"}"), 1.0);
}

#[test]
fn the_text_is_open_metrics() {
    let reply = Archive::new().serve(&[]).get("/metrics");
    assert!(reply.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines() {
        assert!(line.starts_with("# ") || line.starts_with("pakit_"), "{line}");
    }
}
