//! Loads on a store: whole objects put and got through the AWS SDK, with nothing of ours between.
//!
//! The bound of sequential writing and reading: the same objects, sizes and number of connections, but no file system. The client is
//! set up as a careful user would: no signed payload, no retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::{Builder, tls};
use bytes::Bytes;
use clap::Args;

use crate::Done;
use crate::bytes_source::random_bytes;

/// Which objects, and how many at once. Credentials come from the environment.
#[derive(Args, Clone, Debug)]
pub(crate) struct Objects {
    /// URL of the store
    #[arg(long)]
    endpoint: String,
    /// The bucket
    #[arg(long)]
    bucket: String,
    /// What names begin with
    #[arg(long)]
    prefix: String,
    /// How many
    #[arg(long)]
    objects: u64,
    /// Bytes of each
    #[arg(long)]
    bytes: usize,
    /// Requests under way at once
    #[arg(long)]
    connections: usize,
}

/// What is done with each object.
#[derive(Clone, Debug)]
enum Verb {
    /// Put it with this content.
    Put(Bytes),
    /// Get all of it, and drop its bytes as they come.
    Get,
}

/// Puts the objects.
pub(crate) fn put(objects: &Objects) -> Result<Done> {
    run(objects, &Verb::Put(Bytes::from(random_bytes(objects.bytes, 17))))
}

/// Gets the objects.
pub(crate) fn get(objects: &Objects) -> Result<Done> {
    run(objects, &Verb::Get)
}

/// As many workers as there may be connections, on as many threads as there are cores.
fn run(objects: &Objects, verb: &Verb) -> Result<Done> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client(&objects.endpoint).await;
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let worker = |_| {
            let work = Work { client: client.clone(), objects: objects.clone(), verb: verb.clone() };
            tokio::spawn(work.until_none_is_left(Arc::clone(&next)))
        };
        let workers: Vec<_> = (0..objects.connections).map(worker).collect();
        let mut bytes = 0;
        for worker in workers {
            bytes += worker.await??;
        }
        Ok(Done::new(objects.objects, bytes).since(begun))
    })
}

/// One worker.
#[derive(Debug)]
struct Work {
    client: Client,
    objects: Objects,
    verb: Verb,
}

impl Work {
    async fn until_none_is_left(self, next: Arc<AtomicU64>) -> Result<u64> {
        let mut bytes = 0;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.objects.objects {
                return Ok(bytes);
            }
            let key = format!("{}{number:06}", self.objects.prefix);
            bytes += match &self.verb {
                Verb::Put(body) => self.put(key, body.clone()).await?,
                Verb::Get => self.get(key).await?,
            };
        }
    }

    async fn put(&self, key: String, body: Bytes) -> Result<u64> {
        let len = body.len() as u64;
        let request = self.client.put_object().bucket(&self.objects.bucket).key(key).body(ByteStream::from(body));
        request.customize().disable_payload_signing().send().await?;
        Ok(len)
    }

    async fn get(&self, key: String) -> Result<u64> {
        let mut body = self.client.get_object().bucket(&self.objects.bucket).key(&key).send().await?.body;
        let mut len = 0;
        while let Some(chunk) = body.try_next().await? {
            len += chunk.len();
        }
        if len != self.objects.bytes {
            bail!("{key}: {len} bytes came instead of {}", self.objects.bytes);
        }
        Ok(len as u64)
    }
}

async fn client(endpoint: &str) -> Client {
    let crypto = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let shared = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(crypto).build_https())
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .load()
        .await;
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}
