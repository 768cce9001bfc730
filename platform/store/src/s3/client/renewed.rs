//! The SDK's HTTP client, exchanged for a fresh one when its connections may be dead.
//!
//! The SDK's pool hands out a connection whose path has gone as readily as any other, and each attempt on one waits for its timeout. So
//! after a change of the network, and after an answer that did not come, the pool is left behind; what is under way on it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::{ConfigBag, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use parking_lot::Mutex;

use super::http_client;
use crate::network::Network;

/// A client that forgets old connections.
#[derive(Debug)]
pub(super) struct Renewed {
    network: Network,
    /// The client, and the count of changes that its connections have seen.
    current: Mutex<(u64, SharedHttpClient)>,
    /// Answers that did not come: whatever else is connected may be as dead.
    silences: Arc<AtomicU64>,
}

impl Renewed {
    /// A client with no connection yet.
    pub(super) fn new(network: &Network) -> Self {
        let current = Mutex::new((network.count(), http_client()));
        Self { network: network.clone(), current, silences: Arc::default() }
    }

    fn client(&self) -> SharedHttpClient {
        let count = self.network.count() + self.silences.load(Ordering::Relaxed);
        let mut current = self.current.lock();
        if current.0 != count {
            *current = (count, http_client());
        }
        current.1.clone()
    }
}

impl HttpClient for Renewed {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.client().http_connector(settings, components);
        SharedHttpConnector::new(Heard { inner, silences: Arc::clone(&self.silences) })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client().validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.client().validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client().connector_metadata()
    }
}

/// A connector whose silences are counted.
#[derive(Debug)]
struct Heard {
    inner: SharedHttpConnector,
    silences: Arc<AtomicU64>,
}

impl HttpConnector for Heard {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, silences) = (self.inner.call(request), Arc::clone(&self.silences));
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            if answer.as_ref().is_err_and(aws_smithy_runtime_api::client::result::ConnectorError::is_timeout) {
                silences.fetch_add(1, Ordering::Relaxed);
            }
            answer
        })
    }
}
