//! Anchoring on a schedule, beside whatever is served.
//!
//! ```text
//!  log has grown ──► due: after a while, or after so many blocks ──► AnchorWorker, until final ──► wait for more
//!                                                                        │ fails
//!                                                                        └──► told, counted, tried again after a while that doubles
//! ```
//!
//! What was signed stands in the outbox before it is sent, so that dropping a run at any moment costs nothing: the next run, of this
//! process or of `pakit anchor`, goes on with it. The lock `anchor.lock` is held while a run lasts, and not in between.

use super::metrics::AnchorMetrics;
use crate::{
    anchor::{
        AnchorConfig, AnchorError, AnchorProgress, AnchorReceipt, AnchorWorker, Outbox, RowState, SigningKey,
        SubxtConnector, Until,
    },
    backend::DagBackend,
};
use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{runtime, sync::watch};

/// How often it is looked whether an anchor is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long nothing is tried after a first failure; it doubles.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(5);
/// How long nothing is tried at most.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// When the log's head is anchored: whatever comes first. Never while nothing was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Schedule {
    /// After this time since the last anchor was begun.
    pub every: Option<Duration>,
    /// After this many blocks that no finalized anchor covers.
    pub blocks: Option<u64>,
}

/// What anchors a repository on a schedule.
pub struct Anchoring {
    /// When.
    pub schedule: Schedule,
    /// The repository's folder.
    pub folder: PathBuf,
    /// A node; without one, that of the repository's DAG.
    pub url: Option<String>,
    /// Who signs and pays.
    pub key: SigningKey,
    /// How patiently.
    pub config: AnchorConfig,
}

impl Anchoring {
    /// Begins, in a thread of its own, until `stop` says so or its sender is gone.
    pub(super) fn start(
        self,
        backend: Arc<dyn DagBackend>,
        metrics: AnchorMetrics,
        stop: watch::Receiver<bool>,
    ) -> io::Result<JoinHandle<()>> {
        // What the chain's client holds while it waits need not be sent between threads here.
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let run = move || runtime.block_on(self.run(backend, metrics, stop));
        std::thread::Builder::new().name("pakit-anchor".into()).spawn(run)
    }

    async fn run(self, backend: Arc<dyn DagBackend>, metrics: AnchorMetrics, mut stop: watch::Receiver<bool>) {
        let mut clock = Clock::new(self.schedule);
        loop {
            tokio::select! {
                _ = stop.wait_for(|is_stopped| *is_stopped) => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let size = match backend.totals() {
                Ok(totals) => totals.blocks,
                Err(error) => {
                    tracing::error!("the log cannot be read for anchoring: {error}");
                    continue;
                }
            };
            if !clock.is_due(Instant::now(), size) {
                continue;
            }
            let begin = Instant::now();
            let anchored = tokio::select! {
                _ = stop.wait_for(|is_stopped| *is_stopped) => return,
                anchored = self.anchor(&backend, &metrics) => anchored,
            };
            match anchored {
                Ok(receipt) => {
                    tracing::info!("size {} is anchored and finalized, DAG {}", receipt.head.size, receipt.dag);
                    clock.succeeded(begin, receipt.head.size);
                }
                Err(error) => {
                    metrics.failures.inc();
                    let delay = clock.failed(Instant::now());
                    tracing::warn!("not anchored: {error}; trying again in {} s", delay.as_secs());
                }
            }
        }
    }

    /// One run, until the present head is final.
    async fn anchor(
        &self,
        backend: &Arc<dyn DagBackend>,
        metrics: &AnchorMetrics,
    ) -> Result<AnchorReceipt, AnchorError> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => Outbox::open_to_read(&self.folder)?.current_binding()?.ok_or(AnchorError::NotBound)?.url,
        };
        let connector = SubxtConnector::new(url, self.config.request_timeout);
        let mut worker = AnchorWorker::open(&self.folder, backend.clone(), connector, self.config.clone())?;
        worker.anchor(Until::Finalized, &self.key, &mut |step| metrics.note(&step)).await
    }
}

