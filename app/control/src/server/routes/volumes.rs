//! Volumes: list, create, edit, delete, mount, unmount, and the work on one.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Api;
use super::super::extract::{Given, InPath, InQuery, Perhaps};
use super::super::stream::Line;
use super::Errors;
use super::queue::Nothing;
use crate::backend::Outcome;
use crate::types::names::Name;
use crate::types::problem::{Kind, Problem};
use crate::types::volume::{
    Applied, Checkpointed, ConnectionReport, CreateVolume, DeleteVolume, DeleteVolumeQuery, Deleted, EditVolume, Mount,
    Mounted, Recent, TakeOver, TestConnection, Unmount, Unmounted, VolumeDetail, Volumes,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(test_connection))
        .routes(routes!(show, edit, delete))
        .routes(routes!(mount))
        .routes(routes!(unmount))
        .routes(routes!(flush))
        .routes(routes!(checkpoint))
        .routes(routes!(release))
        .routes(routes!(take_over))
        .routes(routes!(recent))
}

/// All volumes.
#[utoipa::path(get, path = "/v1/volumes", tag = "volumes", responses((status = 200, body = Volumes), Errors))]
async fn list(State(api): State<Api>) -> Outcome<Json<Volumes>> {
    api.json(|b| async move { b.volumes().await.map(|volumes| Volumes { volumes }) }).await
}

/// Creates a volume in its store and registers it.
#[utoipa::path(post, path = "/v1/volumes", tag = "volumes", request_body = CreateVolume, responses(
    (status = 200, content((VolumeDetail = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn create(State(api): State<Api>, headers: HeaderMap, Given(volume): Given<CreateVolume>) -> Response {
    api.work(&headers, |b, progress| async move { b.create(volume, progress).await }).await
}

/// Tries a store without leaving anything there. A store that refuses is an answer with status 200.
#[utoipa::path(post, path = "/v1/volumes/test-connection", tag = "volumes", request_body = TestConnection,
    responses((status = 200, body = ConnectionReport), Errors))]
async fn test_connection(
    State(api): State<Api>,
    Given(test): Given<TestConnection>,
) -> Outcome<Json<ConnectionReport>> {
    if let Some(credentials) = &test.with {
        credentials.check().map_err(|why| Problem::invalid("the request's body", why))?;
    }
    api.json(|b| async move { b.test_connection(test).await }).await
}

/// Everything about one volume.
#[utoipa::path(get, path = "/v1/volumes/{name}", tag = "volumes", params(("name" = Name, Path)),
    responses((status = 200, body = VolumeDetail), Errors))]
async fn show(State(api): State<Api>, InPath(name): InPath<Name>) -> Outcome<Json<VolumeDetail>> {
    api.json(|b| async move { b.volume(name).await }).await
}

/// Changes settings, and says which of them need a new mount.
#[utoipa::path(patch, path = "/v1/volumes/{name}", tag = "volumes", params(("name" = Name, Path)),
    request_body = EditVolume, responses((status = 200, body = Applied), Errors))]
async fn edit(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    Given(edit): Given<EditVolume>,
) -> Outcome<Json<Applied>> {
    if edit.label.as_ref().is_some_and(|label| label.chars().count() > 255) {
        return Err(Problem::invalid("the request's body", "label has more than 255 characters"));
    }
    api.json(|b| async move { b.edit(name, edit).await }).await
}

