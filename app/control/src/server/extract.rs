//! Reads the parts of a request into types, and says in the common way what is wrong with them.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Api;
use crate::types::problem::{ErrorBody, Kind, Problem};

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        (status, Json(ErrorBody { error: self })).into_response()
    }
}

/// The parameters in the path.
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, api).await;
        match read {
            Ok(Path(value)) => Ok(Self(value)),
            Err(e) => Err(Problem::invalid("the path", e.body_text())),
        }
    }
}

/// The parameters behind the `?`.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, api).await;
        match read {
            Ok(Query(value)) => Ok(Self(value)),
            Err(e) => Err(Problem::invalid("the query", e.body_text())),
        }
    }
}

/// A JSON body that must be there.
pub(crate) struct Given<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Api> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (head, bytes) = read(request, api).await?;
        decode(&head, &bytes).map(Self)
    }
}

/// A JSON body that may be left out, or null.
pub(crate) struct Perhaps<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Api> for Perhaps<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (head, bytes) = read(request, api).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        decode(&head, &bytes).map(|body: Option<T>| Self(body.unwrap_or_default()))
    }
}

pub(crate) fn too_large(bytes_max: usize) -> Problem {
    let why = format!("it is longer than {bytes_max} bytes");
    Problem::new(Kind::TooLarge, "read", "the request's body", why, "send less")
}

async fn read(request: Request, api: &Api) -> Result<(HeaderMap, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, api.bounds.body_bytes).collect();
    let read = timeout(api.bounds.body_time, body).await.map_err(|_| {
        Problem::new(Kind::Timeout, "read", "the request's body", "it did not arrive in time", "send it faster")
    })?;
    match read {
        Ok(body) => Ok((parts.headers, body.to_bytes())),
        Err(e) if e.is::<LengthLimitError>() => Err(too_large(api.bounds.body_bytes)),
        Err(e) => Err(Problem::invalid("the request's body", e.to_string())),
    }
}

fn decode<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        let to_do = "send JSON with the header `Content-Type: application/json`";
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            "read",
            "the request's body",
            "it is not said to be JSON",
            to_do,
        ));
    }
    // Structures could be read from arrays as well; an interface has one form.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid("the request's body", "it is an array, not an object"));
    }
    serde_json::from_slice(bytes).map_err(|e| Problem::invalid("the request's body", e.to_string()))
}
