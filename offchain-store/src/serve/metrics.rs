//! What Prometheus is told, in the OpenMetrics text format. Every name begins with `pakit_`.

use super::problem::Problem;
use crate::{anchor::Outbox, engine::StorageEngine};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{sync::atomic::Ordering, time::Instant};

/// How what [`Metrics::text`] gives is marked.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a cached header to a content of gigabytes, in seconds.
const SECONDS: [f64; 14] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// Route, method and status of a request. Each has a few values, whatever clients send.
type RequestLabels = [(&'static str, String); 3];

/// Counters that requests move, and gauges that are set when they are asked for.
pub(super) struct Metrics {
    registry: Registry,
    pub(super) connections: Gauge,
    pub(super) connections_refused: Counter,
    requests: Family<RequestLabels, Counter>,
    pub(super) blocks_read: Counter,
    pub(super) bytes_read: Counter,
    pub(super) read_seconds: Histogram,
    blocks_stored: Counter,
    puts_deduplicated: Counter,
    bytes_stored: Counter,
    write_seconds: Histogram,
    pub(super) challenges_answered: Counter,
    pub(super) anchors: AnchorMetrics,
    asked: Asked,
}

/// What becomes of anchors on a schedule.
#[derive(Clone, Default)]
pub(super) struct AnchorMetrics {
    pub(super) sent: Counter,
    pub(super) finalized: Counter,
    pub(super) retried: Counter,
    pub(super) failures: Counter,
}

/// What the repository says when it is asked. The last scrape's answers stand in between.
struct Asked {
    log_blocks: Gauge,
    blocks_finalized: Gauge,
    blocks_anchored: Gauge,
    store_bytes: Gauge,
    content_bytes: Gauge,
    cache_hits: Counter,
    cache_misses: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("pakit");
        let asked = Asked::new(&mut registry);
        let mut metrics = Self {
            registry,
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            requests: Family::default(),
            blocks_read: Counter::default(),
            bytes_read: Counter::default(),
            read_seconds: Histogram::new(SECONDS),
            blocks_stored: Counter::default(),
            puts_deduplicated: Counter::default(),
            bytes_stored: Counter::default(),
            write_seconds: Histogram::new(SECONDS),
            challenges_answered: Counter::default(),
            anchors: AnchorMetrics::default(),
            asked,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_connections", "Connections that are open", self.connections.clone());
        let refused = "Connections that were one too many";
        registry.register("http_connections_refused", refused, self.connections_refused.clone());
        registry.register("http_requests", "Requests answered, by route, method and status", self.requests.clone());
        registry.register(
            "blocks_read",
            "Contents, or ranges of them, sent whole and verified",
            self.blocks_read.clone(),
        );
        registry.register_with_unit("read", "Content sent", Unit::Bytes, self.bytes_read.clone());
        let help = "Time from asking for a content to its last verified byte";
        registry.register_with_unit("read", help, Unit::Seconds, self.read_seconds.clone());
        registry.register("blocks_stored", "Contents put that made a block", self.blocks_stored.clone());
        let equal = "Contents put that had a block already";
        registry.register("puts_deduplicated", equal, self.puts_deduplicated.clone());
        registry.register_with_unit("stored", "Bytes that puts added", Unit::Bytes, self.bytes_stored.clone());
        registry.register("challenges_answered", "Slices shown to be kept", self.challenges_answered.clone());
        let anchors = &self.anchors;
        registry.register("anchors_sent", "Anchors sent for the first time", anchors.sent.clone());
        registry.register("anchors_finalized", "Anchors seen finalized", anchors.finalized.clone());
        registry.register("anchors_retried", "Anchors sent again, byte for byte", anchors.retried.clone());
        registry.register("anchor_failures", "Attempts to anchor that failed", anchors.failures.clone());
        let help = "Time from a put's token to its acknowledgement";
        registry.register_with_unit("write", help, Unit::Seconds, self.write_seconds.clone());
    }

    /// A request was answered.
    pub(super) fn answered(&self, route: &str, method: &str, status: u16) {
        let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// A content was sent to its end.
    pub(super) fn read(&self, bytes: u64, begin: Instant) {
        self.blocks_read.inc();
        self.bytes_read.inc_by(bytes);
        self.read_seconds.observe(begin.elapsed().as_secs_f64());
    }

    /// A content was put, and is on the disk.
    pub(super) fn stored(&self, new_bytes: u64, is_deduplicated: bool, begin: Instant) {
        let counter = if is_deduplicated { &self.puts_deduplicated } else { &self.blocks_stored };
        counter.inc();
        self.bytes_stored.inc_by(new_bytes);
        self.write_seconds.observe(begin.elapsed().as_secs_f64());
    }

    /// All of it, after asking the repository.
    pub(super) fn text(&self, engine: &StorageEngine, outbox: Option<&Outbox>) -> Result<String, Problem> {
        self.asked.ask(engine, outbox)?;
        let mut text = String::new();
        text::encode(&mut text, &self.registry).map_err(|error| Problem::failed(&error))?;
        Ok(text)
    }
}

impl Asked {
    fn new(registry: &mut Registry) -> Self {
        let asked = Self {
            log_blocks: Gauge::default(),
            blocks_finalized: Gauge::default(),
            blocks_anchored: Gauge::default(),
            store_bytes: Gauge::default(),
            content_bytes: Gauge::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
        };
        registry.register("log_blocks", "Blocks in the log", asked.log_blocks.clone());
        let anchored = "Blocks that an anchor in the chain's best block covers";
        registry.register("blocks_anchored", anchored, asked.blocks_anchored.clone());
        registry.register("blocks_finalized", "Blocks that a finalized anchor covers", asked.blocks_finalized.clone());
        let stored = "Stored bytes of the distinct chunks that are kept";
        registry.register_with_unit("store", stored, Unit::Bytes, asked.store_bytes.clone());
        let content = "Bytes of all blocks' contents, as they were put";
        registry.register_with_unit("content", content, Unit::Bytes, asked.content_bytes.clone());
        registry.register("cache_hits", "Blocks found in the cache", asked.cache_hits.clone());
        registry.register("cache_misses", "Blocks not found in the cache", asked.cache_misses.clone());
        asked
    }

    fn ask(&self, engine: &StorageEngine, outbox: Option<&Outbox>) -> Result<(), Problem> {
        let totals = engine.backend().totals()?;
        set(&self.log_blocks, totals.blocks);
        set(&self.store_bytes, totals.stored_bytes);
        set(&self.content_bytes, totals.original_bytes);
        let (hits, misses) = engine.cache_counts();
        self.cache_hits.inner().store(hits, Ordering::Relaxed);
        self.cache_misses.inner().store(misses, Ordering::Relaxed);
        if let Some(outbox) = outbox {
            let (anchored, finalized) = outbox.anchored_sizes()?;
            set(&self.blocks_anchored, anchored);
            set(&self.blocks_finalized, finalized);
        }
        Ok(())
    }
}

/// No store has 2^63 blocks or bytes.
fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
