//! An S3-compatible store through the AWS SDK. Each call is one request; retries, limits and counting are wrappers.
//!
//! Bodies are sent chunk by chunk with an unsigned payload: the engine checks every byte it reads, and hashing 16 MiB for the
//! signature alone costs tens of milliseconds. Lengths of answers are compared with what was asked for.

mod classify;
mod client;
pub(crate) mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier, StorageClass};
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use proxyfs_core::store::{
    ConditionalPut, GetRange, ListPage, ObjectInfo, ObjectKey, ObjectStore, PutMode, StoreError, StoreErrorKind,
    StoreResult,
};

use crate::body::ChunkBody;
use crate::containers::{ContainerOptions, Containers};
use crate::credentials::Credentials;
use crate::key;
use crate::network::Network;
use crate::url::{S3Url, StoreUrl};

/// Most keys of one DeleteObjects request (S3 reference).
const DELETE_KEYS_MAX: usize = 1000;

/// Single deletes under way at once, where a store refuses batches.
const DELETES_IN_FLIGHT: usize = 16;

/// Longest silence inside a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Memory set aside for a body of announced length, before its bytes are seen.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

/// A store behind the S3 protocol.
#[derive(Clone, Debug)]
pub struct S3Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    url: S3Url,
    containers: Containers,
    /// Whether the store has refused a batch delete; then objects are deleted one by one.
    batch_refused: AtomicBool,
}

impl S3Store {
    /// Loads credentials (unless given) and region, and prepares the client. Sends no request to the store.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] when the region is unknown or the containers contradict the URL.
    pub async fn connect(
        url: &S3Url,
        options: ContainerOptions,
        credentials: Option<Credentials>,
    ) -> StoreResult<Self> {
        Self::connect_on(url, options, credentials, &Network::default()).await
    }

