//! The ID token: what it must be to count, and what is taken from it. It does not know how it was
//! fetched, nor which organization was asked for.
//!
//! Source: OpenID Connect Core 1.0, section 3.1.3.7.

use std::time::{Duration, SystemTime};

use openidconnect::{
    AccessTokenHash, AdditionalClaims, ClaimsVerificationError, Nonce, OAuth2TokenResponse,
    SignatureVerificationError, TokenResponse, core::CoreJwsSigningAlgorithm,
};
use serde::{Deserialize, Serialize};

use super::{Auth0Client, TokenAnswer};
use crate::epoch::seconds;

/// How far the provider's clock may be ahead of ours: an ID token may be issued so much in the future.
const AHEAD: Duration = Duration::from_secs(30);

/// Claims of Auth0's ID tokens beyond the standard's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OrganizationClaims {
    pub(super) org_id: Option<String>,
    pub(super) org_name: Option<String>,
    pub(super) sid: Option<String>,
}

impl AdditionalClaims for OrganizationClaims {}

/// What a good ID token says.
pub(super) struct VerifiedClaims {
    pub(super) subject: String,
    pub(super) name: Option<String>,
    pub(super) organization: OrganizationClaims,
}

/// The claims of the ID token in `answer`, verified with the keys that `client` has.
///
/// # Errors
/// The library's own, and its `Other` in words.
pub(super) fn read(
    client: &Auth0Client,
    answer: &TokenAnswer,
    nonce: &Nonce,
) -> Result<VerifiedClaims, ClaimsVerificationError> {
    let other = |problem: &str| ClaimsVerificationError::Other(problem.to_owned());
    let latest = seconds(SystemTime::now() + AHEAD);
    let verifier = client
        .id_token_verifier()
        // The library would take whatever the provider lists, and Auth0 lists HS256: there the
        // application's secret would sign.
        .set_allowed_algs([CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256])
        // It would also take any time of issue.
        .set_issue_time_verifier_fn(move |issued| match u64::try_from(issued.timestamp()) {
            Ok(issued) if issued <= latest => Ok(()),
            _ => Err("it was issued in the future".to_owned()),
        });
    let token = answer.id_token().ok_or_else(|| other("there is no ID token"))?;
    let claims = token.claims(&verifier, nonce)?;
    // Which the library leaves to its users.
    if claims.authorized_party().is_some_and(|party| party != client.client_id()) {
        return Err(other("it was given to another client"));
    }
    if let Some(expected) = claims.access_token_hash() {
        let algorithm =
            token.signing_alg().map_err(ClaimsVerificationError::SignatureVerification)?;
        let key =
            token.signing_key(&verifier).map_err(ClaimsVerificationError::SignatureVerification)?;
        let hash = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
        if hash.ok().as_ref() != Some(expected) {
            return Err(other("the access token is not the one of the ID token"));
        }
    }
    let name = claims.name().and_then(|name| name.get(None)).map(|name| name.to_string());
    Ok(VerifiedClaims {
        subject: claims.subject().to_string(),
        name: name.filter(|name| !name.trim().is_empty()),
        organization: claims.additional_claims().clone(),
    })
}

/// Whether it may be good by newer keys.
pub(super) fn is_unknown_key(error: &ClaimsVerificationError) -> bool {
    use ClaimsVerificationError::SignatureVerification;
    matches!(error, SignatureVerification(SignatureVerificationError::NoMatchingKey))
}
