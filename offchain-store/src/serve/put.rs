//! Putting: a body is taken in first, then stored, then acknowledged.
//!
//! ```text
//!            up to 1 MiB: memory ──────────► Store: with whatever else waits, in one commit ─┐
//!  body ──►                                                                                  ├─► on the disk ──► 201
//!            beyond: an unnamed file ──────► StorageEngine: streamed, by itself ─────────────┘
//! ```
//!
//! A body is not streamed into the store itself: that has one writer, which would wait for the slowest client. The unnamed file lies
//! in the repository's folder, so that it is on the disk that has room for the content, and goes with the process.

use super::{
    Shared,
    auth::Token,
    documents,
    limits::Limits,
    problem::{Name, Problem},
};
use crate::{
    block::DagBlock,
    commit::CommitError,
    json::StoredJson,
    put::PutError,
    store::{DagStore, Store, StoreError},
};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt;
use std::{
    fs::File,
    io::{self, Seek, Write},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout_at};

/// A body up to this many bytes stays in memory, and what is written to a file at once.
const MEMORY_BYTES: usize = 1 << 20;
/// Bytes a second that a body has to bring, once as much time has passed as an answer may take.
const BODY_PACE: u64 = 16 << 10;

/// What a service needs that stores what it is sent.
pub(super) struct Writing {
    store: Store,
    token: Token,
    places: Semaphore,
}

impl Writing {
    pub(super) fn new(store: Store, token: Token, limits: &Limits) -> Self {
        Self { store, token, places: Semaphore::new(limits.puts_max) }
    }
}

/// A content that is on the disk.
struct Stored {
    block: DagBlock,
    new_bytes: u64,
    is_deduplicated: bool,
}

pub(super) async fn put(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let writing = shared.writing.as_ref().ok_or_else(|| Problem::new(Name::PutsOff))?;
    // Before anything that tells how busy the service is, and before a byte of the body.
    writing.token.check(request.headers())?;
    let begin = Instant::now();
    let _place = writing.places.try_acquire().map_err(|_| Problem::new(Name::TooManyPuts))?;
    let stored = match receive(&shared, request).await? {
        Received::Memory(content) => {
            let inserted = writing.store.insert(content, None).await?;
            Stored { block: inserted.block, new_bytes: inserted.new_bytes, is_deduplicated: inserted.is_deduplicated }
        }
        Received::File(file) => {
            let engine = shared.engine.clone();
            let stored = spawn_blocking(move || engine.store(file, None)).await;
            let item = stored.map_err(|error| Problem::failed(&error))??;
            Stored { block: item.block, new_bytes: item.new_bytes, is_deduplicated: item.is_deduplicated }
        }
    };
    shared.metrics.stored(stored.new_bytes, stored.is_deduplicated, begin);
    acknowledgement(&stored)
}

/// The keys are those of `pakit put --json`.
fn acknowledgement(stored: &Stored) -> Result<Response, Problem> {
    let told = StoredJson::new(&stored.block, stored.new_bytes, stored.is_deduplicated);
    let place = HeaderValue::try_from(format!("/v1/blocks/{}", told.block)).map_err(|error| Problem::failed(&error))?;
    let mut response = documents::json(&told)?;
    if !stored.is_deduplicated {
        *response.status_mut() = StatusCode::CREATED;
    }
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

enum Received {
    Memory(Vec<u8>),
    /// Behind its last byte nothing, before its first one the place where it is read next.
    File(File),
}

/// Takes a body in, as fast as it comes and no slower than it has to.
async fn receive(shared: &Shared, request: Request) -> Result<Received, Problem> {
    let limit = shared.options.limits.body_bytes_max;
    let mut body = request.into_body();
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > limit {
        return Err(too_large(limit));
    }
    let begin = tokio::time::Instant::now();
    let (mut received, mut spool) = (0, None);
    let mut memory = Vec::with_capacity(usize::try_from(announced).unwrap_or(MEMORY_BYTES).min(MEMORY_BYTES));
    loop {
        let deadline = begin + shared.options.limits.answer_time + Duration::from_secs(received / BODY_PACE);
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(frame)) => frame.map_err(|_| Problem::new(Name::BodyInterrupted))?,
            Ok(None) => break,
            Err(_) => return Err(closing(Problem::new(Name::BodyTooSlow))),
        };
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        received += data.len() as u64;
        if received > limit {
            return Err(too_large(limit));
        }
        memory.extend_from_slice(&data);
        if memory.len() > MEMORY_BYTES {
            (spool, memory) = spill(shared, spool, memory).await?;
        }
    }
    match spool {
        None => Ok(Received::Memory(memory)),
        Some(file) => {
            let (file, _) = spill(shared, Some(file), memory).await?;
            let mut file = file.ok_or_else(|| Problem::new(Name::Failed))?;
            file.rewind().map_err(spool_failure)?;
            Ok(Received::File(file))
        }
    }
}

/// Appends to the unnamed file, which is made for the first piece; gives the piece's room back.
async fn spill(shared: &Shared, file: Option<File>, mut memory: Vec<u8>) -> Result<(Option<File>, Vec<u8>), Problem> {
    let folder = shared.engine.folder().map(ToOwned::to_owned);
    let written = spawn_blocking(move || -> io::Result<_> {
        let mut file = match (file, folder) {
            (Some(file), _) => file,
            (None, Some(folder)) => tempfile::tempfile_in(folder)?,
            (None, None) => tempfile::tempfile()?,
        };
        file.write_all(&memory)?;
        memory.clear();
        Ok((Some(file), memory))
    });
    written.await.map_err(|error| Problem::failed(&error))?.map_err(spool_failure)
}

fn spool_failure(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::new(Name::DiskFull),
        _ => Problem::failed(&error),
    }
}

fn too_large(limit: u64) -> Problem {
    closing(Problem::new(Name::BodyTooLarge).with_detail(format_args!("a content may have {limit} bytes here")))
}

/// What is left of the body is not read, so the connection can carry nothing after it.
fn closing(problem: Problem) -> Problem {
    problem.with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Backend(error) => error.into(),
            error => Self::failed(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Backend(error) => error.into(),
            // One error for all whose contents were part of the commit.
            StoreError::Commit(error) => match &*error {
                CommitError::Backend(crate::backend::BackendError::DiskFull) => Self::new(Name::DiskFull),
                error => Self::failed(error),
            },
            StoreError::Closed => Self::new(Name::Stopping),
            error => Self::failed(&error),
        }
    }
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Backend(error) => error.into(),
            PutError::Commit(error) => error.into(),
            error => Self::failed(&error),
        }
    }
}