/// Forgets a volume; with `data=true` and its name as `confirm` deletes its objects first.
#[utoipa::path(delete, path = "/v1/volumes/{name}", tag = "volumes",
    params(("name" = Name, Path), ("data" = Option<bool>, Query, description = "Delete the data as well.")),
    request_body = inline(Option<DeleteVolume>), responses(
    (status = 200, content((Deleted = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn delete(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    InQuery(query): InQuery<DeleteVolumeQuery>,
    headers: HeaderMap,
    Perhaps(body): Perhaps<DeleteVolume>,
) -> Response {
    if !query.data {
        return api.json(|b| async move { b.forget(name).await }).await.into_response();
    }
    if let Err(problem) = confirmed("delete", &name, body.confirm.as_deref()) {
        return problem.into_response();
    }
    api.work(&headers, |b, progress| async move { b.delete_data(name, progress).await }).await
}

/// Mounts; answers once the mount does.
#[utoipa::path(post, path = "/v1/volumes/{name}/mount", tag = "volumes", params(("name" = Name, Path)),
    request_body = inline(Option<Mount>), responses(
    (status = 200, content((Mounted = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn mount(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    headers: HeaderMap,
    Perhaps(mount): Perhaps<Mount>,
) -> Response {
    if let Err(why) = mount.check() {
        return Problem::invalid("the request's body", why).into_response();
    }
    api.work(&headers, |b, progress| async move { b.mount(name, mount, progress).await }).await
}

/// Unmounts and brings everything into the store, or says what stays staged on this computer.
#[utoipa::path(post, path = "/v1/volumes/{name}/unmount", tag = "volumes", params(("name" = Name, Path)),
    request_body = inline(Option<Unmount>), responses(
    (status = 200, content((Unmounted = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn unmount(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    headers: HeaderMap,
    Perhaps(unmount): Perhaps<Unmount>,
) -> Response {
    api.work(&headers, |b, progress| async move { b.unmount(name, unmount, progress).await }).await
}

/// Brings everything into the store.
#[utoipa::path(post, path = "/v1/volumes/{name}/flush", tag = "volumes", params(("name" = Name, Path)),
    request_body = inline(Option<Nothing>), responses(
    (status = 200, content((VolumeDetail = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn flush(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    headers: HeaderMap,
    _: Perhaps<Nothing>,
) -> Response {
    api.work(&headers, |b, progress| async move { b.flush(name, progress).await }).await
}

/// Writes a checkpoint.
#[utoipa::path(post, path = "/v1/volumes/{name}/checkpoint", tag = "volumes", params(("name" = Name, Path)),
    request_body = inline(Option<Nothing>), responses(
    (status = 200, content((Checkpointed = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn checkpoint(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    headers: HeaderMap,
    _: Perhaps<Nothing>,
) -> Response {
    api.work(&headers, |b, progress| async move { b.checkpoint(name, progress).await }).await
}

/// Gives a volume up, so that another machine may mount it.
#[utoipa::path(post, path = "/v1/volumes/{name}/release", tag = "volumes", params(("name" = Name, Path)),
    request_body = inline(Option<Nothing>), responses(
    (status = 200, content((VolumeDetail = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn release(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    headers: HeaderMap,
    _: Perhaps<Nothing>,
) -> Response {
    api.work(&headers, |b, progress| async move { b.release(name, progress).await }).await
}

/// Takes a volume from its owner, whose unpublished changes are then lost; its name confirms.
#[utoipa::path(post, path = "/v1/volumes/{name}/take-over", tag = "volumes", params(("name" = Name, Path)),
    request_body = TakeOver, responses(
    (status = 200, content((VolumeDetail = "application/json"), (Line = "application/x-ndjson"))), Errors))]
async fn take_over(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    headers: HeaderMap,
    Given(body): Given<TakeOver>,
) -> Response {
    if let Err(problem) = confirmed("take over", &name, Some(&body.confirm)) {
        return problem.into_response();
    }
    api.work(&headers, |b, progress| async move { b.take_over(name, progress).await }).await
}

/// Files of late.
#[utoipa::path(get, path = "/v1/volumes/{name}/recent", tag = "volumes", params(("name" = Name, Path)),
    responses((status = 200, body = Recent), Errors))]
async fn recent(State(api): State<Api>, InPath(name): InPath<Name>) -> Outcome<Json<Recent>> {
    api.json(|b| async move { b.recent(name).await.map(|files| Recent { files }) }).await
}

fn confirmed(what: &str, name: &Name, confirm: Option<&str>) -> Outcome {
    if confirm == Some(name.as_str()) {
        return Ok(());
    }
    let to_do = format!("send {{\"confirm\": \"{name}\"}} if that is what you want");
    Err(Problem::new(Kind::Conflict, what, format!("volume {name}"), "it is not confirmed by the volume's name", to_do))
}
