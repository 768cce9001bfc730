//! The guards that need no more than a request's head: origin, token, announced length. Also what every answer's head says.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, HeaderValue, ORIGIN, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use super::Access;
use super::extract::too_large;
use crate::types::problem::{Kind, Problem};

/// Refuses whoever may not ask, before anything else of the request is looked at.
pub(crate) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let mut response = match admit(&access, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn admit(access: &Access, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get_all(ORIGIN).iter().any(|origin| !access.origins.iter().any(|own| origin == own.as_str())) {
        let to_do = "use the program, or allow the page's origin in the configuration";
        return Err(Problem::new(Kind::Forbidden, "answer", "a web page", "its origin is not allowed", to_do));
    }
    if let Some(token) = &access.token {
        let given = bearer(headers).unwrap_or_default();
        if !token.matches(given) {
            let to_do = "send the header `Authorization: Bearer TOKEN` with the token of the daemon";
            return Err(Problem::new(
                Kind::Unauthorized,
                "answer",
                "the request",
                "its token is missing or wrong",
                to_do,
            ));
        }
    }
    match headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok()) {
        Some(length) if length > access.bounds.body_bytes as u64 => Err(too_large(access.bounds.body_bytes)),
        _ => Ok(()),
    }
}

/// The token of the one `Authorization` header; two are none.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (one, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = one.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}
