//! The issuer's public keys: fetched once for many tokens, fetched again when the issuer has
//! rotated them, and kept for a while when the issuer is down. It does not know what a token says.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinHandle,
};
use url::Url;

use crate::telemetry::Chain;

/// How long keys are used before they are fetched again.
const FRESH: Duration = Duration::from_mins(10);
/// How long after [`FRESH`] keys are still used while the issuer does not answer.
const STALE: Duration = Duration::from_hours(1);
/// At most one fetch in this time for key ids that we do not know, lest a flood of them turn into
/// a flood on the issuer.
const UNKNOWN_KEY_COOLDOWN: Duration = Duration::from_secs(30);
/// At most one fetch in this time while the issuer does not answer.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(1);
/// More keys than any issuer has; a larger document is refused.
const DOCUMENT_LIMIT: usize = 256 * 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the issuer has no such key")]
    Unknown,
    #[error("the issuer's keys are not available")]
    Unavailable,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the request failed")]
    Http(#[from] reqwest::Error),
    #[error("the document is larger than {DOCUMENT_LIMIT} bytes")]
    TooLarge,
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

#[derive(Default)]
struct Snapshot {
    keys: HashMap<String, Arc<DecodingKey>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
    /// When the last fetch began for a key id that was not among fresh keys.
    sought: Option<Instant>,
}

impl Snapshot {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.fetched.is_some_and(|at| at.elapsed() < age)
    }

    /// Whether a fetch may be tried now for the sake of a key id that is not in the snapshot, or
    /// of the snapshot's age.
    fn may_fetch(&self) -> bool {
        let (last, cooldown) = if self.is_younger_than(FRESH) {
            (self.sought, UNKNOWN_KEY_COOLDOWN)
        } else {
            (self.attempted, FAILURE_COOLDOWN)
        };
        last.is_none_or(|at| at.elapsed() >= cooldown)
    }
}

/// The keys of one issuer.
pub(super) struct Jwks {
    http: reqwest::Client,
    url: Url,
    snapshot: RwLock<Snapshot>,
    /// Held while fetching, so that many callers wait for one answer.
    fetching: Arc<Mutex<()>>,
}

impl Jwks {
    pub(super) fn new(http: reqwest::Client, url: Url) -> Self {
        Self { http, url, snapshot: RwLock::default(), fetching: Arc::default() }
    }

    /// The key with this id.
    pub(super) async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<DecodingKey>, KeyError> {
        if let Some(key) = self.known(kid, FRESH) {
            return Ok(key);
        }
        if let Some(key) = self.known(kid, FRESH + STALE) {
            // Nobody waits for an issuer that may be down while an old key still serves.
            if let Ok(turn) = Arc::clone(&self.fetching).try_lock_owned() {
                self.fetch_if_due(turn);
            }
            return Ok(key);
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        if self.known(kid, FRESH).is_none()
            && let Some(fetch) = self.fetch_if_due(turn)
        {
            // A task that panicked has fetched nothing, which the next line sees.
            let _ = fetch.await;
        }
        self.known(kid, FRESH).ok_or_else(|| {
            if self.read(|snapshot| snapshot.is_younger_than(FRESH)) {
                KeyError::Unknown
            } else {
                KeyError::Unavailable
            }
        })
    }

    fn known(&self, kid: &str, age: Duration) -> Option<Arc<DecodingKey>> {
        self.read(|snapshot| {
            snapshot.is_younger_than(age).then(|| snapshot.keys.get(kid).cloned()).flatten()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches in a task of its own, unless it is too early to fetch again: a caller who gives up
    /// must not end, or hide, what all callers wait for.
    fn fetch_if_due(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> Option<JoinHandle<()>> {
        {
            let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            if !snapshot.may_fetch() {
                return None;
            }
            let now = Instant::now();
            snapshot.attempted = Some(now);
            if snapshot.is_younger_than(FRESH) {
                snapshot.sought = Some(now);
            }
        }
        let jwks = Arc::clone(self);
        Some(tokio::spawn(async move {
            let _turn = turn;
            jwks.fetch().await;
        }))
    }

    async fn fetch(&self) {
        match self.download().await {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "fetched the issuer's keys");
                let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
                snapshot.keys = keys;
                snapshot.fetched = Some(Instant::now());
            }
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    url = %self.url,
                    "cannot fetch the issuer's keys"
                );
            }
        }
    }

    async fn download(&self) -> Result<HashMap<String, Arc<DecodingKey>>, FetchError> {
        let mut response = self.http.get(self.url.clone()).send().await?.error_for_status()?;
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            document.extend_from_slice(&chunk);
            if document.len() > DOCUMENT_LIMIT {
                return Err(FetchError::TooLarge);
            }
        }
        let set: KeySet = serde_json::from_slice(&document)?;
        let keys: HashMap<_, _> = set.keys.into_iter().filter_map(signing_key).collect();
        if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
    }
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
