//! Logging in to Swift: TempAuth (v1) and Keystone v3 with a password. Keeps one session for all calls.
//!
//! A session is renewed when the store refuses its token; callers that were refused together log in once.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use proxyfs_core::store::{StoreError, StoreErrorKind, StoreResult};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::{Zeroize, Zeroizing};

use super::http_client::{Answer, HttpClient};
use crate::body::ChunkBody;
use crate::credentials::Credentials;
use crate::url::{SwiftAuth, SwiftUrl};

/// A token and where to use it.
pub(super) struct Session {
    pub(super) token: String,
    /// URL of the account, without a slash at its end.
    pub(super) storage_url: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("storage_url", &self.storage_url).finish_non_exhaustive()
    }
}

/// Who logs in where.
#[derive(Debug)]
pub(super) struct Sessions {
    login: Login,
    current: Mutex<Option<Arc<Session>>>,
}

#[derive(Debug)]
struct Login {
    url: String,
    version: SwiftAuth,
    region: Option<String>,
    credentials: Credentials,
    scope: Scope,
}

/// What a Keystone login asks for.
#[derive(Debug)]
struct Scope {
    user_domain: String,
    project: String,
    project_domain: String,
}

impl Sessions {
    /// # Errors
    /// [`StoreErrorKind::Denied`] when credentials are neither given nor in the environment.
    pub(super) fn new(url: &SwiftUrl, credentials: Option<Credentials>) -> StoreResult<Self> {
        let (user, secret) = match url.auth_version {
            SwiftAuth::V1 => ("ST_USER", "ST_KEY"),
            SwiftAuth::V3 => ("OS_USERNAME", "OS_PASSWORD"),
        };
        let credentials = match credentials {
            Some(given) => given,
            None => Credentials::new(required(user)?, required(secret)?),
        };
        let given = credentials.scope.clone();
        let project = match (url.auth_version, given.project) {
            (SwiftAuth::V1, _) => String::new(),
            (SwiftAuth::V3, Some(project)) => project,
            (SwiftAuth::V3, None) => required("OS_PROJECT_NAME")?,
        };
        let domain = |given: Option<String>, name| {
            given.or_else(|| std::env::var(name).ok()).unwrap_or_else(|| "Default".to_owned())
        };
        let login = Login {
            url: url.auth.clone(),
            version: url.auth_version,
            region: url.region.clone(),
            credentials,
            scope: Scope {
                user_domain: domain(given.user_domain, "OS_USER_DOMAIN_NAME"),
                project,
                project_domain: domain(given.project_domain, "OS_PROJECT_DOMAIN_NAME"),
            },
        };
        Ok(Self { login, current: Mutex::default() })
    }

    /// The session in use; logs in if there is none.
    pub(super) async fn current(&self, http: &HttpClient) -> StoreResult<Arc<Session>> {
        let mut current = self.current.lock().await;
        if let Some(session) = &*current {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.login.run(http).await?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// A session other than `refused`, whose token the store no longer takes.
    pub(super) async fn renew(&self, http: &HttpClient, refused: &Arc<Session>) -> StoreResult<Arc<Session>> {
        {
            let mut current = self.current.lock().await;
            if current.as_ref().is_some_and(|c| Arc::ptr_eq(c, refused)) {
                *current = None;
            }
        }
        self.current(http).await
    }
}

impl Login {
    async fn run(&self, http: &HttpClient) -> StoreResult<Session> {
        match self.version {
            SwiftAuth::V1 => self.v1(http).await,
            SwiftAuth::V3 => self.v3(http).await,
        }
    }

    /// TempAuth: user and key go out in headers, token and URL come back in headers.
    async fn v1(&self, http: &HttpClient) -> StoreResult<Session> {
        let mut request = Request::builder().uri(&self.url).header("x-auth-user", &self.credentials.id);
        request = match HeaderValue::from_str(self.credentials.secret.expose_secret()) {
            Ok(mut key) => {
                key.set_sensitive(true);
                request.header("x-auth-key", key)
            }
            // Fails where the request is completed.
            Err(_) => request.header("x-auth-key", "\n"),
        };
        let answer = self.send(http, request, Vec::new()).await?;
        let field = |name| answer.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        self.session(field("x-auth-token"), field("x-storage-url"))
    }

    /// Keystone v3: a JSON document each way, the token in a header.
    async fn v3(&self, http: &HttpClient) -> StoreResult<Session> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/auth/tokens", self.url))
            .header(http::header::CONTENT_TYPE, "application/json");
        let mut document = v3_document(&self.credentials, &self.scope);
        let body = Zeroizing::new(document.to_string().into_bytes());
        if let Some(Value::String(password)) = document.pointer_mut("/auth/identity/password/user/password") {
            password.zeroize();
        }
        let answer = self.send(http, request, vec![Bytes::from_owner(body)]).await?;
        let token = answer.headers.get("x-subject-token").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        self.session(token, storage_endpoint(&document, self.region.as_deref()))
    }

    async fn send(&self, http: &HttpClient, request: http::request::Builder, body: Vec<Bytes>) -> StoreResult<Answer> {
        let what = format!("log in at {}", self.url);
        let request = request.body(ChunkBody::new(&body)).map_err(|_| {
            let message = format!("{what}: user or key hold characters that cannot be sent");
            StoreError::new(StoreErrorKind::Denied, message)
        })?;
        let answer = http.send(&what, request).await?;
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let message = format!("{what} as `{}`: refused; check user and password", self.credentials.id);
                Err(StoreError::new(StoreErrorKind::Denied, message))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(StoreError::new(StoreErrorKind::Unavailable, format!("{what}: HTTP {}", status.as_u16())))
            }
            status => {
                let message = format!("{what}: HTTP {}; check `auth` in the URL", status.as_u16());
                Err(StoreError::new(StoreErrorKind::Invalid, message))
            }
        }
    }

    fn session(&self, token: Option<String>, storage_url: Option<String>) -> StoreResult<Session> {
        let (Some(token), Some(storage_url)) = (token, storage_url) else {
            let message =
                format!("log in at {}: no token or no object-store endpoint (region?) in the answer", self.url);
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        };
        Ok(Session { token, storage_url: storage_url.trim_end_matches('/').to_owned() })
    }
}

