//! OpenStack Swift through its own API: a thin client over HTTP/1.1.
//!
//! Each call is one request, plus a login when there is no token or the store no longer takes it. Objects whose newest state
//! matters (`head/`, `log/`) are read with `X-Newest`, which asks all replicas. `If-None-Match: *` is sent for creates, but
//! Swift checks it without a lock: of several racers more than one may win, so creation is not atomic here.
//!
//! Credentials come from the caller or the environment: `ST_USER` and `ST_KEY` for v1; `OS_USERNAME`, `OS_PASSWORD`,
//! `OS_PROJECT_NAME`, `OS_USER_DOMAIN_NAME` and `OS_PROJECT_DOMAIN_NAME` (both `Default` if unset) for Keystone v3.

mod auth;
mod http_client;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectInfo, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind,
    StoreResult,
};
use serde::Deserialize;

use self::auth::{Session, Sessions};
use self::http_client::{Answer, HttpClient};
use crate::body::ChunkBody;
use crate::containers::{ContainerOptions, Containers};
use crate::credentials::Credentials;
use crate::key;
use crate::network::Network;
use crate::url::{StoreUrl, SwiftUrl};

/// Objects of one listing page; Swift's default limit is 10,000.
const PAGE_OBJECTS: usize = 1000;

/// Deletes under way at once.
const DELETES_IN_FLIGHT: usize = 16;

/// Paths whose reads must see the newest replica.
const NEWEST_PREFIXES: &[&str] = &["head/", "log/"];

/// What may stand unescaped in an object's URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const X_NEWEST: HeaderName = HeaderName::from_static("x-newest");
const X_STORAGE_POLICY: HeaderName = HeaderName::from_static("x-storage-policy");

/// A store behind the Swift API.
#[derive(Clone, Debug)]
pub struct SwiftStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: HttpClient,
    sessions: Sessions,
    url: SwiftUrl,
    containers: Containers,
}

/// One object of a JSON listing.
#[derive(Deserialize)]
struct Listed {
    name: Option<String>,
    #[serde(default)]
    bytes: u64,
}

impl SwiftStore {
    /// Loads credentials (unless given) and prepares the client. Sends no request.
    ///
    /// # Errors
    /// [`StoreErrorKind::Denied`] without credentials, [`StoreErrorKind::Invalid`] when the containers contradict the URL.
    pub fn connect(url: &SwiftUrl, options: ContainerOptions, credentials: Option<Credentials>) -> StoreResult<Self> {
        Self::connect_on(url, options, credentials, &Network::default())
    }

    /// The same over a network that somebody watches.
    ///
    /// # Errors
    /// As [`SwiftStore::connect`].
    pub fn connect_on(
        url: &SwiftUrl,
        options: ContainerOptions,
        credentials: Option<Credentials>,
        network: &Network,
    ) -> StoreResult<Self> {
        let containers = Containers::new(&url.container, options)?;
        let inner = Inner {
            http: HttpClient::new(network)?,
            sessions: Sessions::new(url, credentials)?,
            url: url.clone(),
            containers,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Logs in and checks that the home container exists; makes it if allowed.
    ///
    /// # Errors
    /// [`StoreErrorKind::NoContainer`], [`StoreErrorKind::Denied`] or the general kinds, with what to do.
    pub async fn check(&self) -> StoreResult<()> {
        match self.inner.send(&Call::new("check", Method::HEAD, 0, "")).await {
            Err(e) if matches!(e.kind, StoreErrorKind::NotFound | StoreErrorKind::NoContainer) => {
                if self.inner.containers.may_create() {
                    self.inner.create_container(0).await
                } else {
                    Err(self.inner.no_container(0))
                }
            }
            other => other.map(|_| ()),
        }
    }
}

/// A request to be made, possibly twice (after a new login).
struct Call<'a> {
    verb: &'static str,
    method: Method,
    container: u32,
    /// Path below the prefix; empty means the container itself.
    path: &'a str,
    query: String,
    headers: HeaderMap,
    body: &'a [Bytes],
}

impl<'a> Call<'a> {
    fn new(verb: &'static str, method: Method, container: u32, path: &'a str) -> Self {
        Self { verb, method, container, path, query: String::new(), headers: HeaderMap::new(), body: &[] }
    }

    fn on(verb: &'static str, method: Method, key: &'a ObjectKey) -> Self {
        Self::new(verb, method, key.container, &key.path)
    }

