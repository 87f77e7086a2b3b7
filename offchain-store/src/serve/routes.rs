//! Which path is answered by what.

use super::{
    Shared, content, documents, limits, metrics,
    problem::{Name, Problem},
    put,
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

/// All routes, and what stands before each.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status", get(documents::status))
        .route("/v1/head", get(documents::head))
        .route("/v1/head/raw", get(documents::raw_head))
        .route("/v1/consistency", get(documents::consistency))
        .route("/v1/challenge", get(documents::challenge))
        .route("/v1/challenge/block", get(documents::drawn_block))
        .route("/v1/blocks", post(put::put))
        .route("/v1/blocks/{block}", get(documents::block))
        .route("/v1/blocks/{block}/header", get(documents::header))
        .route("/v1/blocks/{block}/content", get(content::content))
        .route("/v1/blocks/{block}/proof", get(documents::proof))
        .route("/openapi.json", get(openapi))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(|| async { Problem::new(Name::MethodNotAllowed) })
        .fallback(|| async { Problem::new(Name::NoSuchPath) })
        .layer(middleware::from_fn_with_state(shared.clone(), limits::check_host))
        .layer(middleware::from_fn_with_state(shared.clone(), observe))
        .with_state(shared)
}

/// Counts a request, and tells the log of it.
async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    // A path that is none has no name of its own: clients could make any number of them.
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    };
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    shared.metrics.answered(&route, method, status);
    tracing::debug!(method, path, status, ms = begin.elapsed().as_millis() as u64, "answered");
    response
}

/// The document in docs, as it was when this was built.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.json");

async fn openapi() -> Response {
    documents::answer("application/json", OPENAPI)
}

async fn metrics_text(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let text = shared.ask(|shared| shared.metrics.text(&shared.engine, shared.outbox.as_ref())).await?;
    Ok(documents::answer(metrics::MEDIA_TYPE, text))
}

/// The process runs, and answers.
async fn healthy() -> Response {
    documents::answer("text/plain; charset=utf-8", "ok\n")
}

/// The repository answers too, and the service is not about to end.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.is_stopping.load(Ordering::Acquire) {
        return Problem::new(Name::Stopping).into_response();
    }
    match shared.ask(|shared| Ok(shared.engine.backend().totals()?)).await {
        Ok(_) => documents::answer("text/plain; charset=utf-8", "ok\n"),
        Err(problem) => problem.into_response(),
    }
}
