//! The client of a bucket, from the settings and the SDK's chain.

use super::{Bucket, connector::Connector};
use crate::{
    https,
    storage::{Settings, settings},
};
use aws_config::{BehaviorVersion, retry::RetryConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, Region},
};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

impl Bucket {
    pub async fn new(name: &str, settings: &Settings) -> Self {
        let connector = Connector(https::Client::default());
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone())))
            .retry_config(RetryConfig::disabled());
        let settings::S3 {
            endpoint,
            region,
            credentials,
        } = settings.s3.clone();
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some((id, secret, token)) = credentials {
            loader = loader.credentials_provider(Credentials::new(id, secret, token, None, "environment"));
        }
        let chain = loader.load().await;
        let mut config = aws_sdk_s3::config::Builder::from(&chain);
        if let Some(endpoint) = endpoint {
            // Other servers than AWS rarely have a host name for each bucket.
            config = config.endpoint_url(endpoint).force_path_style(true);
        } else if ENDPOINTS
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|url| url.trim().is_empty()))
        {
            // The SDK reads the environment too, and fails on an empty variable.
            config.set_endpoint_url(None);
        }
        Self {
            client: Client::from_conf(config.build()),
            name: name.to_owned(),
            deadline: settings.timeout,
        }
    }
}