/// The password login of Keystone's API reference, scoped to a project.
fn v3_document(credentials: &Credentials, scope: &Scope) -> Value {
    let user = json!({
        "name": credentials.id,
        "domain": {"name": scope.user_domain},
        "password": credentials.secret.expose_secret(),
    });
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": scope.project, "domain": {"name": scope.project_domain}}},
    }})
}

/// The public object-store endpoint of a token document's catalogue.
fn storage_endpoint(document: &Value, region: Option<&str>) -> Option<String> {
    let catalog = document["token"]["catalog"].as_array()?;
    let endpoints = catalog.iter().filter(|s| s["type"] == "object-store").filter_map(|s| s["endpoints"].as_array());
    let fits =
        |e: &&Value| e["interface"] == "public" && region.is_none_or(|r| e["region"] == r || e["region_id"] == r);
    endpoints.flatten().find(fits).and_then(|e| e["url"].as_str()).map(str::to_owned)
}

fn required(name: &str) -> StoreResult<String> {
    std::env::var(name).map_err(|_| {
        StoreError::new(
            StoreErrorKind::Denied,
            format!("no credentials for swift: set {name} in the environment, or name stored ones"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn the_endpoint_is_public_and_of_the_region() {
        let endpoint = |interface, region, url| json!({"interface": interface, "region": region, "url": url});
        let document = json!({"token": {"catalog": [
            {"type": "compute", "endpoints": [endpoint("public", "A", "http://compute")]},
            {"type": "object-store", "endpoints": [
                endpoint("internal", "A", "http://inside"),
                endpoint("public", "A", "http://a"),
                endpoint("public", "B", "http://b"),
            ]},
        ]}});
        assert_eq!(storage_endpoint(&document, None).as_deref(), Some("http://a"));
        assert_eq!(storage_endpoint(&document, Some("B")).as_deref(), Some("http://b"));
        assert_eq!(storage_endpoint(&document, Some("C")), None);
        assert_eq!(storage_endpoint(&Value::Null, None), None);
    }

    #[test]
    fn the_login_document_names_user_project_and_domains() {
        let credentials = Credentials::new("u", "s");
        let scope = Scope { user_domain: "ud".into(), project: "p".into(), project_domain: "pd".into() };
        let document = v3_document(&credentials, &scope);
        assert_eq!(document["auth"]["identity"]["password"]["user"]["domain"]["name"], "ud");
        assert_eq!(document["auth"]["scope"]["project"]["name"], "p");
        assert_eq!(document["auth"]["scope"]["project"]["domain"]["name"], "pd");
    }
    #[tokio::test]
    async fn a_keystone_login_gives_token_and_endpoint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v3", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}}}") {
                assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
            }
            let endpoint = json!({"interface": "public", "region": "R", "url": "http://swift/v1/AUTH_1/"});
            let catalog =
                json!({"token": {"catalog": [{"type": "object-store", "endpoints": [endpoint]}]}}).to_string();
            let head =
                format!("HTTP/1.1 201 Created\r\nX-Subject-Token: tok\r\nContent-Length: {}\r\n\r\n", catalog.len());
            socket.write_all((head + &catalog).as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let login = Login {
            url,
            version: SwiftAuth::V3,
            region: None,
            credentials: Credentials::new("u", "s"),
            scope: Scope { user_domain: "ud".into(), project: "p".into(), project_domain: "pd".into() },
        };
        let session = login.run(&HttpClient::new(&crate::network::Network::default()).unwrap()).await.unwrap();
        assert_eq!((session.token.as_str(), session.storage_url.as_str()), ("tok", "http://swift/v1/AUTH_1"));
        assert!(server.await.unwrap().starts_with("POST /v3/auth/tokens HTTP/1.1\r\n"));
    }
}