impl AnchorMetrics {
    fn note(&self, step: &AnchorProgress) {
        match step {
            AnchorProgress::Sent { attempts: 0..=1, .. } => {
                self.sent.inc();
            }
            AnchorProgress::Sent { objection, attempts, .. } => {
                self.retried.inc();
                let objection = objection.as_deref().unwrap_or("nothing was heard of it");
                tracing::info!("an anchor was sent {attempts} times: {objection}");
            }
            AnchorProgress::Row { call: "anchor", state: RowState::Finalized, .. } => {
                self.finalized.inc();
            }
            AnchorProgress::Trouble { error, retry_in } => {
                tracing::warn!("anchoring: {error}; trying again in {:.1} s", retry_in.as_secs_f32());
            }
            AnchorProgress::Held { head, why, .. } => {
                tracing::warn!("the anchor of size {} is not sent again: {why}", head.size);
            }
            AnchorProgress::FellOut { block_number, .. } => {
                tracing::info!("block {block_number} with an anchor fell out of the best chain");
            }
            _ => {}
        }
    }
}

/// What is known of anchors so far, and when the next is due.
struct Clock {
    schedule: Schedule,
    /// When the last one was begun that succeeded.
    last: Option<Instant>,
    /// Size that is known to be anchored and final.
    anchored: u64,
    failures: u32,
    not_before: Option<Instant>,
}

impl Clock {
    fn new(schedule: Schedule) -> Self {
        Self { schedule, last: None, anchored: 0, failures: 0, not_before: None }
    }

    fn is_due(&self, now: Instant, size: u64) -> bool {
        if size <= self.anchored || self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        // What failed is due still. A service that begins does not know what was anchored before it, which the first run finds out
        // without a fee.
        let (Some(last), false) = (self.last, self.failures > 0) else { return true };
        let is_time = self.schedule.every.is_some_and(|every| now.duration_since(last) >= every);
        is_time || self.schedule.blocks.is_some_and(|blocks| size - self.anchored >= blocks)
    }

    fn succeeded(&mut self, begin: Instant, size: u64) {
        (self.last, self.failures, self.not_before) = (Some(begin), 0, None);
        self.anchored = self.anchored.max(size);
    }

    /// Says how long nothing is tried.
    fn failed(&mut self, now: Instant) -> Duration {
        let delay = RETRY_DELAY_MIN.saturating_mul(1 << self.failures.min(16)).min(RETRY_DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(every: Option<u64>, blocks: Option<u64>) -> (Clock, impl Fn(u64) -> Instant) {
        let begin = Instant::now();
        let schedule = Schedule { every: every.map(Duration::from_secs), blocks };
        (Clock::new(schedule), move |seconds| begin + Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_look_is_at_once_and_the_next_after_the_time_or_the_blocks() {
        let (mut clock, at) = clock(Some(60), Some(10));
        assert!(clock.is_due(at(0), 5));
        clock.succeeded(at(0), 5);
        assert!(!clock.is_due(at(59), 14));
        assert!(clock.is_due(at(1), 15), "as many blocks");
        assert!(clock.is_due(at(60), 6), "as much time");
        assert!(!clock.is_due(at(600), 5), "nothing new");
        clock.succeeded(at(60), 6);
        assert!(!clock.is_due(at(119), 7));
        assert!(clock.is_due(at(120), 7));
    }

    #[test]
    fn a_schedule_by_blocks_alone_does_not_look_at_the_time() {
        let (mut clock, at) = clock(None, Some(10));
        clock.succeeded(at(0), 5);
        assert!(!clock.is_due(at(1_000_000), 14));
        assert!(clock.is_due(at(1), 15));
    }

    #[test]
    fn what_failed_is_tried_again_after_delays_that_double_up_to_a_bound() {
        let (mut clock, at) = clock(Some(3600), None);
        let delays: Vec<u64> = (0..9).map(|_| clock.failed(at(0)).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(!clock.is_due(at(299), 5));
        assert!(clock.is_due(at(300), 5));
        clock.succeeded(at(300), 5);
        assert!(!clock.is_due(at(301), 6), "the schedule holds again");
        assert_eq!(clock.failed(at(4000)).as_secs(), 5);
        assert!(clock.is_due(at(4005), 6));
    }
}