    fn with_header(mut self, name: &HeaderName, value: &str) -> StoreResult<Self> {
        let invalid =
            |_| StoreError::new(StoreErrorKind::Invalid, format!("{}: `{value}` cannot be sent as {name}", self.verb));
        self.headers.insert(name.clone(), HeaderValue::from_str(value).map_err(invalid)?);
        Ok(self)
    }
}

#[async_trait]
impl ObjectStore for SwiftStore {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        key::check_path(&key.path)?;
        let mut call = Call { body: &body, ..Call::on("put", Method::PUT, key) };
        if mode == PutMode::CreateNew {
            call = call.with_header(&header::IF_NONE_MATCH, "*")?;
        }
        match self.inner.send(&call).await {
            Err(e) if e.kind == StoreErrorKind::AlreadyExists => key::settle_conflict(self, key, &body).await,
            // No object is looked up by a put: what was not found is the container.
            Err(e) if e.kind == StoreErrorKind::NotFound => {
                if !self.inner.containers.may_create() {
                    return Err(self.inner.no_container(key.container));
                }
                self.inner.create_container(key.container).await?;
                self.inner.send(&call).await.map(|_| ())
            }
            other => other.map(|_| ()),
        }
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        key::check_path(&key.path)?;
        key::check_range(key, range)?;
        let mut call = Call::on("get", Method::GET, key);
        if NEWEST_PREFIXES.iter().any(|p| key.path.starts_with(p)) {
            call = call.with_header(&X_NEWEST, "true")?;
        }
        call = match range {
            GetRange::Full => call,
            GetRange::Bounded { offset, len } => {
                call.with_header(&header::RANGE, &format!("bytes={offset}-{}", offset + len - 1))?
            }
            GetRange::Suffix { len } => call.with_header(&header::RANGE, &format!("bytes=-{len}"))?,
        };
        match (self.inner.send(&call).await, range) {
            (Ok(answer), _) => fitting(key, range, answer),
            // No suffix of an empty object can be satisfied.
            (Err(e), GetRange::Suffix { .. }) if e.kind == StoreErrorKind::Truncated && self.len(key).await? == 0 => {
                Ok(Bytes::new())
            }
            (Err(e), _) => Err(e),
        }
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        key::check_path(&key.path)?;
        let answer = self.inner.send(&Call::on("head", Method::HEAD, key)).await?;
        let len = answer.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        len.ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, format!("head {key}: the store gave no length")))
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        let base = key::join(&self.inner.url.prefix, "");
        let mut query = format!("format=json&limit={PAGE_OBJECTS}&prefix={}", encode(&format!("{base}{prefix}")));
        if let Some(after) = start_after {
            query.push_str(&format!("&marker={}", encode(&format!("{base}{after}"))));
        }
        let call = Call { query, ..Call::new("list", Method::GET, container, "") };
        let answer = match self.inner.send(&call).await {
            Err(e) if e.kind == StoreErrorKind::NotFound => return Err(self.inner.no_container(container)),
            other => other?,
        };
        page(container, &base, &answer)
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        for key in keys {
            key::check_path(&key.path)?;
        }
        let delete = |key: ObjectKey| async move {
            let error = self.inner.send(&Call::on("delete", Method::DELETE, &key)).await.err()?;
            (error.kind != StoreErrorKind::NotFound).then_some((key, error))
        };
        let deletes = stream::iter(keys.to_vec()).map(delete).buffer_unordered(DELETES_IN_FLIGHT);
        let mut failed: Vec<_> = deletes.filter_map(std::future::ready).collect().await;
        match failed.pop() {
            // Nothing is known of any key: the call itself failed.
            Some((_, error)) if failed.len() + 1 == keys.len() => Err(error),
            last => Ok(failed.into_iter().chain(last).collect()),
        }
    }

    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::NotAtomic
    }

    fn describe(&self) -> String {
        StoreUrl::Swift(self.inner.url.clone()).to_string()
    }
}

