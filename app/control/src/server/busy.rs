//! Counts the requests under way, so that a server can end when all have their answers.
//!
//! A request is under way until its answer's body has been sent or dropped. Streams of events never end and do not count.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::stream::EVENT_STREAM;

/// Held shared by each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<RwLock<()>>);

impl Busy {
    /// Waits until no request is under way.
    pub(crate) async fn idle(&self) {
        drop(self.0.write().await);
    }
}

/// Counts a request.
pub(crate) async fn count(State(busy): State<Busy>, request: Request, next: Next) -> Response {
    let guard = busy.0.read_owned().await;
    let response = next.run(request).await;
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == EVENT_STREAM) {
        return response;
    }
    response.map(|body| Body::new(Held { body, _guard: guard }))
}

/// A body that counts until it is gone.
struct Held {
    body: Body,
    _guard: OwnedRwLockReadGuard<()>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
