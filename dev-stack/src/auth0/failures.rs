//! Failures on demand: what each endpoint does instead of its work while a test or a developer
//! wants it to fail. Its requests are counted on the way.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use serde_json::json;

use super::tenant::Tenant;

/// How often is looked whether what is held may go on.
const HOLD_INTERVAL: Duration = Duration::from_millis(10);

/// An endpoint that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`
    Discovery,
    /// `/.well-known/jwks.json`
    Jwks,
    /// `/authorize`
    Authorize,
    /// `/oauth/token`
    Token,
    /// `/userinfo`
    UserInfo,
    /// `/oidc/logout` and `/v2/logout`
    Logout,
}

/// How an endpoint fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureMode {
    /// It answers with this status and a body that is of no use.
    Status(u16),
    /// It sends whoever asks to this address, with everything that was sent.
    Redirect(String),
    /// The token endpoint does its work, and then answers with this in place of the ID token.
    IdToken(String),
    /// It does its work after this time.
    Delay(Duration),
    /// It does its work when this failure has ended, by recovery or by another one.
    Hold,
    /// It answers with this OAuth error: the authorize endpoint by sending the browser back, every
    /// other one with status 403 and a JSON body.
    OAuthError {
        /// Such as `access_denied` or `temporarily_unavailable`.
        error: String,
        /// The `error_description`.
        description: String,
    },
}

impl Endpoint {
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("discovery", Self::Discovery),
        ("jwks", Self::Jwks),
        ("authorize", Self::Authorize),
        ("token", Self::Token),
        ("userinfo", Self::UserInfo),
        ("logout", Self::Logout),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, endpoint)| endpoint)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// The middleware of one endpoint: counts the request, and fails in its place or lets it work.
pub(super) async fn interfere(
    State((tenant, endpoint)): State<(Arc<Tenant>, Endpoint)>,
    request: Request,
    next: Next,
) -> Response {
    *tenant.lock().requests.entry(endpoint).or_default() += 1;
    match tenant.failure(endpoint) {
        None | Some(FailureMode::IdToken(_)) => next.run(request).await,
        Some(FailureMode::Delay(time)) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
        Some(FailureMode::Hold) => {
            while tenant.failure(endpoint) == Some(FailureMode::Hold) {
                tokio::time::sleep(HOLD_INTERVAL).await;
            }
            next.run(request).await
        }
        Some(FailureMode::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "Failure on demand of the local Auth0").into_response()
        }
        Some(FailureMode::Redirect(address)) => Redirect::temporary(&address).into_response(),
        // It must look at the request first, to know where the browser goes.
        Some(FailureMode::OAuthError { .. }) if endpoint == Endpoint::Authorize => {
            next.run(request).await
        }
        Some(FailureMode::OAuthError { error, description }) => {
            let body = json!({ "error": error, "error_description": description });
            (StatusCode::FORBIDDEN, Json(body)).into_response()
        }
    }
}
