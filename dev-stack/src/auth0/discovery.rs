//! What the provider says about itself: the OpenID Connect discovery document and the JWK set.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::tenant::Tenant;

/// The document in Auth0's shape. It lists HS256 before RS256 as Auth0 does, so that a client that
/// takes whatever is listed shows itself; endpoints we do not have are left out.
pub(super) async fn configuration(State(tenant): State<Arc<Tenant>>) -> Json<Value> {
    Json(json!({
        "issuer": tenant.issuer,
        "authorization_endpoint": tenant.url("authorize"),
        "token_endpoint": tenant.url("oauth/token"),
        "userinfo_endpoint": tenant.url("userinfo"),
        "jwks_uri": tenant.url(".well-known/jwks.json"),
        "end_session_endpoint": tenant.url("oidc/logout"),
        "scopes_supported": [
            "openid", "profile", "offline_access", "name", "given_name", "family_name",
            "nickname", "email", "email_verified", "picture", "created_at", "identities",
            "phone", "address"
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "claims_supported": [
            "aud", "auth_time", "created_at", "email", "email_verified", "exp", "family_name",
            "given_name", "iat", "identities", "iss", "name", "nickname", "phone_number",
            "picture", "sub"
        ],
        "request_uri_parameter_supported": false,
        "request_parameter_supported": false,
        "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
    }))
}

/// The keys that tokens are to be checked with.
pub(super) async fn jwks(State(tenant): State<Arc<Tenant>>) -> Json<Value> {
    Json(tenant.lock().keys.jwks())
}
