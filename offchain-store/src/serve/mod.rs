//! `pakit serve`: the repository over HTTP, for programs on the same machine and whoever stands behind a proxy.
//!
//! ```text
//!  connection ──limits.rs: how many, how long──► routes.rs ──► content.rs, documents.rs ──► StorageEngine
//!                                                   │                                          │
//!                                                   └── whatever fails: problem.rs             └── metrics.rs
//! ```
//!
//! Everything that reads the disk runs on blocking threads, and as many of these at once as there are permits. Nothing is sent that
//! was not verified: of a content, the last piece is held back until the whole has been read and has its hash. docs/http.md tells
//! what clients may rely on.

mod answers;
mod auth;
mod content;
mod documents;
mod limits;
mod metrics;
mod problem;
mod put;
mod range;
mod routes;
mod schedule;

pub use auth::{TOKEN_CHARS_MAX, TOKEN_CHARS_MIN, Token, TokenError};
pub use limits::Limits;
pub use schedule::{Anchoring, Schedule};

use crate::{
    anchor::{Outbox, OutboxError},
    engine::StorageEngine,
    store::{Store, StoreError},
};
use answers::Answers;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use metrics::Metrics;
use problem::{Name, Problem};
use put::Writing;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;

/// The bytes that a header Range asks for, where it asks for a part. A door for the crate `faults`, and no part of the interface.
#[doc(hidden)]
pub fn read_byte_range(value: &[u8], size: u64) -> Option<std::ops::Range<u64>> {
    match range::wanted(value, size) {
        range::Wanted::Part(part) => Some(part),
        range::Wanted::Whole | range::Wanted::Nothing => None,
    }
}

/// Where the service listens unless told otherwise.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9955);

/// Header lines of a request at most.
const HEADERS_MAX: usize = 64;
/// Bytes of a request's line and headers at most, and of what waits to be sent on a connection.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Connections beyond the limit that are told so at once; those beyond are closed without a word.
const REFUSALS_MAX: usize = 32;
/// How long such a connection may take to be told.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// How long no connection is accepted after the system could not give one, for want of files as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the service did not start, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An address that others can reach was named without saying that they may.
    #[error("{0} can be reached from other machines, which see every content then; --allow-remote says that they may")]
    NotLoopback(SocketAddr),
    /// There is no thread to anchor in.
    #[error("no thread for anchoring: {0}")]
    Thread(#[source] io::Error),
    /// What is put cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository's anchors cannot be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// What a service is told when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether the address may be one that other machines reach.
    pub allow_remote: bool,
    /// Names, beside `localhost` and addresses, that requests may call this host by.
    pub hosts: Vec<String>,
    /// What a client may take.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: LISTEN_DEFAULT, allow_remote: false, hosts: Vec::new(), limits: Limits::default() }
    }
}

/// What all requests share.
struct Shared {
    engine: Arc<StorageEngine>,
    /// Where it stands what was anchored; a repository in memory anchors nothing.
    outbox: Option<Outbox>,
    /// What stores, where there is a token.
    writing: Option<Writing>,
    options: Options,
    metrics: Metrics,
    /// Permits for questions that a blocking thread answers.
    questions: Arc<Semaphore>,
    answers: Answers,
    is_stopping: AtomicBool,
}

/// A service that listens, and answers nobody yet.
pub struct Service {
    listener: TcpListener,
    shared: Arc<Shared>,
    anchoring: Option<Anchoring>,
}

impl Service {
    /// Listens. Wants the Tokio runtime that [`Self::run`] will run on. With a token, whoever has it can put, and the engine has to be
    /// one that was opened for writing.
    pub async fn bind(engine: Arc<StorageEngine>, token: Option<Token>, options: Options) -> Result<Self, ServeError> {
        let address = options.listen;
        if !address.ip().is_loopback() && !options.allow_remote {
            return Err(ServeError::NotLoopback(address));
        }
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        let outbox = engine.folder().map(Outbox::open_to_read).transpose()?;
        let writing = match token {
            Some(token) => Some(Writing::new(Store::new(engine.clone())?, token, &options.limits)),
            None => None,
        };
        let questions = Arc::new(Semaphore::new(options.limits.questions_max));
        let (metrics, answers, is_stopping) = (Metrics::new(), Answers::new(), AtomicBool::new(false));
        let shared = Shared { engine, outbox, writing, options, metrics, questions, answers, is_stopping };
        Ok(Self { listener, shared: Arc::new(shared), anchoring: None })
    }

