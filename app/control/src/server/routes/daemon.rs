//! The process: health, readiness, version, problems, events, logs, metrics, reload.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Api;
use super::super::extract::{InQuery, Perhaps};
use super::super::stream::Sent;
use super::Errors;
use super::queue::Nothing;
use crate::backend::Outcome;
use crate::ring::{KEPT, Next};
use crate::types::daemon::{Alive, Readiness, Version};
use crate::types::event::{Event, EventKind, News};
use crate::types::logs::{Level, LogLine, Logs, LogsQuery};
use crate::types::problem::{Problem, Problems};
use crate::types::stats::Stats;
use crate::types::store_requests::StoreRequests;
use crate::types::volume::Applied;

/// Lines of the log that are given when no number is asked for.
const LOG_LINES: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(version))
        .routes(routes!(document))
        .routes(routes!(problems))
        .routes(routes!(events))
        .routes(routes!(logs))
        .routes(routes!(requests))
        .routes(routes!(stats))
        .routes(routes!(metrics))
        .routes(routes!(reload))
}

/// Whether the process can do its work: 200 if so, 503 with the same body if something is stuck and only a new start will help.
#[utoipa::path(get, path = "/v1/health", tag = "daemon", responses(
    (status = 200, description = "Nothing is stuck.", body = Alive),
    (status = 503, description = "Something is stuck.", body = Alive), Errors))]
async fn health(State(api): State<Api>) -> Outcome<Response> {
    let health = api.run(|b| async move { b.health().await }).await?;
    let status = if health.alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(health)).into_response())
}

/// Whether every configured mount answers: 200 if so, 503 if not, with the same body.
#[utoipa::path(get, path = "/v1/ready", tag = "daemon", responses(
    (status = 200, description = "All answer.", body = Readiness),
    (status = 503, description = "Some do not.", body = Readiness), Errors))]
async fn ready(State(api): State<Api>) -> Outcome<Response> {
    let readiness = api.run(|b| async move { b.ready().await }).await?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}

/// Who answers.
#[utoipa::path(get, path = "/v1/version", tag = "daemon", responses((status = 200, body = Version), Errors))]
async fn version(State(api): State<Api>) -> Outcome<Json<Version>> {
    api.json(|b| async move { b.version().await }).await
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "daemon", responses((status = 200, body = Value), Errors))]
async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::openapi::openapi())
}

/// What is wrong and lasts.
#[utoipa::path(get, path = "/v1/problems", tag = "daemon", responses((status = 200, body = Problems), Errors))]
async fn problems(State(api): State<Api>) -> Outcome<Json<Problems>> {
    api.json(|b| async move { b.problems().await.map(|problems| Problems { problems }) }).await
}

/// What happens, as server-sent events whose data is an `Event`. `Last-Event-ID` resumes; a `lost` event says that some are gone.
#[utoipa::path(get, path = "/v1/events", tag = "daemon",
    params(("Last-Event-ID" = Option<u64>, Header, description = "The last event seen.")),
    responses((status = 200, content_type = "text/event-stream", body = Event), Errors))]
async fn events(State(api): State<Api>, headers: HeaderMap) -> Outcome<Response> {
    let seen = last_event_id(&headers)?;
    api.follow(api.backend.events().follow(seen), |next| sent(&event(next)))
}

/// The newest lines of the log; with `follow=true` as server-sent events, going on with new ones.
#[utoipa::path(get, path = "/v1/logs", tag = "daemon",
    params(
        ("lines" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The newest so many; by default 100."),
        ("level" = Option<Level>, Query, description = "Nothing that matters less; by default everything."),
        ("follow" = Option<bool>, Query, description = "Go on with new lines, as server-sent events."),
        ("Last-Event-ID" = Option<u64>, Header, description = "With `follow`: the last line seen.")),
    responses((status = 200, content((Logs = "application/json"), (LogLine = "text/event-stream"))), Errors))]
async fn logs(State(api): State<Api>, InQuery(query): InQuery<LogsQuery>, headers: HeaderMap) -> Outcome<Response> {
    let lines = query.lines.unwrap_or(LOG_LINES) as usize;
    if !(1..=KEPT).contains(&lines) {
        return Err(Problem::invalid("the query", format!("lines is not from 1 to {KEPT}")));
    }
    let seen = last_event_id(&headers)?;
    let level = query.level.unwrap_or(Level::Trace);
    let ring = api.backend.logs();
    if query.follow {
        return api.follow(ring.follow(seen), move |next| log_sent(next, level));
    }
    Ok(Json(Logs { lines: ring.newest(lines, |line| line.level <= level) }).into_response())
}

/// Requests to stores since the start, and about what they cost.
#[utoipa::path(get, path = "/v1/requests", tag = "daemon", responses((status = 200, body = StoreRequests), Errors))]
async fn requests(State(api): State<Api>) -> Outcome<Json<StoreRequests>> {
    api.json(|b| async move { b.store_requests().await }).await
}

/// Numbers of all volumes since each was opened: operations, caches, queue, checkpoints, requests.
#[utoipa::path(get, path = "/v1/stats", tag = "daemon", responses((status = 200, body = Stats), Errors))]
async fn stats(State(api): State<Api>) -> Outcome<Json<Stats>> {
    api.json(|b| async move { b.stats().await }).await
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/v1/metrics", tag = "daemon",
    responses((status = 200, content_type = "text/plain", body = String), Errors))]
async fn metrics(State(api): State<Api>) -> Outcome<Response> {
    let text = api.run(|b| async move { b.metrics().await }).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Reads the configuration anew.
#[utoipa::path(post, path = "/v1/reload", tag = "daemon",
    request_body = inline(Option<Nothing>), responses((status = 200, body = Applied), Errors))]
async fn reload(State(api): State<Api>, _: Perhaps<Nothing>) -> Outcome<Json<Applied>> {
    api.json(|b| async move { b.reload().await }).await
}

fn last_event_id(headers: &HeaderMap) -> Outcome<Option<u64>> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| Problem::invalid("Last-Event-ID", "it is not the id of an event"))
}

fn event(next: Next<News>) -> Event {
    match next {
        Next::Entry(id, news) => {
            Event { id, time: Some(news.time), volume: news.volume, kind: news.kind, data: news.data }
        }
        Next::Lost { last, missed } => Event {
            id: last,
            time: None,
            volume: None,
            kind: EventKind::Lost,
            data: Map::from_iter([("missed".to_owned(), missed.map_or(Value::Null, Value::from))]),
        },
    }
}

fn sent(event: &Event) -> Option<Sent> {
    // Numbers, texts and JSON values always encode.
    let data = serde_json::to_string(event).ok()?;
    Some(Sent { id: event.id, name: event.kind.name(), data })
}

fn log_sent(next: Next<LogLine>, level: Level) -> Option<Sent> {
    match next {
        Next::Entry(id, line) if line.level <= level => {
            serde_json::to_string(&line).ok().map(|data| Sent { id, name: EventKind::Log.name(), data })
        }
        Next::Entry(..) => None,
        Next::Lost { last, missed } => sent(&event(Next::Lost { last, missed })),
    }
}
