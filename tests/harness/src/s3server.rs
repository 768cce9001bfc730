//! An S3 server inside the test process, on a loopback port of its own, that can be stopped and started again.
//!
//! Objects are files below a directory (the `s3s-fs` crate). Three of that crate's habits would mislead tests and are
//! corrected here: conditional puts are made atomic by serialising them; suffix ranges follow the S3 reference (a suffix
//! longer than the object is the whole object; none of an empty object can be satisfied); a directory is no object. Bodies are
//! read from disk in large pieces, as that crate's 4 KiB would be what a benchmark measures. What
//! stays different from S3: a key cannot lie below another key. Requests are counted by kind, and the bytes of puts and gets. The
//! rate of its connections can be limited.
//!
//! The server has threads of its own, so it answers while a test blocks or pauses its clock.

mod body;
mod link;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use body::Counted;
use link::{Link, Paced};

/// Access key that the server accepts.
const ACCESS_KEY: &str = "test-access-key";

/// Its secret key.
const SECRET_KEY: &str = "test-secret-key";

/// A running (or stopped) server. Dropping it ends it; its directory stays.
#[derive(Debug)]
pub struct S3Server {
    /// Access key that the server accepts.
    pub access_key: String,
    /// Its secret key.
    pub secret_key: String,
    dir: PathBuf,
    addr: SocketAddr,
    counters: Arc<Counters>,
    link: Arc<Link>,
    listening: Option<JoinHandle<()>>,
    /// `None` only while dropping.
    runtime: Option<Runtime>,
}

/// Requests seen so far, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// PUT of an object.
    pub put: u64,
    /// GET of an object.
    pub get: u64,
    /// HEAD of an object or a bucket.
    pub head: u64,
    /// Listings.
    pub list: u64,
    /// Deletes, single and batch.
    pub delete: u64,
    /// Everything else.
    pub other: u64,
    /// Bytes of objects put, as announced.
    pub put_bytes: u64,
    /// Bytes of objects got, as sent.
    pub get_bytes: u64,
}

impl RequestCounts {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.put + self.get + self.head + self.list + self.delete + self.other
    }
}

impl S3Server {
    /// Starts a server on a free port of 127.0.0.1 with its objects below `dir`, which must exist.
    ///
    /// # Errors
    /// When the port or the directory cannot be used.
    pub async fn start(dir: impl AsRef<Path>) -> io::Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST, dir).await
    }

    /// The same on another address of this machine, for a network of its own.
    ///
    /// # Errors
    /// As [`S3Server::start`].
    pub async fn start_on(address: Ipv4Addr, dir: impl AsRef<Path>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut server = Self {
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            dir: dir.as_ref().to_owned(),
            addr: SocketAddr::from((address, 0)),
            counters: Arc::default(),
            link: Arc::default(),
            listening: None,
            runtime: Some(runtime),
        };
        server.restart().await?;
        Ok(server)
    }

    /// The URL to connect to; stays the same over stop and restart.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A store URL for a bucket and a prefix of this server.
    #[must_use]
    pub fn url(&self, bucket: &str, prefix: &str) -> String {
        format!("s3://{bucket}/{prefix}?endpoint={}&region=us-east-1&path_style=true", self.endpoint())
    }

    /// Makes a bucket; one that exists is fine.
    ///
    /// # Errors
    /// As the OS gives them.
    pub fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.dir.join(bucket))
    }

    /// Requests seen so far, over all restarts.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        self.counters.snapshot()
    }

    /// Lets all connections together move at most so many bytes a second in each direction; 0 is no limit, as at first.
    pub fn set_rate(&self, bytes_per_second: u64) {
        self.link.set_rate(bytes_per_second);
    }

    /// Stops listening and cuts all connections; requests under way may or may not take effect.
    pub async fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            // Ends by cancellation; only its end matters.
            let _ = listening.await;
        }
    }

    /// Listens again on the same port. Does nothing while the server runs.
    ///
    /// # Errors
    /// When the port or the directory cannot be used.
    pub async fn restart(&mut self) -> io::Result<()> {
        let Some(runtime) = self.runtime.as_ref().filter(|_| self.listening.is_none()) else { return Ok(()) };
        let service = s3_service(&self.dir)?;
        let (counters, addr) = (Arc::clone(&self.counters), self.addr);
        let bound = runtime.spawn(TcpListener::bind(addr)).await;
        let listener = bound.map_err(io::Error::other)??;
        self.addr = listener.local_addr()?;
        self.listening = Some(runtime.spawn(serve(listener, service, counters, Arc::clone(&self.link))));
        Ok(())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // An ordinary drop would block, which async tests do not allow.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn s3_service(dir: &Path) -> io::Result<S3Service> {
    let files = FileSystem::new(dir).map_err(|e| io::Error::other(format!("{e:?}")))?;
    let mut builder = S3ServiceBuilder::new(Corrected { files, dir: dir.to_owned(), conditional: Mutex::new(()) });
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    Ok(builder.build())
}

