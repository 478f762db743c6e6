//! Back-channel logout: the provider itself says that somebody's session there is over, and theirs
//! here ends with it. No browser and no cookie is involved; the signature of the token is all that
//! counts.
//!
//! Source: OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8.

use std::sync::Arc;

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use service_kit::{identity::VerifyError, telemetry::Chain};
use tokio::time::error::Elapsed;

use crate::{
    error::Error,
    form_body::Inputs,
    metrics::BackchannelOutcome,
    session::{ProviderLogout, StoreError},
    site::Site,
    visit::Visit,
};

/// The input that carries the token.
const TOKEN_INPUT: &str = "logout_token";

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the body is not a form with a logout token")]
    NoToken,
    #[error("the logout token is not accepted: {0}")]
    Token(&'static str),
    #[error("the logout token is stale")]
    Stale,
    #[error("the logout token was used before")]
    Replayed,
    #[error("the issuer's keys are not available")]
    NoKeys,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Invalid(reason) => Self::Token(reason),
            VerifyError::Expired => Self::Stale,
            VerifyError::Unavailable => Self::NoKeys,
        }
    }
}

impl From<Elapsed> for Refusal {
    fn from(_: Elapsed) -> Self {
        Self::NoKeys
    }
}

impl Refusal {
    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        matches!(self, Self::NoKeys | Self::Store(_))
    }
}

/// `POST /auth/backchannel-logout`
///
/// The standard knows two answers: 200 where the sessions are ended, 400 in any other case, with a
/// word in JSON that tells a wrong request from a failure of ours. Why is for the log alone. What is no
/// request of a provider at all, a form that is too large, does not come here.
pub(crate) async fn logout(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let trace_id = visit.trace_id();
    match end(&site, &visit, &headers, &body).await {
        Ok(sessions) => {
            site.metrics.backchannel_logout(BackchannelOutcome::Done);
            tracing::info!(trace_id, sessions, "the provider ended sessions");
            StatusCode::OK.into_response()
        }
        Err(refusal) if refusal.may_pass() => {
            site.metrics.backchannel_logout(BackchannelOutcome::Failed);
            tracing::warn!(trace_id, error = %Chain(&refusal), "back-channel logout failed");
            bad_request(r#"{"error":"temporarily_unavailable"}"#)
        }
        Err(refusal) => {
            site.metrics.backchannel_logout(BackchannelOutcome::Refused);
            tracing::warn!(trace_id, error = %Chain(&refusal), "back-channel logout refused");
            bad_request(r#"{"error":"invalid_request"}"#)
        }
    }
}

async fn end(
    site: &Site,
    visit: &Visit,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<usize, Refusal> {
    let inputs = Inputs::read(headers, body).map_err(|_: Error| Refusal::NoToken)?;
    let token = inputs.get(TOKEN_INPUT).ok_or(Refusal::NoToken)?;
    let deadline = visit.deadline();
    let verified = async { site.oidc.read_logout(token).await.map_err(Refusal::from) };
    let logout = deadline.bound(verified).await?;
    match deadline.bound(site.sessions.end_for_provider(&logout)).await? {
        ProviderLogout::Done(sessions) => Ok(sessions),
        ProviderLogout::Replayed => Err(Refusal::Replayed),
    }
}

fn bad_request(json: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}