impl Inner {
    /// Sends a call, logging in first or again where needed. Any status but 2xx is an error.
    async fn send(&self, call: &Call<'_>) -> StoreResult<Answer> {
        let session = self.sessions.current(&self.http).await?;
        let answer = self.send_as(call, &session).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return self.accept(call, answer);
        }
        let session = self.sessions.renew(&self.http, &session).await?;
        let answer = self.send_as(call, &session).await?;
        self.accept(call, answer)
    }

    async fn send_as(&self, call: &Call<'_>, session: &Session) -> StoreResult<Answer> {
        let what = self.what(call);
        let request = self.request(call, session)?;
        self.http.send(&what, request).await
    }

    fn request(&self, call: &Call<'_>, session: &Session) -> StoreResult<Request<ChunkBody>> {
        let container = self.containers.name(call.container)?;
        let mut uri = format!("{}/{}", session.storage_url, encode(&container).replace('/', "%2F"));
        if !call.path.is_empty() {
            uri.push('/');
            uri.push_str(&encode(&key::join(&self.url.prefix, call.path)));
        }
        if !call.query.is_empty() {
            uri.push('?');
            uri.push_str(&call.query);
        }
        let mut request =
            Request::builder().method(call.method.clone()).uri(uri).header("x-auth-token", &session.token);
        if call.method == Method::PUT {
            request = request.header(header::CONTENT_LENGTH, key::body_len(call.body));
        }
        let mut request = request.body(ChunkBody::new(call.body)).map_err(|e| {
            StoreError::new(StoreErrorKind::Invalid, format!("{}: the request cannot be made: {e}", self.what(call)))
        })?;
        request.headers_mut().extend(call.headers.clone());
        Ok(request)
    }

    fn what(&self, call: &Call<'_>) -> String {
        if call.path.is_empty() {
            return format!("{} container `{}`", call.verb, self.containers.name(call.container).unwrap_or_default());
        }
        format!("{} {}", call.verb, ObjectKey { container: call.container, path: call.path.to_owned() })
    }

    fn accept(&self, call: &Call<'_>, answer: Answer) -> StoreResult<Answer> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status.as_u16();
        let hint =
            if answer.status == StatusCode::FORBIDDEN { "; check that this user may use the container" } else { "" };
        Err(StoreError::new(kind_of(status), format!("{}: HTTP {status}{hint}", self.what(call))))
    }

    fn no_container(&self, ordinal: u32) -> StoreError {
        let name = self.containers.name(ordinal).unwrap_or_default();
        let todo = "create it, correct the URL, or allow `create_containers`";
        StoreError::new(StoreErrorKind::NoContainer, format!("container `{name}` does not exist; {todo}"))
    }

    async fn create_container(&self, ordinal: u32) -> StoreResult<()> {
        let mut call = Call::new("create", Method::PUT, ordinal, "");
        if let Some(policy) = self.containers.storage_policy() {
            call = call.with_header(&X_STORAGE_POLICY, policy)?;
        }
        self.send(&call).await.map(|_| ())
    }
}

/// What a status means.
fn kind_of(status: u16) -> StoreErrorKind {
    match status {
        404 => StoreErrorKind::NotFound,
        401 | 403 => StoreErrorKind::Denied,
        408 | 409 | 425 | 429 | 498 => StoreErrorKind::Unavailable,
        412 => StoreErrorKind::AlreadyExists,
        405 | 501 => StoreErrorKind::Unsupported,
        // Quotas answer 413, full devices 507.
        413 | 507 => StoreErrorKind::NoSpace,
        416 => StoreErrorKind::Truncated,
        300..=499 => StoreErrorKind::Invalid,
        _ => StoreErrorKind::Unavailable,
    }
}

/// Compares the length of a body with what was asked for.
fn fitting(key: &ObjectKey, range: GetRange, answer: Answer) -> StoreResult<Bytes> {
    let got = answer.body.len() as u64;
    let (kind, fits) = match range {
        GetRange::Full => (StoreErrorKind::Invalid, true),
        GetRange::Bounded { len, .. } if got < len => (StoreErrorKind::Truncated, false),
        GetRange::Bounded { offset, len } => {
            (StoreErrorKind::Invalid, got == len && (offset == 0 || answer.status == StatusCode::PARTIAL_CONTENT))
        }
        GetRange::Suffix { len } => (StoreErrorKind::Invalid, got <= len),
    };
    if fits {
        return Ok(answer.body);
    }
    Err(StoreError::new(kind, format!("get {key}: {range:?} wanted, {got} bytes came")))
}