    /// Also anchors.
    pub fn with_anchoring(self, anchoring: Anchoring) -> Self {
        Self { anchoring: Some(anchoring), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is ready; then takes no more connections, and gives the requests under way
    /// [`Limits::shutdown_time`] to end. Says whether they did.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<bool, ServeError> {
        let Self { listener, shared, anchoring } = self;
        let (stopped, is_stopped) = watch::channel(false);
        let anchoring = anchoring
            .map(|anchoring| {
                anchoring.start(shared.engine.backend().clone(), shared.metrics.anchors.clone(), is_stopped)
            })
            .transpose()
            .map_err(ServeError::Thread)?;
        let were_all_answered = serve(listener, shared, stop).await;
        // What it was at is in the outbox, and gone on with by the next run.
        stopped.send_replace(true);
        if let Some(anchoring) = anchoring {
            // One that has panicked has said so.
            let _ = tokio::task::spawn_blocking(move || anchoring.join()).await;
        }
        Ok(were_all_answered)
    }
}

/// Accepts connections until `stop` is ready, then waits for the requests under way. Says whether all of them ended.
async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: impl Future<Output = ()>) -> bool {
    let limits = shared.options.limits;
    let router = routes::router(shared.clone());
    let (graceful, refusals) = (GracefulShutdown::new(), Arc::new(Semaphore::new(REFUSALS_MAX)));
    let connections = Arc::new(Semaphore::new(limits.connections_max));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match connections.clone().try_acquire_owned() {
            Ok(permit) => {
                shared.metrics.connections.inc();
                let connection = converse(stream, router.clone(), limits, graceful.watcher());
                let shared = shared.clone();
                tokio::spawn(async move {
                    connection.await;
                    shared.metrics.connections.dec();
                    drop(permit);
                });
            }
            Err(_) => {
                shared.metrics.connections_refused.inc();
                if let Ok(permit) = refusals.clone().try_acquire_owned() {
                    tokio::spawn(timeout(REFUSAL_TIME, refuse(stream, permit)));
                }
            }
        }
    }
    drop(listener);
    shared.is_stopping.store(true, Ordering::Release);
    timeout(limits.shutdown_time, graceful.shutdown()).await.is_ok()
}

/// One connection, to its end.
async fn converse(stream: TcpStream, router: axum::Router, limits: Limits, watcher: Watcher) {
    // Small answers are not to wait for an acknowledgement of the one before; where it cannot be set, they do.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    // Reading is bounded where it is known what is read: a header, a body. A client that is sent something need not say a word.
    stream.set_write_timeout(Some(limits.stall_time));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    // What goes wrong here is the client's doing or the network's, and nobody is left who could be told.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Says that there are too many connections, whatever was asked.
async fn refuse(mut stream: TcpStream, _permit: OwnedSemaphorePermit) -> io::Result<()> {
    let problem = Problem::new(Name::TooManyConnections);
    let body = problem.to_json();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {}\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        problem::MEDIA_TYPE,
        body.len(),
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    // To close with something unread would take the answer back from whoever has not read it yet.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

impl Shared {
    /// Runs what reads the repository on a blocking thread, when there is one to spare, and waits for it as long as an answer may
    /// take. A question that goes on beyond that keeps its permit until it has ended.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let answer = async {
            let permit = self.questions.clone().acquire_owned().await.map_err(|_| Problem::new(Name::Stopping))?;
            let shared = self.clone();
            let task = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                question(&shared)
            });
            task.await.map_err(|error| Problem::failed(&error))?
        };
        match timeout(self.options.limits.answer_time, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Problem::new(Name::TooSlow)),
        }
    }
}