    /// The same over a network that somebody watches.
    ///
    /// # Errors
    /// As [`S3Store::connect`].
    pub async fn connect_on(
        url: &S3Url,
        options: ContainerOptions,
        credentials: Option<Credentials>,
        network: &Network,
    ) -> StoreResult<Self> {
        let containers = Containers::new(&url.bucket, options)?;
        let client = client::connect(url, credentials, network).await?;
        let inner = Inner { client, url: url.clone(), containers, batch_refused: AtomicBool::new(false) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Checks that the home bucket exists and may be used; makes it if allowed.
    ///
    /// # Errors
    /// [`StoreErrorKind::NoContainer`], [`StoreErrorKind::Denied`] or the general kinds, with what to do.
    pub async fn check(&self) -> StoreResult<()> {
        let bucket = self.inner.bucket(0)?;
        let what = format!("bucket `{bucket}`");
        let error = match self.inner.client.head_bucket().bucket(&bucket).send().await {
            Ok(_) => return Ok(()),
            Err(e) => classify::store_error(&what, &e),
        };
        match error.kind {
            StoreErrorKind::NotFound | StoreErrorKind::NoContainer if self.inner.containers.may_create() => {
                self.inner.create_bucket(&bucket).await
            }
            StoreErrorKind::NotFound | StoreErrorKind::NoContainer => Err(self.inner.no_bucket(&bucket)),
            StoreErrorKind::Denied => {
                let place = "check the credentials (environment or profile=NAME), and that they may use this bucket";
                Err(StoreError::new(StoreErrorKind::Denied, format!("{}; {place}", error.message)))
            }
            _ => Err(error),
        }
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &ObjectKey, body: Vec<Bytes>, mode: PutMode) -> StoreResult<()> {
        key::check_path(&key.path)?;
        match self.inner.put(key, &body, mode).await {
            Err(e) if e.kind == StoreErrorKind::AlreadyExists && mode == PutMode::CreateNew => {
                key::settle_conflict(self, key, &body).await
            }
            Err(e) if e.kind == StoreErrorKind::NoContainer && self.inner.containers.may_create() => {
                let bucket = self.inner.bucket(key.container)?;
                self.inner.create_bucket(&bucket).await?;
                self.inner.put(key, &body, mode).await
            }
            other => other,
        }
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        key::check_path(&key.path)?;
        key::check_range(key, range)?;
        match (self.inner.get(key, range).await, range) {
            // An empty object, or a store that refuses suffixes longer than the object.
            (Err(e), GetRange::Suffix { len }) if e.kind == StoreErrorKind::Truncated => {
                if self.len(key).await? <= len { self.inner.get(key, GetRange::Full).await } else { Err(e) }
            }
            (result, _) => result,
        }
    }

    async fn len(&self, key: &ObjectKey) -> StoreResult<u64> {
        key::check_path(&key.path)?;
        let request =
            self.inner.client.head_object().bucket(self.inner.bucket(key.container)?).key(self.inner.key(key));
        let answer = request.send().await.map_err(|e| classify::store_error(&format!("head {key}"), &e))?;
        content_length("head", key, answer.content_length())
    }

    async fn list(&self, container: u32, prefix: &str, start_after: Option<&str>) -> StoreResult<ListPage> {
        self.inner.list(container, prefix, start_after).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let mut by_container: BTreeMap<u32, Vec<ObjectKey>> = BTreeMap::new();
        for key in keys {
            key::check_path(&key.path)?;
            by_container.entry(key.container).or_default().push(key.clone());
        }
        let mut failed = Vec::new();
        for (container, keys) in by_container {
            for batch in keys.chunks(DELETE_KEYS_MAX) {
                failed.extend(self.inner.delete(container, batch).await?);
            }
        }
        Ok(failed)
    }

    fn conditional_put(&self) -> ConditionalPut {
        ConditionalPut::MustProbe
    }

    fn describe(&self) -> String {
        StoreUrl::S3(self.inner.url.clone()).to_string()
    }
}

impl Inner {
    fn bucket(&self, container: u32) -> StoreResult<String> {
        Ok(self.containers.name(container)?.into_owned())
    }

    fn key(&self, key: &ObjectKey) -> String {
        key::join(&self.url.prefix, &key.path)
    }

    fn no_bucket(&self, bucket: &str) -> StoreError {
        let place = self.url.endpoint.as_deref().unwrap_or("AWS");
        let todo = "create it, correct the URL, or allow `create_containers`";
        StoreError::new(StoreErrorKind::NoContainer, format!("bucket `{bucket}` does not exist at {place}; {todo}"))
    }

    async fn create_bucket(&self, bucket: &str) -> StoreResult<()> {
        // AWS wants the region in the body, except for its first; other stores want none.
        let region = self.client.config().region().map(AsRef::as_ref).filter(|r| *r != "us-east-1");
        let location = region.filter(|_| self.url.endpoint.is_none()).map(BucketLocationConstraint::from);
        let config = location.map(|l| CreateBucketConfiguration::builder().location_constraint(l).build());
        let sent = self.client.create_bucket().bucket(bucket).set_create_bucket_configuration(config).send().await;
        match sent {
            Ok(_) => Ok(()),
            Err(e) if e.as_service_error().is_some_and(CreateBucketError::is_bucket_already_owned_by_you) => Ok(()),
            Err(e) => Err(classify::store_error(&format!("create bucket `{bucket}`"), &e)),
        }
    }

    async fn put(&self, key: &ObjectKey, body: &[Bytes], mode: PutMode) -> StoreResult<()> {
        let bucket = self.bucket(key.container)?;
        let len = key::body_len(body);
        let request = self
            .client
            .put_object()
            .bucket(&bucket)
            .key(self.key(key))
            .content_length(i64::try_from(len).unwrap_or(i64::MAX))
            .set_storage_class(self.containers.storage_class(&key.path).map(StorageClass::from))
            .set_if_none_match((mode == PutMode::CreateNew).then(|| "*".to_owned()))
            .body(chunk_stream(body));
        match request.customize().disable_payload_signing().send().await {
            Ok(_) => Ok(()),
            Err(e) => match classify::store_error(&format!("put {key}"), &e) {
                // No object is looked up by a put: what was not found is the bucket.
                e if matches!(e.kind, StoreErrorKind::NotFound | StoreErrorKind::NoContainer) => {
                    Err(self.no_bucket(&bucket))
                }
                e => Err(e),
            },
        }
    }

    async fn get(&self, key: &ObjectKey, range: GetRange) -> StoreResult<Bytes> {
        let header = match range {
            GetRange::Full => None,
            GetRange::Bounded { offset, len } => Some(format!("bytes={offset}-{}", offset + len - 1)),
            GetRange::Suffix { len } => Some(format!("bytes=-{len}")),
        };
        let request = self.client.get_object().bucket(self.bucket(key.container)?).key(self.key(key)).set_range(header);
        let answer = request.send().await.map_err(|e| classify::store_error(&format!("get {key}"), &e))?;
        let expected = expected_len(key, range, &answer)?;
        let content = collect(key, answer.body, expected).await?;
        if content.len() as u64 == expected {
            return Ok(content);
        }
        let message = format!("get {key}: {} bytes came, {expected} were announced", content.len());
        Err(StoreError::new(StoreErrorKind::Truncated, message))
    }

    async fn list(&self, container: u32, prefix: &str, after: Option<&str>) -> StoreResult<ListPage> {
        let bucket = self.bucket(container)?;
        let full_prefix = key::join(&self.url.prefix, prefix);
        // SeaweedFS passes over all that lies below a name it is told to begin after: it is told one that nothing lies below.
        // Garage finds nothing when it is told to begin before the prefix.
        let marker = after.map(key::just_before);
        let marker = marker.as_deref().filter(|m| !m.is_empty() && *m >= prefix);
        let mut token = None;
        loop {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&bucket)
                .prefix(&full_prefix)
                .set_start_after(marker.map(|m| key::join(&self.url.prefix, m)))
                .set_continuation_token(token.take());
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) => match classify::store_error(&format!("list {prefix}"), &e) {
                    e if matches!(e.kind, StoreErrorKind::NotFound | StoreErrorKind::NoContainer) => {
                        return Err(self.no_bucket(&bucket));
                    }
                    e => return Err(e),
                },
            };
            let page = self.page(container, &answer, marker, after)?;
            // A page may be empty although more follow.
            token = answer.next_continuation_token().map(str::to_owned);
            if !page.objects.is_empty() || answer.is_truncated() != Some(true) || token.is_none() {
                return Ok(page);
            }
        }
    }

    /// Takes the volume's prefix off the keys, and checks their order, on which paging relies. SeaweedFS walks directories, so
    /// there `a/b` comes before `a-b`: a listing that fits one page is put in order, a longer one of such names is refused. The
    /// engine's own names are in byte order either way.
    fn page(
        &self,
        container: u32,
        answer: &ListObjectsV2Output,
        marker: Option<&str>,
        after: Option<&str>,
    ) -> StoreResult<ListPage> {
        let base = key::join(&self.url.prefix, "");
        let mut objects = Vec::with_capacity(answer.contents().len());
        for object in answer.contents() {
            let Some(path) = object.key().and_then(|k| k.strip_prefix(&base)) else { continue };
            let len = u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
            objects.push(ObjectInfo { key: ObjectKey { container, path: path.to_owned() }, len });
        }
        let more = answer.is_truncated() == Some(true);
        if !more && marker.is_none() {
            objects.sort_by(|a, b| a.key.path.cmp(&b.key.path));
        }
        let in_order = objects.is_sorted_by(|a, b| a.key.path < b.key.path);
        let begins_right = objects.first().is_none_or(|o| marker.is_none_or(|m| o.key.path.as_str() > m));
        if !in_order || !begins_right {
            let message = format!("bucket `{}`: the store does not list in byte order", self.url.bucket);
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        if let Some(after) = after {
            objects.retain(|o| o.key.path.as_str() > after);
        }
        let next = objects.last().filter(|_| more).map(|o| o.key.path.clone());
        Ok(ListPage { objects, next })
    }

    /// Deletes at most one batch of one container's keys.
    async fn delete(&self, container: u32, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        if keys.len() > 1 && !self.batch_refused.load(Ordering::Relaxed) {
            match self.delete_batch(container, keys).await {
                Err(e) if matches!(e.kind, StoreErrorKind::Unsupported | StoreErrorKind::Invalid) => {
                    tracing::debug!(error = %e, "the store refuses batch deletes, deleting one by one");
                    self.batch_refused.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        self.delete_singly(container, keys).await
    }

    async fn delete_batch(&self, container: u32, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let invalid = |e| StoreError::new(StoreErrorKind::Invalid, format!("delete: {e}"));
        let identify = |k| ObjectIdentifier::builder().key(self.key(k)).build();
        let objects = keys.iter().map(identify).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(invalid)?;
        let request = self.client.delete_objects().bucket(self.bucket(container)?).delete(delete);
        let what = format!("delete {} objects", keys.len());
        let answer = request.send().await.map_err(|e| classify::store_error(&what, &e))?;
        let mut failed = Vec::new();
        for error in answer.errors() {
            let kind = classify::kind_of(500, error.code());
            let key = keys.iter().find(|k| error.key() == Some(&self.key(k)));
            let Some(key) = key.filter(|_| kind != StoreErrorKind::NotFound) else { continue };
            let message = format!("delete {key}: {}", error.code().unwrap_or("unknown error"));
            failed.push((key.clone(), StoreError::new(kind, message)));
        }
        Ok(failed)
    }

    async fn delete_singly(&self, container: u32, keys: &[ObjectKey]) -> StoreResult<Vec<(ObjectKey, StoreError)>> {
        let bucket = self.bucket(container)?;
        let delete = |key: ObjectKey| {
            let request = self.client.delete_object().bucket(&bucket).key(self.key(&key));
            async move {
                let error = request.send().await.err()?;
                let error = classify::store_error(&format!("delete {key}"), &error);
                (error.kind != StoreErrorKind::NotFound).then_some((key, error))
            }
        };
        let deletes = stream::iter(keys.to_vec()).map(delete).buffer_unordered(DELETES_IN_FLIGHT);
        let mut failed: Vec<_> = deletes.filter_map(std::future::ready).collect().await;
        match failed.pop() {
            Some((_, error)) if keys.len() == 1 => Err(error),
            last => Ok(failed.into_iter().chain(last).collect()),
        }
    }
}

/// The chunks as a body that can be sent again.
fn chunk_stream(body: &[Bytes]) -> ByteStream {
    let chunks = body.to_vec();
    ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(ChunkBody::new(&chunks))))
}

fn content_length(verb: &str, key: &ObjectKey, announced: Option<i64>) -> StoreResult<u64> {
    let unknown = || StoreError::new(StoreErrorKind::Invalid, format!("{verb} {key}: the store gave no length"));
    announced.and_then(|len| u64::try_from(len).ok()).ok_or_else(unknown)
}

/// How many bytes the body must have; an answer that does not fit the question is an error.
fn expected_len(key: &ObjectKey, range: GetRange, answer: &GetObjectOutput) -> StoreResult<u64> {
    let announced = content_length("get", key, answer.content_length())?;
    let ranged = answer.content_range().is_some();
    match range {
        GetRange::Full => Ok(announced),
        GetRange::Bounded { offset, len } if (ranged || offset == 0) && announced == len => Ok(len),
        GetRange::Bounded { len, .. } if ranged && announced < len => {
            let message = format!("get {key}: {range:?} wanted, the object has only {announced} of these bytes");
            Err(StoreError::new(StoreErrorKind::Truncated, message))
        }
        GetRange::Suffix { len } if announced <= len => Ok(announced),
        GetRange::Bounded { .. } | GetRange::Suffix { .. } => {
            let message = format!("get {key}: {range:?} wanted, the store answered with {announced} other bytes");
            Err(StoreError::new(StoreErrorKind::Invalid, message))
        }
    }
}

/// Reads a body to its end. A single chunk is not copied.
async fn collect(key: &ObjectKey, mut body: ByteStream, expected: u64) -> StoreResult<Bytes> {
    let broken = |why: String| StoreError::new(StoreErrorKind::Unavailable, format!("get {key}: {why}"));
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        let chunk = match tokio::time::timeout(BODY_TIMEOUT, body.next()).await {
            Err(_) => return Err(broken(format!("no byte for {BODY_TIMEOUT:?}"))),
            Ok(None) => break,
            Ok(Some(Err(e))) => return Err(broken(format!("the body broke off: {e}"))),
            Ok(Some(Ok(chunk))) => chunk,
        };
        if first.is_empty() && joined.is_empty() {
            first = chunk;
            continue;
        }
        if joined.is_empty() {
            // Fits: bounded by a constant.
            joined.reserve(expected.min(RESERVE_BYTES_MAX) as usize);
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&chunk);
        if joined.len() as u64 > expected {
            break;
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}
