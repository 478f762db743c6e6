//! The issuer's public keys. It does not know what a token says.

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    http::{self, BodyError},
    refreshed::{FetchMetrics, Newer, Refreshed},
    telemetry::Chain,
};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the issuer has no such key")]
    Unknown,
    #[error("the issuer's keys are not available")]
    Unavailable,
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the request failed")]
    Http(#[from] reqwest::Error),
    #[error("the answer cannot be read")]
    Body(#[from] BodyError),
    #[error("the document is not a JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    #[error("the document has no RS256 signing key")]
    Empty,
}

/// Keys are kept as JSON until each is looked at, so that one of a kind we do not know does not
/// spoil the others.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Keys by their ids.
pub(crate) type Keys = HashMap<String, Arc<DecodingKey>>;

/// Where a key set is, below its issuer.
pub(crate) const PATH: &str = ".well-known/jwks.json";

/// How many callers with an unknown key may wait for the issuer at a time. Each of them takes a
/// place among the calls in flight, and anybody can name a key that there is not: while the issuer
/// is slow, they would otherwise take all the places.
const WAITING: usize = 32;

/// The keys of one issuer.
pub(super) struct Jwks {
    keys: Arc<Refreshed<Keys>>,
    waiting: Semaphore,
}

impl Jwks {
    pub(super) fn new(client: reqwest::Client, url: Url, metrics: FetchMetrics) -> Self {
        let keys = Refreshed::new("jwks", metrics, move || fetch(client.clone(), url.clone()));
        Self { keys, waiting: Semaphore::new(WAITING) }
    }

    /// Fetches the keys again, unless they were within the last half minute for what they lacked.
    pub(super) async fn renew(&self) -> Result<(), KeyError> {
        let keys = self.keys.get().await.ok_or(KeyError::Unavailable)?;
        let _turn = self.waiting.try_acquire().map_err(|_| KeyError::Unavailable)?;
        match self.keys.newer_than(&keys).await {
            Newer::Value(_) | Newer::Nothing => Ok(()),
            Newer::Unavailable => Err(KeyError::Unavailable),
        }
    }

    /// The key with this id, fetched again where the issuer may have made it since.
    pub(super) async fn key(&self, kid: &str) -> Result<Arc<DecodingKey>, KeyError> {
        let keys = self.keys.get().await.ok_or(KeyError::Unavailable)?;
        if let Some(key) = keys.get(kid) {
            return Ok(Arc::clone(key));
        }
        let _turn = self.waiting.try_acquire().map_err(|_| KeyError::Unavailable)?;
        match self.keys.newer_than(&keys).await {
            Newer::Value(keys) => keys.get(kid).cloned().ok_or(KeyError::Unknown),
            Newer::Nothing => Err(KeyError::Unknown),
            Newer::Unavailable => Err(KeyError::Unavailable),
        }
    }
}

async fn fetch(client: reqwest::Client, url: Url) -> Option<Keys> {
    match download(&client, url.clone()).await {
        Ok(keys) => {
            tracing::debug!(keys = keys.len(), "fetched the issuer's keys");
            Some(keys)
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), %url, "cannot fetch the issuer's keys");
            None
        }
    }
}

/// The keys of a document that may sign RS256 tokens: at least one.
pub(crate) async fn download(client: &reqwest::Client, url: Url) -> Result<Keys, FetchError> {
    let response = client.get(url).send().await?.error_for_status()?;
    let set: KeySet = serde_json::from_slice(&http::body_of(response).await?)?;
    let keys: Keys = set.keys.into_iter().filter_map(signing_key).collect();
    if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
}

/// The id and key of a JWK that may sign RS256 tokens.
fn signing_key(json: serde_json::Value) -> Option<(String, Arc<DecodingKey>)> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    let for_signing = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let for_rs256 = matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::RS256));
    let is_rsa = matches!(jwk.algorithm, AlgorithmParameters::RSA(_));
    if !(for_signing && for_rs256 && is_rsa) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((jwk.common.key_id?, Arc::new(key)))
}
