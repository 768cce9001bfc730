//! The upload queue of a volume.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Api;
use super::super::extract::{InPath, Perhaps};
use super::Errors;
use crate::backend::Outcome;
use crate::types::names::Name;
use crate::types::queue::Queue;

/// The body of a request that says it all by its path: empty, or `{}`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(queue))
        .routes(routes!(queue_pause))
        .routes(routes!(queue_resume))
        .routes(routes!(queue_retry))
        .routes(routes!(queue_cancel))
}

/// What is on its way to the store.
#[utoipa::path(get, path = "/v1/volumes/{name}/queue", tag = "queue", params(("name" = Name, Path)),
    responses((status = 200, body = Queue), Errors))]
async fn queue(State(api): State<Api>, InPath(name): InPath<Name>) -> Outcome<Json<Queue>> {
    api.json(|b| async move { b.queue(name).await }).await
}

/// Holds uploads.
#[utoipa::path(post, path = "/v1/volumes/{name}/queue/pause", tag = "queue", params(("name" = Name, Path)),
    request_body = inline(Option<Nothing>), responses((status = 200, body = Queue), Errors))]
async fn queue_pause(State(api): State<Api>, InPath(name): InPath<Name>, _: Perhaps<Nothing>) -> Outcome<Json<Queue>> {
    api.json(|b| async move { b.queue_pause(name).await }).await
}

/// Lets uploads go on.
#[utoipa::path(post, path = "/v1/volumes/{name}/queue/resume", tag = "queue", params(("name" = Name, Path)),
    request_body = inline(Option<Nothing>), responses((status = 200, body = Queue), Errors))]
async fn queue_resume(State(api): State<Api>, InPath(name): InPath<Name>, _: Perhaps<Nothing>) -> Outcome<Json<Queue>> {
    api.json(|b| async move { b.queue_resume(name).await }).await
}

/// Tries again now what waits to be tried again.
#[utoipa::path(post, path = "/v1/volumes/{name}/queue/retry", tag = "queue", params(("name" = Name, Path)),
    request_body = inline(Option<Nothing>), responses((status = 200, body = Queue), Errors))]
async fn queue_retry(State(api): State<Api>, InPath(name): InPath<Name>, _: Perhaps<Nothing>) -> Outcome<Json<Queue>> {
    api.json(|b| async move { b.queue_retry(name).await }).await
}

/// Cancels the waiting of a paused or retrying entry. Data is never dropped.
#[utoipa::path(post, path = "/v1/volumes/{name}/queue/{id}/cancel", tag = "queue",
    params(("name" = Name, Path), ("id" = u64, Path)),
    request_body = inline(Option<Nothing>), responses((status = 200, body = Queue), Errors))]
async fn queue_cancel(
    State(api): State<Api>,
    InPath((name, id)): InPath<(Name, u64)>,
    _: Perhaps<Nothing>,
) -> Outcome<Json<Queue>> {
    api.json(|b| async move { b.queue_cancel(name, id).await }).await
}
