//! What all volumes share: caches, limits, and holding all queues at once.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Api;
use super::super::extract::{Given, Perhaps};
use super::Errors;
use super::queue::Nothing;
use crate::backend::Outcome;
use crate::types::cache::{Caches, DropCaches, EditCaches};
use crate::types::queue::{EditLimits, Limits, Paused};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(caches, edit_caches))
        .routes(routes!(drop_caches))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(edit_limits))
}

/// Budgets and use.
#[utoipa::path(get, path = "/v1/caches", tag = "shared", responses((status = 200, body = Caches), Errors))]
async fn caches(State(api): State<Api>) -> Outcome<Json<Caches>> {
    api.json(|b| async move { b.caches().await }).await
}

/// Changes budgets.
#[utoipa::path(patch, path = "/v1/caches", tag = "shared", request_body = EditCaches,
    responses((status = 200, body = Caches), Errors))]
async fn edit_caches(State(api): State<Api>, Given(edit): Given<EditCaches>) -> Outcome<Json<Caches>> {
    api.json(|b| async move { b.edit_caches(edit).await }).await
}

/// Drops what is cached, of all volumes or one. What is not in the store yet is never touched.
#[utoipa::path(post, path = "/v1/caches/drop", tag = "shared", request_body = inline(Option<DropCaches>),
    responses((status = 200, body = Caches), Errors))]
async fn drop_caches(State(api): State<Api>, Perhaps(which): Perhaps<DropCaches>) -> Outcome<Json<Caches>> {
    api.json(|b| async move { b.drop_caches(which).await }).await
}

/// Holds the uploads of all volumes.
#[utoipa::path(post, path = "/v1/pause", tag = "shared", request_body = inline(Option<Nothing>),
    responses((status = 200, body = Paused), Errors))]
async fn pause(State(api): State<Api>, _: Perhaps<Nothing>) -> Outcome<Json<Paused>> {
    api.json(|b| async move { b.pause().await.map(|()| Paused { paused: true }) }).await
}

/// Lets them go on.
#[utoipa::path(post, path = "/v1/resume", tag = "shared", request_body = inline(Option<Nothing>),
    responses((status = 200, body = Paused), Errors))]
async fn resume(State(api): State<Api>, _: Perhaps<Nothing>) -> Outcome<Json<Paused>> {
    api.json(|b| async move { b.resume().await.map(|()| Paused { paused: false }) }).await
}

/// Changes limits of transfer.
#[utoipa::path(patch, path = "/v1/limits", tag = "shared", request_body = EditLimits,
    responses((status = 200, body = Limits), Errors))]
async fn edit_limits(State(api): State<Api>, Given(edit): Given<EditLimits>) -> Outcome<Json<Limits>> {
    api.json(|b| async move { b.edit_limits(edit).await }).await
}