/// A JSON listing as a page. A full page may be followed by another.
fn page(container: u32, base: &str, answer: &Answer) -> StoreResult<ListPage> {
    let listed: Vec<Listed> = if answer.status == StatusCode::NO_CONTENT {
        Vec::new()
    } else {
        serde_json::from_slice(&answer.body)
            .map_err(|e| StoreError::new(StoreErrorKind::Invalid, format!("list: the answer makes no sense: {e}")))?
    };
    let more = listed.len() == PAGE_OBJECTS;
    let mut objects = Vec::with_capacity(listed.len());
    for entry in &listed {
        if let Some(path) = entry.name.as_deref().and_then(|n| n.strip_prefix(base)) {
            objects.push(ObjectInfo { key: ObjectKey { container, path: path.to_owned() }, len: entry.bytes });
        }
    }
    let next = objects.last().filter(|_| more).map(|o| o.key.path.clone());
    Ok(ListPage { objects, next })
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn statuses_map_to_kinds() {
        for (status, expected) in [
            (404, StoreErrorKind::NotFound),
            (403, StoreErrorKind::Denied),
            (412, StoreErrorKind::AlreadyExists),
            (416, StoreErrorKind::Truncated),
            (413, StoreErrorKind::NoSpace),
            (507, StoreErrorKind::NoSpace),
            (498, StoreErrorKind::Unavailable),
            (503, StoreErrorKind::Unavailable),
            (501, StoreErrorKind::Unsupported),
            (400, StoreErrorKind::Invalid),
        ] {
            assert_eq!(kind_of(status), expected, "{status}");
        }
    }

    #[test]
    fn a_store_that_ignores_ranges_is_noticed() {
        let key = ObjectKey::home("k");
        let answer = |status, text: &'static str| Answer {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from_static(text.as_bytes()),
        };
        let range = GetRange::Bounded { offset: 2, len: 3 };
        assert_eq!(fitting(&key, range, answer(StatusCode::PARTIAL_CONTENT, "cde")).unwrap(), "cde");
        assert_eq!(fitting(&key, range, answer(StatusCode::OK, "abc")).unwrap_err().kind, StoreErrorKind::Invalid);
        assert_eq!(
            fitting(&key, range, answer(StatusCode::PARTIAL_CONTENT, "cd")).unwrap_err().kind,
            StoreErrorKind::Truncated
        );
    }
    /// A server that answers each request, given by its head and body, with what `answer` returns.
    async fn scripted(answer: impl Fn(&str) -> String + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = vec![0; 1 << 16];
                let n = socket.read(&mut request).await.unwrap();
                let text = answer(std::str::from_utf8(&request[..n]).unwrap()).replace('\n', "\r\n");
                socket.write_all(text.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}")
    }

    fn store(auth: &str) -> SwiftStore {
        let StoreUrl::Swift(url) = format!("swift://c/p?auth={auth}").parse().unwrap() else { panic!("not swift") };
        let credentials = Credentials::new("me", "hunter2");
        SwiftStore::connect(&url, ContainerOptions::default(), Some(credentials)).unwrap()
    }

    #[tokio::test]
    async fn a_refused_token_is_renewed_once() {
        let logins = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&logins);
        let server = scripted(move |request| {
            if request.starts_with("GET /auth/v1.0") {
                assert!(request.contains("x-auth-user: me") && request.contains("x-auth-key: hunter2"));
                let n = counted.fetch_add(1, Ordering::Relaxed) + 1;
                let host = request.split("host: ").nth(1).unwrap().lines().next().unwrap();
                let place = format!("X-Storage-Url: http://{host}/v1/AUTH_me/");
                return format!(
                    "HTTP/1.1 200 OK\nX-Auth-Token: t{n}\n{place}\nContent-Length: 0\nConnection: close\n\n"
                );
            }
            assert!(request.starts_with("HEAD /v1/AUTH_me/c/p/head/1 "), "{request}");
            let status = if request.contains("x-auth-token: t1") { "401 Unauthorized" } else { "200 OK" };
            format!("HTTP/1.1 {status}\nContent-Length: 5\nConnection: close\n\n")
        });
        let store = store(&format!("{}/auth/v1.0", server.await));
        assert_eq!(store.len(&ObjectKey::home("head/1")).await.unwrap(), 5);
        assert_eq!(store.len(&ObjectKey::home("head/1")).await.unwrap(), 5);
        assert_eq!(logins.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_refused_login_is_denied_without_showing_the_key() {
        let refuse = |_: &str| "HTTP/1.1 401 Unauthorized\nContent-Length: 0\nConnection: close\n\n".to_owned();
        let store = store(&format!("{}/auth/v1.0", scripted(refuse).await));
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied);
        assert!(error.message.contains("`me`") && !error.message.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn heads_are_read_from_the_newest_replica_and_segments_from_any() {
        let server = scripted(|request| {
            if request.starts_with("GET /auth/") {
                let host = request.split("host: ").nth(1).unwrap().lines().next().unwrap();
                let place = format!("X-Storage-Url: http://{host}/v1/A");
                return format!("HTTP/1.1 200 OK\nX-Auth-Token: t\n{place}\nContent-Length: 0\nConnection: close\n\n");
            }
            let newest = if request.contains("x-newest: true") { "newest" } else { "any" };
            format!("HTTP/1.1 200 OK\nContent-Length: {}\nConnection: close\n\n{newest}", newest.len())
        });
        let store = store(&format!("{}/auth/v1.0", server.await));
        for (path, expected) in [("head/1", "newest"), ("log/1/2", "newest"), ("data/00/x", "any")] {
            assert_eq!(store.get(&ObjectKey::home(path), GetRange::Full).await.unwrap(), expected, "{path}");
        }
    }
}
