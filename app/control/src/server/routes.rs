//! The routes: each handler carries its own description, from which the OpenAPI document is made.
//!
//! A handler reads a request's parts, hands them to the backend, and wraps the answer. It decides nothing else.

mod credentials;
mod daemon;
mod queue;
mod shared;
mod volumes;

use http::{Method, Uri};
use utoipa::IntoResponses;
use utoipa_axum::router::OpenApiRouter;

use super::Api;
use crate::types::problem::{ErrorBody, Kind, Problem};

/// What every route may answer besides its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers; never made")]
pub(crate) enum Errors {
    /// The request cannot be answered as it is; `error` says why and what to do.
    #[response(status = "4XX")]
    Client(ErrorBody),
    /// The work failed; `error` says why and what to do.
    #[response(status = "5XX")]
    Server(ErrorBody),
}

/// All of them.
pub(crate) fn all() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(daemon::routes())
        .merge(volumes::routes())
        .merge(queue::routes())
        .merge(shared::routes())
        .merge(credentials::routes())
}

pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, "find", uri.path(), "there is no such path", "GET /v1/openapi.json describes all")
}

pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let why = format!("it does not know {method}");
    Problem::new(Kind::MethodNotAllowed, "use", uri.path(), why, "GET /v1/openapi.json describes all")
}
