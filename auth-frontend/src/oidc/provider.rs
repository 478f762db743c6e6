//! What the provider says about itself, endpoints and keys, and the way to ask it. It does not know
//! what a login is.

use std::{pin::Pin, sync::Arc};

use openidconnect::{HttpRequest, HttpResponse, IssuerUrl, ProviderMetadataWithLogout, reqwest};
use service_kit::{
    http::{self, BodyError},
    refreshed::{FetchMetrics, Newer, Refreshed},
    telemetry::Chain,
};

/// The provider cannot be reached. Why is in the log.
#[derive(Debug, thiserror::Error)]
#[error("the provider's metadata is not available")]
pub(super) struct Unavailable;

/// A request to the provider failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// On the way.
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    /// On the way back.
    #[error("the answer cannot be read")]
    Body(#[from] BodyError),
    /// It does not speak HTTP as we know it.
    #[error("the answer is malformed")]
    Malformed(#[from] openidconnect::http::Error),
}

/// One provider.
pub(super) struct Provider {
    client: reqwest::Client,
    metadata: Arc<Refreshed<ProviderMetadataWithLogout>>,
}

impl Provider {
    pub(super) fn new(client: reqwest::Client, issuer: IssuerUrl, fetches: FetchMetrics) -> Self {
        let asked = client.clone();
        let metadata =
            Refreshed::new("metadata", fetches, move || discover(asked.clone(), issuer.clone()));
        Self { client, metadata }
    }

    /// The provider's metadata, with its keys.
    pub(super) async fn metadata(&self) -> Result<Arc<ProviderMetadataWithLogout>, Unavailable> {
        self.metadata.get().await.ok_or(Unavailable)
    }

    /// The metadata after `seen`, whose keys do not hold one that a token was signed with.
    pub(super) async fn metadata_after(
        &self,
        seen: &Arc<ProviderMetadataWithLogout>,
    ) -> Option<Arc<ProviderMetadataWithLogout>> {
        match self.metadata.newer_than(seen).await {
            Newer::Value(metadata) => Some(metadata),
            Newer::Nothing | Newer::Unavailable => None,
        }
    }

    /// The client for all requests to the provider.
    pub(super) fn http(&self) -> impl Fn(HttpRequest) -> Answer + use<> {
        let client = self.client.clone();
        move |request| Box::pin(send(client.clone(), request))
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send>>;

async fn discover(
    client: reqwest::Client,
    issuer: IssuerUrl,
) -> Option<ProviderMetadataWithLogout> {
    let http = move |request| send(client.clone(), request);
    ProviderMetadataWithLogout::discover_async(issuer.clone(), &http)
        .await
        .inspect_err(|error| {
            tracing::warn!(
                error = %Chain(error),
                issuer = issuer.as_str(),
                "cannot fetch the provider's metadata"
            );
        })
        .ok()
}

/// Like the client's own, but bounded.
async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let response = client.execute(request.try_into()?).await?;
    let mut answer = openidconnect::http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    Ok(answer.body(http::body_of(response).await?)?)
}
