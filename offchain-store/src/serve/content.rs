//! Contents, whole or in part: streamed, and verified before the last byte is sent.
//!
//! ```text
//! blocking thread: chunk, verify ──one piece held back──► queue of 1 ──► body ──► connection
//! ```
//!
//! A chunk's hash shows that its bytes are right, not that they belong there: that shows only when the whole has been read. So the
//! last piece waits for it, also of a range that ends long before the content does. Where the content turns out to be another, the
//! body fails, and with fewer bytes than its length said the connection is cut: no client takes it for complete.

use super::{
    Shared, documents,
    problem::{Name, Problem},
    range::{self, Wanted},
};
use crate::{
    block::DagBlock,
    cache::CACHED_CONTENT_BYTES_MAX,
    get::{ContentReader, GetError},
};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use http_body::{Frame, SizeHint};
use pakit_primitives::BlockHash;
use std::{
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::sync::mpsc;

/// Verified pieces, each a chunk at most, that wait for a client.
const QUEUED_PIECES_MAX: usize = 1;

/// How the content is asked for.
struct Question {
    block_hash: BlockHash,
    is_head: bool,
    if_none_match: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
    range: Option<HeaderValue>,
}

/// What is sent: a status, its range of a content, and the reader of it.
enum Sending {
    NotModified(HeaderValue),
    Content { block: Arc<DagBlock>, part: Option<Range<u64>>, source: Source },
}

enum Source {
    /// From memory, verified when it came there.
    Cached(Bytes),
    Reader(Box<ContentReader>),
}

pub(super) async fn content(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let begin = Instant::now();
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).cloned()
    };
    let question = Question {
        block_hash: documents::block_hash(path)?,
        is_head: method == Method::HEAD,
        if_none_match: one(header::IF_NONE_MATCH),
        if_range: one(header::IF_RANGE),
        range: one(header::RANGE),
    };
    let is_head = question.is_head;
    match shared.ask(move |shared| find(shared, &question)).await? {
        Sending::NotModified(tag) => Ok(not_modified(tag)),
        Sending::Content { block, part, source } => {
            let range = part.clone().unwrap_or(0..block.header().original_size);
            let body = match is_head {
                true => Body::empty(),
                false => body(&shared, &block, source, range.clone(), begin).await?,
            };
            Ok(response(&block, part, range.end - range.start, body))
        }
    }
}

/// A content's tag is its hash: equal bytes, equal tag, for ever.
fn tag_of(block: &DagBlock) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", block.header().content_hash))
        .expect("a hash in hex and two quotes are printable ASCII; qed")
}

fn find(shared: &Shared, question: &Question) -> Result<Sending, Problem> {
    let block = shared.block(&question.block_hash)?;
    let (size, tag) = (block.header().original_size, tag_of(&block));
    if question.if_none_match.as_ref().is_some_and(|given| names(given, &tag)) {
        return Ok(Sending::NotModified(tag));
    }
    // RFC 9110: a range is for GET, and counts only while the content is the one of which the client has a part.
    let is_asked_in_part = !question.is_head && question.if_range.as_ref().is_none_or(|given| *given == tag);
    let part = match question.range.as_ref().filter(|_| is_asked_in_part) {
        None => None,
        Some(given) => match range::wanted(given.as_bytes(), size) {
            Wanted::Whole => None,
            Wanted::Part(part) => Some(part),
            Wanted::Nothing => {
                let of = HeaderValue::try_from(format!("bytes */{size}")).expect("digits are printable ASCII; qed");
                return Err(Problem::new(Name::RangeNotSatisfiable).with_header(header::CONTENT_RANGE, of));
            }
        },
    };
    let source = source(shared, &block, part.clone())?;
    Ok(Sending::Content { block, part, source })
}

/// Whether a list of tags has this one. Weak ones count here: equal bytes are equal in any sense.
fn names(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(list), Ok(tag)) = (list.to_str(), tag.to_str()) else { return false };
    list.trim() == "*" || list.split(',').any(|item| item.trim().trim_start_matches("W/") == tag)
}

