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
use service_kit::{
    identity::{Logout, VerifyError},
    telemetry::Chain,
    trace,
};
use tokio::{task::JoinError, time::error::Elapsed};

use crate::{
    error::Error, form_body::Inputs, metrics::BackchannelOutcome, session::StoreError, site::Site,
    visit::Visit,
};

/// The input that carries the token.
const TOKEN_INPUT: &str = "logout_token";
const FAILED: &str = r#"{"error":"temporarily_unavailable"}"#;
const REFUSED: &str = r#"{"error":"invalid_request"}"#;

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
    #[error("it broke off")]
    Broken(#[from] JoinError),
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
        matches!(self, Self::NoKeys | Self::Store(_) | Self::Broken(_))
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
    let logout = match read(&site, &visit, &headers, &body).await {
        Ok(logout) => logout,
        Err(refusal) => return refuse(&site, &visit, &refusal),
    };
    let left = visit.deadline().left();
    // A provider that hangs up drops this handler. What it has said is to be done all the same, and to
    // stand in the log. Only the provider's own words come as far as this.
    let ending = end(Arc::clone(&site), Arc::clone(&visit), logout);
    let ending = tokio::spawn(trace::CURRENT.scope(trace::CURRENT.get(), ending));
    match tokio::time::timeout(left, ending).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(broken)) => refuse(&site, &visit, &broken.into()),
        // It goes on, and says itself what came of it.
        Err(_) => bad_request(FAILED),
    }
}

/// What a request says that has ended, if it is the provider's.
async fn read(
    site: &Site,
    visit: &Visit,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Logout, Refusal> {
    let inputs = Inputs::read(headers, body).map_err(|_: Error| Refusal::NoToken)?;
    let token = inputs.get(TOKEN_INPUT).ok_or(Refusal::NoToken)?;
    let verified = async { site.oidc.read_logout(token).await.map_err(Refusal::from) };
    visit.deadline().bound(verified).await
}

async fn end(site: Arc<Site>, visit: Arc<Visit>, logout: Logout) -> Response {
    let ended = async {
        if !site.sessions.hear_provider(&logout).await? {
            return Err(Refusal::Replayed);
        }
        // What is written down decides already, so the rest may wait.
        let _place = site.admission.enter_with_word().await;
        Ok(site.sessions.end_for_provider(&logout).await?)
    };
    match ended.await {
        Ok(sessions) => {
            site.metrics.backchannel_logout(BackchannelOutcome::Done);
            tracing::info!(trace_id = visit.trace_id(), sessions, "the provider ended sessions");
            StatusCode::OK.into_response()
        }
        Err(refusal) => refuse(&site, &visit, &refusal),
    }
}

fn refuse(site: &Site, visit: &Visit, refusal: &Refusal) -> Response {
    let trace_id = visit.trace_id();
    if refusal.may_pass() {
        site.metrics.backchannel_logout(BackchannelOutcome::Failed);
        tracing::warn!(trace_id, error = %Chain(refusal), "back-channel logout failed");
        bad_request(FAILED)
    } else {
        site.metrics.backchannel_logout(BackchannelOutcome::Refused);
        tracing::warn!(trace_id, error = %Chain(refusal), "back-channel logout refused");
        bad_request(REFUSED)
    }
}

fn bad_request(json: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}
