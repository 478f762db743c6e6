//! Verifies access tokens and makes callers of them. Its rules are those of RFC 9068 and RFC 8725
//! as far as Auth0's tokens follow them.

mod logout;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use quick_cache::sync::Cache;
use serde::de::DeserializeOwned;
use url::Url;

use crate::{config::Environment, refreshed::FetchMetrics};

pub use logout::{EndedAtIssuer, Logout};

use super::{
    Caller,
    claims::{Claims, Expected},
    jwks::{self, Jwks, KeyError},
};

/// How long a verified token is remembered at most, so that a key that its issuer has withdrawn
/// does not serve for ever.
const REMEMBERED: Duration = Duration::from_mins(10);
/// A caller takes some hundred bytes, so this is a few MiB at most.
const REMEMBERED_TOKENS: usize = 10_000;
/// Auth0's tokens are a few KiB; headers beyond this would not pass most proxies either.
const TOKEN_LIMIT: usize = 16 * 1024;

/// The types of access tokens, in lower case. Some name none.
const ACCESS_TYPES: [Option<&str>; 3] = [None, Some("jwt"), Some("at+jwt")];

/// What a token must match.
#[derive(Debug, Clone)]
pub struct VerifierSettings {
    /// The exact `iss`, ending in a slash.
    pub issuer: Url,
    /// The API identifier that `aud` must hold.
    pub audience: String,
    /// The claim with the display name of a person.
    pub name_claim: String,
    /// What a person's token grants that has no `permissions` claim at all.
    pub default_permissions: BTreeSet<String>,
}

impl VerifierSettings {
    /// Reads `AUTH0_DOMAIN` or `AUTH0_ISSUER_URL`, `AUTH0_AUDIENCE`, `ACTOR_NAME_CLAIM` and
    /// `DEFAULT_PERMISSIONS`.
    pub fn from_environment(env: &mut Environment) -> Option<Self> {
        let issuer = env.issuer();
        let audience = env.required("AUTH0_AUDIENCE");
        let name_claim = env.or::<String>("ACTOR_NAME_CLAIM", "https://org-records/name")?;
        let default_permissions = env.words("DEFAULT_PERMISSIONS", "records:read records:create");
        Some(Self { issuer: issuer?, audience: audience?, name_claim, default_permissions })
    }
}

/// Why a token was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The token is not good. The reason is for the log, not for the caller.
    #[error("the access token is not valid: {0}")]
    Invalid(&'static str),
    /// The token is good no longer.
    #[error("the access token has expired")]
    Expired,
    /// Whether the token is good cannot be found out now; trying again later may help.
    #[error("the issuer's keys are not available")]
    Unavailable,
}

struct Remembered {
    caller: Arc<Caller>,
    until: Instant,
}

/// Makes callers of access tokens. It is made once and shared.
pub struct Verifier {
    settings: VerifierSettings,
    validation: Validation,
    jwks: Jwks,
    remembered: Cache<[u8; 32], Arc<Remembered>>,
}

impl Verifier {
    /// A verifier that fetches the keys when the first token comes.
    ///
    /// # Panics
    /// Never: a URL that can be a base takes a relative path.
    #[must_use]
    pub fn new(settings: VerifierSettings, http: reqwest::Client, metrics: FetchMetrics) -> Self {
        let keys_url =
            settings.issuer.join(jwks::PATH).expect("an http URL can be extended by a path");
        Self {
            validation: validation(&settings.issuer, &settings.audience, &["iss", "aud", "sub"]),
            settings,
            jwks: Jwks::new(http, keys_url, metrics),
            remembered: Cache::new(REMEMBERED_TOKENS),
        }
    }

    /// The caller whose access token this is.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>, VerifyError> {
        if token.len() > TOKEN_LIMIT {
            return Err(VerifyError::Invalid("it is too long"));
        }
        let hash = sha256(token.as_bytes());
        if let Some(remembered) = self.remembered.get(&hash)
            && remembered.until > Instant::now()
        {
            return Ok(Arc::clone(&remembered.caller));
        }
        let caller = Arc::new(self.verify_anew(token).await?);
        let left = caller.expires_at().duration_since(SystemTime::now());
        if let Ok(left) = left {
            let until = Instant::now() + left.min(REMEMBERED);
            let remembered = Remembered { caller: Arc::clone(&caller), until };
            self.remembered.insert(hash, Arc::new(remembered));
        }
        Ok(caller)
    }

    /// The same by nothing that is remembered and by keys that are half a minute old at most, for a
    /// token that somebody else has refused. Of a key that has been there for less, it may still know
    /// nothing.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_by_new_keys(&self, token: &str) -> Result<Arc<Caller>, VerifyError> {
        self.jwks.renew().await.map_err(|_| VerifyError::Unavailable)?;
        self.verify_anew(token).await.map(Arc::new)
    }

    async fn verify_anew(&self, token: &str) -> Result<Caller, VerifyError> {
        let claims: Claims = self.claims(token, &ACCESS_TYPES, &self.validation).await?;
        claims.into_caller(&Expected {
            issuer: self.settings.issuer.as_str(),
            name_claim: &self.settings.name_claim,
            default_permissions: &self.settings.default_permissions,
            now: now(),
        })
    }

    /// What a token of one of these types says, whose signature, issuer and audience are right. Of the
    /// rest it is not known yet whether it is.
    async fn claims<C: DeserializeOwned>(
        &self,
        token: &str,
        types: &[Option<&str>],
        validation: &Validation,
    ) -> Result<C, VerifyError> {
        let header =
            decode_header(token).map_err(|_| VerifyError::Invalid("its header is malformed"))?;
        if header.alg != Algorithm::RS256 {
            return Err(VerifyError::Invalid("it is not signed with RS256"));
        }
        let typ = header.typ.map(|typ| typ.to_ascii_lowercase());
        if !types.contains(&typ.as_deref()) {
            return Err(VerifyError::Invalid("it is of another type"));
        }
        // Extensions that must be understood, and none is (RFC 7515, section 4.1.11). Keys that a
        // header brings along, or tells where to find, are never looked at.
        if header.crit.is_some() {
            return Err(VerifyError::Invalid("it demands what nobody here understands"));
        }
        let kid = header.kid.ok_or(VerifyError::Invalid("it names no key"))?;
        let key = self.jwks.key(&kid).await.map_err(|error| match error {
            KeyError::Unknown => VerifyError::Invalid("its key is unknown"),
            KeyError::Unavailable => VerifyError::Unavailable,
        })?;
        let decoded = decode(token, &key, validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => VerifyError::Invalid("its signature is wrong"),
            ErrorKind::InvalidIssuer => VerifyError::Invalid("its issuer is another one"),
            ErrorKind::InvalidAudience => VerifyError::Invalid("it is for another audience"),
            _ => VerifyError::Invalid("its claims are malformed"),
        })?;
        Ok(decoded.claims)
    }
}

/// How tokens of this issuer and audience are decoded. Times are checked with the other claims.
fn validation(issuer: &Url, audience: &str, required: &[&str]) -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer.as_str()]);
    validation.set_required_spec_claims(required);
    validation
}

/// Since 1970. By a clock that has lost its way to before that, every token has expired.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::MAX)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
