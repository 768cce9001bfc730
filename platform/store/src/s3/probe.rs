//! The requests of a probe against S3, with what the answer says beside its error: code, clock, region.

use std::error::Error;
use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::date_time::{DateTime, Format};
use proxyfs_core::store::{ObjectKey, StoreResult};

use super::{classify, client};
use crate::credentials::Credentials;
use crate::key;
use crate::network::Network;
use crate::probe::{Facts, Finding, Step, Trouble, content, judge, path_style, same};
use crate::url::{S3Url, StoreUrl};

/// A client and the one to compare it with.
#[derive(Debug)]
pub(crate) struct S3Prober {
    client: Client,
    url: S3Url,
    credentials: Option<Credentials>,
}

impl S3Prober {
    /// Prepares the client.
    pub(crate) async fn connect(url: &S3Url, credentials: Option<Credentials>) -> StoreResult<Self> {
        let client = client::connect(url, credentials.clone(), &Network::default()).await?;
        Ok(Self { client, url: url.clone(), credentials })
    }

    /// Makes one request.
    pub(crate) async fn run(&self, step: Step, key: &ObjectKey) -> Result<(), Finding> {
        let Err(facts) = self.send(&self.client, step, key).await else { return Ok(()) };
        let finding = judge(&StoreUrl::S3(self.url.clone()), step, &facts);
        match (&self.url.endpoint, step, finding.trouble) {
            (Some(endpoint), Step::List, trouble) if !self.url.uses_path_style() && may_be_style(trouble) => {
                if self.works_with_path_style(key).await { Err(path_style(endpoint)) } else { Err(finding) }
            }
            _ => Err(finding),
        }
    }

    async fn works_with_path_style(&self, key: &ObjectKey) -> bool {
        let url = S3Url { path_style: Some(true), ..self.url.clone() };
        let Ok(other) = client::connect(&url, self.credentials.clone(), &Network::default()).await else {
            return false;
        };
        self.send(&other, Step::List, key).await.is_ok()
    }

    async fn send(&self, client: &Client, step: Step, key: &ObjectKey) -> Result<(), Facts> {
        let (bucket, name) = (&self.url.bucket, key::join(&self.url.prefix, &key.path));
        match step {
            Step::List => {
                let prefix = key::join(&self.url.prefix, "");
                let sent = client.list_objects_v2().bucket(bucket).prefix(prefix).max_keys(1).send().await;
                sent.map(|_| ()).map_err(|e| facts("list", &e))
            }
            Step::GetMissing => match client.get_object().bucket(bucket).key(name).send().await {
                Err(e) if matches!(e.code(), Some("NoSuchKey" | "NotFound")) => Ok(()),
                other => other.map(|_| ()).map_err(|e| facts("get", &e)),
            },
            Step::Put => {
                let body = ByteStream::from_static(content());
                let request = client.put_object().bucket(bucket).key(name).body(body);
                let sent = request.customize().disable_payload_signing().send().await;
                sent.map(|_| ()).map_err(|e| facts("put", &e))
            }
            Step::Get => {
                let got = client.get_object().bucket(bucket).key(name).send().await.map_err(|e| facts("get", &e))?;
                let body = got.body.collect().await.map_err(|e| said(&format!("get: the body broke off: {e}")))?;
                same(&body.into_bytes()).map_err(|e| Facts { status: Some(200), ..said(&e.message) })
            }
            Step::Delete => {
                let sent = client.delete_object().bucket(bucket).key(name).send().await;
                sent.map(|_| ()).map_err(|e| facts("delete", &e))
            }
        }
    }
}

/// Whether a bucket in the wrong place of the URL may look like this.
fn may_be_style(trouble: Trouble) -> bool {
    !matches!(trouble, Trouble::NoCredentials | Trouble::ClockSkew | Trouble::Tls)
}

fn said(text: &str) -> Facts {
    Facts { text: text.to_owned(), ..Facts::default() }
}

fn facts<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Facts
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let header = |name| error.raw_response().and_then(|r| r.headers().get(name)).map(str::to_owned);
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
    Facts {
        status: error.raw_response().map(|r| r.status().as_u16()),
        code: error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned),
        text: classify::store_error(what, error).message,
        skew: header("date").and_then(|date| skew(&date)),
        region: header("x-amz-bucket-region").or_else(|| message.and_then(expected_region)),
    }
}

/// The store's clock minus ours, in seconds.
fn skew(date: &str) -> Option<i64> {
    let theirs = DateTime::from_str(date, Format::HttpDate).ok()?.secs();
    Some(theirs - DateTime::from(SystemTime::now()).secs())
}

/// The region in "the region 'a' is wrong; expecting 'b'".
fn expected_region(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("expecting '")?;
    rest.split_once('\'').map(|(region, _)| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_region_is_taken_from_the_message() {
        let message = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
        assert_eq!(expected_region(message).as_deref(), Some("eu-west-1"));
        assert_eq!(expected_region("no such thing"), None);
    }

    #[test]
    fn the_stores_clock_is_read_from_its_date() {
        assert!(skew("Thu, 01 Jan 1970 00:00:00 GMT").unwrap() < -1_000_000_000);
        assert_eq!(skew("yesterday"), None);
    }
}
