//! Credentials by name. Secrets only come in.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Api;
use super::super::extract::{Given, InPath};
use super::Errors;
use crate::backend::Outcome;
use crate::types::credential::{CredentialInfo, StoreCredentials, TestCredentials};
use crate::types::names::Name;
use crate::types::problem::Problem;
use crate::types::volume::ConnectionReport;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, set, delete)).routes(routes!(test))
}

/// All credentials that are known by name.
#[utoipa::path(get, path = "/v1/credentials", tag = "credentials", operation_id = "list_credentials",
    responses((status = 200, body = Vec<CredentialInfo>), Errors))]
async fn list(State(api): State<Api>) -> Outcome<Json<Vec<CredentialInfo>>> {
    api.json(|b| async move { b.credentials().await }).await
}

/// Where credentials lie and since when; never the secret.
#[utoipa::path(get, path = "/v1/credentials/{name}", tag = "credentials", operation_id = "show_credentials",
    params(("name" = Name, Path)), responses((status = 200, body = CredentialInfo), Errors))]
async fn show(State(api): State<Api>, InPath(name): InPath<Name>) -> Outcome<Json<CredentialInfo>> {
    api.json(|b| async move { b.credential(name).await }).await
}

/// Sets credentials, also over old ones.
#[utoipa::path(put, path = "/v1/credentials/{name}", tag = "credentials", operation_id = "set_credentials",
    params(("name" = Name, Path)), request_body = StoreCredentials,
    responses((status = 200, body = CredentialInfo), Errors))]
async fn set(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    Given(credential): Given<StoreCredentials>,
) -> Outcome<Json<CredentialInfo>> {
    credential.check().map_err(|why| Problem::invalid("the request's body", why))?;
    api.json(|b| async move { b.set_credential(name, credential).await }).await
}

/// Deletes credentials.
#[utoipa::path(delete, path = "/v1/credentials/{name}", tag = "credentials", operation_id = "delete_credentials",
    params(("name" = Name, Path)), responses((status = 204, description = "Deleted."), Errors))]
async fn delete(State(api): State<Api>, InPath(name): InPath<Name>) -> Outcome<StatusCode> {
    api.run(|b| async move { b.delete_credential(name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries credentials on a store. A store that refuses is an answer with status 200.
#[utoipa::path(post, path = "/v1/credentials/{name}/test", tag = "credentials", operation_id = "test_credentials",
    params(("name" = Name, Path)), request_body = TestCredentials,
    responses((status = 200, body = ConnectionReport), Errors))]
async fn test(
    State(api): State<Api>,
    InPath(name): InPath<Name>,
    Given(test): Given<TestCredentials>,
) -> Outcome<Json<ConnectionReport>> {
    api.json(|b| async move { b.test_credential(name, test).await }).await
}
