//! Builds the SDK's client: credentials, region, endpoint, checksums, timeouts, connections.
//!
//! The SDK's own retries are off, as the store's retry layer does them. Checksums of the newest kind are sent only where the
//! protocol demands one, since many compatible stores refuse them; the engine checks its own.

mod renewed;

use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials as SdkCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::{Builder, tls};
use proxyfs_core::store::{StoreError, StoreErrorKind, StoreResult};
use secrecy::ExposeSecret;

use crate::credentials::Credentials;
use crate::network::Network;
use crate::url::S3Url;
use renewed::Renewed;

/// Time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time until an answer begins; covers the sending of a 16 MiB body at 1 MiB/s.
const READ_TIMEOUT: Duration = Duration::from_secs(25);

/// Unused connections are closed before servers and load balancers do it (60 s and more).
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The region that stores other than AWS commonly accept.
const DEFAULT_REGION: &str = "us-east-1";

/// A client for a URL, with the given credentials, or those of the environment, the profile or the default chain.
pub(super) async fn connect(url: &S3Url, credentials: Option<Credentials>, network: &Network) -> StoreResult<Client> {
    let shared = shared_config(url, credentials, network).await;
    if shared.region().is_none() {
        let message =
            format!("s3://{}: no region known; write region=REGION into the URL, or set AWS_REGION", url.bucket);
        return Err(StoreError::new(StoreErrorKind::Invalid, message));
    }
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(url.uses_path_style())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Ok(Client::from_conf(config))
}

async fn shared_config(url: &S3Url, credentials: Option<Credentials>, network: &Network) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Renewed::new(network))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // Bodies have timeouts of our own, and the retry layer a deadline.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(profile) = &url.profile {
        // A profile named in the URL wins over credentials in the environment.
        let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    if let Some(given) = credentials {
        let token = given.session_token.as_ref().map(|t| t.expose_secret().to_owned());
        let secret = given.secret.expose_secret();
        // Kept in memory that the SDK wipes.
        loader = loader.credentials_provider(SdkCredentials::new(given.id, secret, token, None, "given"));
    }
    if let Some(endpoint) = &url.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = region(url) {
        loader = loader.region(region);
    }
    loader.load().await
}

/// Where the region comes from; `None` is the SDK's default chain, which also asks the machine's metadata service.
fn region(url: &S3Url) -> Option<RegionProviderChain> {
    if let Some(region) = &url.region {
        return Some(RegionProviderChain::first_try(Region::new(region.clone())));
    }
    url.endpoint.as_ref()?;
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &url.profile {
        profile = profile.profile_name(name);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
    Some(chain.or_else(profile.build()).or_else(Region::from_static(DEFAULT_REGION)))
}

/// A client with no connection yet. Connections are reused and set TCP_NODELAY, which is this client's default.
fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build_https()
}
