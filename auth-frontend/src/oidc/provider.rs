//! What the provider says about itself, endpoints and keys: fetched when first needed, fetched
//! again when it is old or a key is unknown, and kept for a while when the provider is down. It
//! does not know what a login is.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use openidconnect::{HttpRequest, HttpResponse, IssuerUrl, ProviderMetadataWithLogout, reqwest};
use service_kit::telemetry::Chain;
use tokio::sync::Mutex;

/// How long metadata is used before it is fetched again.
const FRESH: Duration = Duration::from_mins(10);
/// How long after [`FRESH`] it is still used while the provider does not answer.
const STALE: Duration = Duration::from_hours(1);
/// At most one fetch in this time for the sake of unknown keys.
const UNKNOWN_KEY_COOLDOWN: Duration = Duration::from_secs(30);
/// At most one fetch in this time while the provider does not answer.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(1);
/// More than any provider has to say; a longer answer is refused.
const ANSWER_LIMIT: usize = 256 * 1024;

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
    /// It has too much to say.
    #[error("the answer is longer than {ANSWER_LIMIT} bytes")]
    TooLong,
    /// It does not speak HTTP as we know it.
    #[error("the answer is malformed")]
    Malformed(#[from] openidconnect::http::Error),
}

#[derive(Default)]
struct Snapshot {
    metadata: Option<Arc<ProviderMetadataWithLogout>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
    /// When the last fetch began for a key that was not among those fetched before.
    sought: Option<Instant>,
}

impl Snapshot {
    fn younger_than(&self, age: Duration) -> Option<Arc<ProviderMetadataWithLogout>> {
        self.metadata.clone().filter(|_| self.fetched.is_some_and(|at| at.elapsed() < age))
    }
}

fn within(last: Option<Instant>, cooldown: Duration) -> bool {
    last.is_some_and(|at| at.elapsed() < cooldown)
}

/// One provider.
pub(super) struct Provider {
    http: reqwest::Client,
    issuer: IssuerUrl,
    snapshot: RwLock<Snapshot>,
    /// Held while fetching, so that many logins wait for one answer.
    fetching: Mutex<()>,
}

impl Provider {
    pub(super) fn new(http: reqwest::Client, issuer: IssuerUrl) -> Self {
        Self { http, issuer, snapshot: RwLock::default(), fetching: Mutex::new(()) }
    }

    /// The provider's metadata, with its keys.
    pub(super) async fn metadata(
        self: &Arc<Self>,
    ) -> Result<Arc<ProviderMetadataWithLogout>, Unavailable> {
        if let Some(metadata) = self.read(|snapshot| snapshot.younger_than(FRESH)) {
            return Ok(metadata);
        }
        if let Some(metadata) = self.read(|snapshot| snapshot.younger_than(FRESH + STALE)) {
            // Nobody waits for a provider that may be down while what it said last still serves.
            let provider = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(_turn) = provider.fetching.try_lock() {
                    provider.fetch_for_age().await;
                }
            });
            return Ok(metadata);
        }
        let _turn = self.fetching.lock().await;
        if let Some(metadata) = self.read(|snapshot| snapshot.younger_than(FRESH)) {
            return Ok(metadata);
        }
        self.fetch_for_age().await;
        self.read(|snapshot| snapshot.younger_than(FRESH)).ok_or(Unavailable)
    }

    /// The metadata after `seen`, whose keys do not hold one that a token was signed with: fetched
    /// again, but only once in a while for the sake of unknown keys.
    pub(super) async fn metadata_after(
        &self,
        seen: &Arc<ProviderMetadataWithLogout>,
    ) -> Option<Arc<ProviderMetadataWithLogout>> {
        let _turn = self.fetching.lock().await;
        let newer = || {
            let now = self.read(|snapshot| snapshot.metadata.clone());
            now.filter(|metadata| !Arc::ptr_eq(metadata, seen))
        };
        if newer().is_none() && !self.read(|snapshot| within(snapshot.sought, UNKNOWN_KEY_COOLDOWN))
        {
            self.write(|snapshot| snapshot.sought = Some(Instant::now()));
            self.fetch().await;
        }
        newer()
    }

    fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.write().unwrap_or_else(PoisonError::into_inner));
    }

    async fn fetch_for_age(&self) {
        if !self.read(|snapshot| within(snapshot.attempted, FAILURE_COOLDOWN)) {
            self.fetch().await;
        }
    }

    async fn fetch(&self) {
        let fetched =
            ProviderMetadataWithLogout::discover_async(self.issuer.clone(), &self.http()).await;
        let now = Some(Instant::now());
        self.write(|snapshot| snapshot.attempted = now);
        match fetched {
            Ok(metadata) => self.write(|snapshot| {
                snapshot.metadata = Some(Arc::new(metadata));
                snapshot.fetched = now;
            }),
            Err(error) => tracing::warn!(
                error = %Chain(&error),
                issuer = %self.issuer.as_str(),
                "cannot fetch the provider's metadata"
            ),
        }
    }

    /// The client for all requests to the provider.
    pub(super) fn http(
        &self,
    ) -> impl Fn(
        HttpRequest,
    )
        -> std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send>>
    + use<> {
        let client = self.http.clone();
        move |request| Box::pin(send(client.clone(), request))
    }
}

/// Like the client's own, but bounded.
async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let mut response = client.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(HttpError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    let mut answer = openidconnect::http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    Ok(answer.body(body)?)
}
