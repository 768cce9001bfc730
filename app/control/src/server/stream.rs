//! Answers that go on: progress lines of one piece of work, and server-sent events.
//!
//! Work that reports progress answers `application/x-ndjson` to whoever accepts that: [`Line::Progress`] any number of times, then
//! one [`Line::Done`] or [`Line::Failed`], with status 200 in either case. To all others it answers once, with the status of the
//! outcome. The work goes on to its end even if nobody waits for it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Api;
use crate::backend::{Control, Outcome, Progress};
use crate::ring::{Follower, Next};
use crate::types::problem::{Kind, Problem};

/// Content type of progress lines.
pub(crate) const LINES: &str = "application/x-ndjson";
/// Content type of server-sent events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// One line of an answer with progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    /// It goes on; a sentence for people.
    Progress(String),
    /// Done; the result.
    Done(Value),
    /// It failed.
    Failed(Problem),
}

impl Api {
    /// Runs a call to its end, as a task of its own.
    pub(crate) async fn run<T, F>(&self, call: impl FnOnce(Arc<dyn Control>) -> F) -> Outcome<T>
    where
        T: Send + 'static,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        ended(tokio::spawn(call(Arc::clone(&self.backend))).await)
    }

    /// As [`Api::run`], with the answer as JSON.
    pub(crate) async fn json<T, F>(&self, call: impl FnOnce(Arc<dyn Control>) -> F) -> Outcome<Json<T>>
    where
        T: Send + 'static,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        self.run(call).await.map(Json)
    }

    /// Runs work with progress, and answers in the way that the caller accepts.
    pub(crate) async fn work<T, F>(
        &self,
        headers: &HeaderMap,
        call: impl FnOnce(Arc<dyn Control>, Progress) -> F,
    ) -> Response
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        if !accepts_lines(headers) {
            return self.json(|backend| call(backend, Progress::default())).await.into_response();
        }
        let (progress, lines) = Progress::channel();
        let work = tokio::spawn(call(Arc::clone(&self.backend), progress));
        let body = stream::unfold(Working { lines, work: Some(work), outcome: None }, |mut working| async move {
            let line = working.next().await?;
            Some((Ok::<_, Infallible>(encoded(&line)), working))
        });
        ([(CONTENT_TYPE, HeaderValue::from_static(LINES))], Body::from_stream(body)).into_response()
    }

    /// Follows a ring; `shown` gives an event's name and data, or nothing for one that is not wanted.
    ///
    /// # Errors
    /// `TooMany` when the bound is reached.
    pub(crate) fn follow<T: Clone + Send + 'static>(
        &self,
        follower: Follower<T>,
        shown: impl Fn(Next<T>) -> Option<Sent> + Send + Sync + 'static,
    ) -> Outcome<Response> {
        let Ok(permit) = Arc::clone(&self.subscribers).try_acquire_owned() else {
            let why = format!("{} others follow already", self.bounds.subscribers);
            return Err(Problem::new(Kind::TooMany, "follow", "events", why, "end another follower, then try again"));
        };
        let following = Following { follower, shown, _permit: permit, heartbeat: self.bounds.heartbeat, begun: false };
        let body = stream::unfold(following, |mut following| async move {
            let bytes = following.next().await;
            Some((Ok::<_, Infallible>(bytes), following))
        });
        Ok(([(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM))], Body::from_stream(body)).into_response())
    }
}

/// One event as it is sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) data: String,
}

fn accepts_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(LINES)))
}

/// The outcome of a task; one that panicked is a defect and failed.
fn ended<T>(task: Result<Outcome<T>, JoinError>) -> Outcome<T> {
    task.unwrap_or_else(|e| {
        tracing::error!("a control request failed: {e}");
        let to_do = "this is a defect of proxyfs: report it with the log";
        Err(Problem::new(Kind::Failed, "finish", "the request", "the work stopped unexpectedly", to_do))
    })
}

struct Working<T> {
    lines: mpsc::Receiver<String>,
    work: Option<JoinHandle<Outcome<T>>>,
    outcome: Option<Outcome<T>>,
}

impl<T: Serialize> Working<T> {
    async fn next(&mut self) -> Option<Line> {
        if let Some(work) = self.work.as_mut() {
            tokio::select! {
                biased;
                Some(line) = self.lines.recv() => return Some(Line::Progress(line)),
                outcome = work => self.outcome = Some(ended(outcome)),
            }
            self.work = None;
        }
        // The work may have ended with lines unsent; they still come before the result.
        if let Ok(line) = self.lines.try_recv() {
            return Some(Line::Progress(line));
        }
        let encoded = self.outcome.take()?.map(serde_json::to_value);
        Some(match encoded {
            Ok(Ok(value)) => Line::Done(value),
            Ok(Err(e)) => Line::Failed(Problem::new(Kind::Failed, "encode", "the answer", e.to_string(), "report it")),
            Err(problem) => Line::Failed(problem),
        })
    }
}

fn encoded(line: &Line) -> Bytes {
    // Text, values and strings always encode.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

struct Following<T, S> {
    follower: Follower<T>,
    shown: S,
    _permit: OwnedSemaphorePermit,
    heartbeat: std::time::Duration,
    begun: bool,
}

impl<T: Clone, S: Fn(Next<T>) -> Option<Sent>> Following<T, S> {
    async fn next(&mut self) -> Bytes {
        // A comment at once, so that the follower knows that it follows.
        if !self.begun {
            self.begun = true;
            return Bytes::from_static(b": following\n\n");
        }
        loop {
            let Ok(next) = timeout(self.heartbeat, self.follower.next()).await else {
                return Bytes::from_static(b": alive\n\n");
            };
            if let Some(Sent { id, name, data }) = (self.shown)(next) {
                return format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into();
            }
        }
    }
}