/// Accepts connections until cancelled; then all of them are cut, as the set ends with it.
async fn serve(listener: TcpListener, service: S3Service, counters: Arc<Counters>, link: Arc<Link>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((socket, _)) = listener.accept().await else { continue };
        // Without it small answers wait for delayed acknowledgements; a failure only costs time.
        let _ = socket.set_nodelay(true);
        let (service, counters) = (service.clone(), Arc::clone(&counters));
        let counted = service_fn(move |request: http::Request<Incoming>| {
            let is_get = counters.count(&request);
            let (answer, counters) = (Service::call(&service, request), Arc::clone(&counters));
            async move {
                let answer = answer.await?;
                Ok::<_, HttpError>(answer.map(|inner| Counted { inner, counters: is_get.then_some(counters) }))
            }
        });
        let socket = TokioIo::new(Paced::new(socket, Arc::clone(&link)));
        connections.spawn(async move {
            let served = hyper::server::conn::http1::Builder::new().serve_connection(socket, counted).await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

#[derive(Debug, Default)]
struct Counters {
    put: AtomicU64,
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    other: AtomicU64,
    put_bytes: AtomicU64,
    get_bytes: AtomicU64,
}

impl Counters {
    /// Counts a request; says whether it gets an object, so that the bytes of its answer are to be counted.
    fn count<B>(&self, request: &http::Request<B>) -> bool {
        let query = request.uri().query().unwrap_or("");
        let is_object = request.uri().path().trim_matches('/').contains('/');
        let counter = match request.method().as_str() {
            "PUT" if is_object => &self.put,
            "GET" if is_object => &self.get,
            "GET" if query.contains("list-type") || query.contains("prefix") => &self.list,
            "HEAD" => &self.head,
            "DELETE" if is_object => &self.delete,
            "POST" if query.starts_with("delete") => &self.delete,
            _ => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if std::ptr::eq(counter, &raw const self.put) {
            self.put_bytes.fetch_add(content_length(request), Ordering::Relaxed);
        }
        std::ptr::eq(counter, &raw const self.get)
    }

    fn snapshot(&self) -> RequestCounts {
        RequestCounts {
            put: self.put.load(Ordering::Relaxed),
            get: self.get.load(Ordering::Relaxed),
            head: self.head.load(Ordering::Relaxed),
            list: self.list.load(Ordering::Relaxed),
            delete: self.delete.load(Ordering::Relaxed),
            other: self.other.load(Ordering::Relaxed),
            put_bytes: self.put_bytes.load(Ordering::Relaxed),
            get_bytes: self.get_bytes.load(Ordering::Relaxed),
        }
    }
}

fn content_length<B>(request: &http::Request<B>) -> u64 {
    let header = request.headers().get(http::header::CONTENT_LENGTH);
    header.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// The file-backed S3 with its habits corrected.
struct Corrected {
    files: FileSystem,
    dir: PathBuf,
    /// Held during a conditional put, so that of several racers one wins.
    conditional: Mutex<()>,
}

impl Corrected {
    /// Fails when the key names a directory.
    fn require_object(&self, bucket: &str, key: &str) -> S3Result<()> {
        if self.dir.join(bucket).join(key).is_dir() { Err(s3_error!(NoSuchKey)) } else { Ok(()) }
    }

    /// Replaces a suffix range by what it means on this object.
    async fn resolve_suffix(&self, request: &mut S3Request<GetObjectInput>) -> S3Result<()> {
        let Some(Range::Suffix { length }) = request.input.range else { return Ok(()) };
        let head = HeadObjectInput {
            bucket: request.input.bucket.clone(),
            key: request.input.key.clone(),
            ..Default::default()
        };
        let total = self.files.head_object(plain(head)).await?.output.content_length.unwrap_or(0);
        let total = u64::try_from(total).unwrap_or(0);
        if total == 0 {
            return Err(s3_error!(InvalidRange));
        }
        request.input.range = Some(Range::Int { first: total.saturating_sub(length), last: None });
        Ok(())
    }
}

/// A request that the server makes to itself.
fn plain<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: http::Method::HEAD,
        uri: http::Uri::default(),
        headers: http::HeaderMap::new(),
        extensions: http::Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

/// Passes operations on as they are. Written as `async_trait` expands them, as it does not look into macros.
macro_rules! pass_on {
    ($($operation:ident: $input:ty => $output:ty,)*) => {
        $(fn $operation<'a, 'f>(
            &'a self,
            request: S3Request<$input>,
        ) -> Pin<Box<dyn Future<Output = S3Result<S3Response<$output>>> + Send + 'f>>
        where
            'a: 'f,
            Self: 'f,
        {
            self.files.$operation(request)
        })*
    };
}

#[async_trait::async_trait]
impl S3 for Corrected {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let conditional = request.input.if_none_match.is_some() || request.input.if_match.is_some();
        let _guard = if conditional { Some(self.conditional.lock().await) } else { None };
        self.files.put_object(request).await
    }

    async fn get_object(&self, mut request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.require_object(&request.input.bucket, &request.input.key)?;
        self.resolve_suffix(&mut request).await?;
        let first = match request.input.range {
            Some(Range::Int { first, .. }) => first,
            Some(Range::Suffix { .. }) | None => 0,
        };
        let path = self.dir.join(&request.input.bucket).join(&request.input.key);
        let mut answer = self.files.get_object(request).await?;
        let len = answer.output.content_length.and_then(|len| u64::try_from(len).ok()).unwrap_or(0);
        answer.output.body = Some(body::of_file(&path, first, len).map_err(S3Error::internal_error)?);
        Ok(answer)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.require_object(&request.input.bucket, &request.input.key)?;
        self.files.head_object(request).await
    }

    pass_on! {
        create_bucket: CreateBucketInput => CreateBucketOutput,
        delete_bucket: DeleteBucketInput => DeleteBucketOutput,
        head_bucket: HeadBucketInput => HeadBucketOutput,
        list_buckets: ListBucketsInput => ListBucketsOutput,
        get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput,
        copy_object: CopyObjectInput => CopyObjectOutput,
        delete_object: DeleteObjectInput => DeleteObjectOutput,
        delete_objects: DeleteObjectsInput => DeleteObjectsOutput,
        list_objects: ListObjectsInput => ListObjectsOutput,
        list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
        create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
        upload_part: UploadPartInput => UploadPartOutput,
        list_parts: ListPartsInput => ListPartsOutput,
        complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
        abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
    }
}