fn source(shared: &Shared, block: &DagBlock, part: Option<Range<u64>>) -> Result<Source, Problem> {
    let header = block.header();
    if header.original_size <= CACHED_CONTENT_BYTES_MAX {
        // Another process may have dropped what the cache of this one still has.
        let is_kept = shared.engine.backend().payload(&header.content_hash)?.is_some_and(|info| info.is_kept);
        if is_kept {
            let content = Bytes::from_owner(shared.engine.retrieve(&block.block_hash())?);
            // A small content fits any address space.
            let part = part.map(|part| content.slice(part.start as usize..part.end as usize));
            return Ok(Source::Cached(part.unwrap_or(content)));
        }
    }
    // All of it, and the part is cut out here: between two chunks it is seen whether somebody still waits.
    Ok(Source::Reader(Box::new(shared.engine.reader(block, None)?)))
}

fn not_modified(tag: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, tag);
    response
}

fn response(block: &DagBlock, part: Option<Range<u64>>, length: u64, body: Body) -> Response {
    let mut response = Response::new(body);
    let size = block.header().original_size;
    if let Some(part) = &part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        // A part is never empty.
        let of = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
        let of = HeaderValue::try_from(of).expect("digits are printable ASCII; qed");
        response.headers_mut().insert(header::CONTENT_RANGE, of);
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag_of(block));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Whatever the bytes are, a browser is not to run them; nor is it to guess.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(documents::BYTES));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The bytes under a block hash never change, but they may be removed: then no cache is to have them either.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Begins to read. What is wrong with the first piece, and with a content of one chunk at all, is still told with a status.
async fn body(
    shared: &Arc<Shared>,
    block: &DagBlock,
    source: Source,
    range: Range<u64>,
    begin: Instant,
) -> Result<Body, Problem> {
    let length = range.end - range.start;
    let reader = match source {
        Source::Cached(content) => {
            shared.metrics.read(length, begin);
            return Ok(Body::from(content));
        }
        Source::Reader(reader) => reader,
    };
    let (queue, mut pieces) = mpsc::channel(QUEUED_PIECES_MAX);
    let (metrics, block_hash) = (shared.clone(), block.block_hash());
    tokio::task::spawn_blocking(move || {
        match send(reader, &range, &queue) {
            Ok(true) => metrics.metrics.read(length, begin),
            // The client has gone.
            Ok(false) => {}
            Err(error) => {
                tracing::error!("block {block_hash} was not sent to its end: {error}");
                drop(queue.blocking_send(Err(error)));
            }
        }
    });
    let first = match tokio::time::timeout(shared.options.limits.answer_time, pieces.recv()).await {
        Ok(first) => first.transpose()?,
        Err(_) => return Err(Problem::new(Name::TooSlow)),
    };
    Ok(Body::new(Verified { first, pieces, left: length }))
}

/// Sends the pieces of a range, the last one when nothing more can be wrong with the content. Says whether somebody took them.
fn send(
    mut reader: Box<ContentReader>,
    range: &Range<u64>,
    queue: &mpsc::Sender<Result<Bytes, GetError>>,
) -> Result<bool, GetError> {
    let (mut position, mut held) = (0, None);
    while let Some(piece) = reader.next_piece()? {
        if queue.is_closed() {
            return Ok(false);
        }
        let start = position;
        position += piece.len() as u64;
        let begin = range.start.clamp(start, position) - start;
        let end = range.end.clamp(start, position) - start;
        if begin == end {
            continue;
        }
        // Offsets within a piece, which is in memory.
        let piece = Bytes::from(piece).slice(begin as usize..end as usize);
        if let Some(earlier) = held.replace(piece)
            && queue.blocking_send(Ok(earlier)).is_err()
        {
            return Ok(false);
        }
    }
    Ok(held.is_none_or(|last| queue.blocking_send(Ok(last)).is_ok()))
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error(transparent)]
    Get(#[from] GetError),
    /// Whoever read it has died. It has no reason to.
    #[error("the content's reader ended early")]
    Ended,
}

/// A body of exactly as many bytes as it says, or one that fails.
struct Verified {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Result<Bytes, GetError>>,
    left: u64,
}

impl HttpBody for Verified {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => ready!(self.pieces.poll_recv(context)),
        };
        Poll::Ready(match piece {
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None if self.left > 0 => Some(Err(BodyError::Ended)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
