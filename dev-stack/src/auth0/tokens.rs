//! What is in the tokens: claims as Auth0 makes them for an API with RBAC and an application that
//! requires an organization.
//!
//! Source: "Access Token Profiles", "ID Token Structure" and "Work with Tokens and Organizations"
//! in the Auth0 docs.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    keys::random_text,
    options::{MachineClient, Organization},
    tenant::{Grant, State, Tenant},
};

/// Scopes that are claims about the person and not permissions of an API.
const IDENTITY_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// How long a logout token is good for.
const LOGOUT_LIFETIME: Duration = Duration::from_mins(2);

/// The header that access and ID tokens have.
pub(super) fn header(state: &State) -> Value {
    json!({ "alg": "RS256", "typ": "JWT", "kid": state.keys.kid() })
}

/// The claims of an access token for the API, for a person in an organization.
pub(super) fn user_access(tenant: &Tenant, state: &State, grant: &Grant) -> Value {
    let scope = granted_scope(tenant, state, grant);
    let mut claims = json!({
        tenant.options.name_claim.as_str(): grant.user.name,
        "iss": tenant.issuer,
        "sub": grant.user.id,
        "aud": [tenant.options.api.audience, tenant.url("userinfo")],
        "scope": scope,
        "org_id": grant.organization.id,
        "org_name": grant.organization.name,
        "azp": grant.client_id,
    });
    if !has_scope(&grant.scope, "openid") {
        claims["aud"] = json!(tenant.options.api.audience);
    }
    if tenant.options.api.rbac {
        claims["permissions"] = json!(permissions(state, grant));
    }
    with_times(claims, state.token_lifetime)
}

/// The claims of an access token for the API, for a program in an organization.
pub(super) fn machine_access(
    tenant: &Tenant,
    state: &State,
    client: &MachineClient,
    organization: Option<&Organization>,
    scopes: &[String],
) -> Value {
    let mut claims = json!({
        "iss": tenant.issuer,
        "sub": format!("{}@clients", client.id),
        "aud": tenant.options.api.audience,
        "scope": scopes.join(" "),
        "gty": "client-credentials",
        "azp": client.id,
    });
    if let Some(organization) = organization {
        claims["org_id"] = json!(organization.id);
        claims["org_name"] = json!(organization.name);
    }
    if tenant.options.api.rbac {
        claims["permissions"] = json!(scopes);
    }
    with_times(claims, state.token_lifetime)
}

/// The claims of an ID token.
pub(super) fn id(tenant: &Tenant, grant: &Grant, nonce: Option<&str>) -> Value {
    let mut claims = profile(grant);
    claims.extend([
        ("iss".to_owned(), json!(tenant.issuer)),
        ("aud".to_owned(), json!(grant.client_id)),
        ("sid".to_owned(), json!(grant.sid)),
        ("org_id".to_owned(), json!(grant.organization.id)),
        ("org_name".to_owned(), json!(grant.organization.name)),
    ]);
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    if let Some(auth_time) = grant.auth_time {
        claims.insert("auth_time".to_owned(), json!(auth_time));
    }
    with_times(Value::Object(claims), tenant.options.id_token_lifetime)
}

/// The header of logout tokens.
pub(super) fn logout_header(state: &State) -> Value {
    json!({ "alg": "RS256", "typ": "logout+jwt", "kid": state.keys.kid() })
}

/// The claims of a logout token, which is good for two minutes.
pub(super) fn logout(tenant: &Tenant, client_id: &str, subject: &str, sid: &str) -> Value {
    let claims = json!({
        "iss": tenant.issuer,
        "sub": subject,
        "aud": client_id,
        "jti": random_text(18),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        "trace_id": random_text(12),
        "sid": sid,
    });
    with_times(claims, LOGOUT_LIFETIME)
}

/// What the scopes of the grant tell about the person.
pub(super) fn profile(grant: &Grant) -> Map<String, Value> {
    let user = &grant.user;
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(user.id));
    if has_scope(&grant.scope, "profile") {
        // The one claim in which Auth0 departs from OpenID Connect: a text, not a number.
        let updated_at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        claims.insert("nickname".to_owned(), json!(user.username));
        claims.insert("name".to_owned(), json!(user.name));
        claims.insert("updated_at".to_owned(), json!(updated_at));
    }
    if has_scope(&grant.scope, "email") {
        claims.insert("email".to_owned(), json!(user.email));
        claims.insert("email_verified".to_owned(), json!(true));
    }
    claims
}

/// The scope that the person really gets: with RBAC, API permissions only where they have them.
pub(super) fn granted_scope(tenant: &Tenant, state: &State, grant: &Grant) -> String {
    let theirs = permissions(state, grant);
    let api = &tenant.options.api;
    let granted: Vec<&str> = grant
        .scope
        .split_ascii_whitespace()
        .filter(|&scope| {
            let is_permission = api.permissions.iter().any(|known| known == scope);
            IDENTITY_SCOPES.contains(&scope)
                || (is_permission && (!api.rbac || theirs.iter().any(|own| own == scope)))
        })
        .collect();
    granted.join(" ")
}

pub(super) fn has_scope(scope: &str, wanted: &str) -> bool {
    scope.split_ascii_whitespace().any(|scope| scope == wanted)
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

fn permissions(state: &State, grant: &Grant) -> Vec<String> {
    state
        .membership(&grant.user, &grant.organization)
        .map(|membership| membership.permissions.clone())
        .unwrap_or_default()
}

fn with_times(mut claims: Value, lifetime: Duration) -> Value {
    let now = now();
    claims["iat"] = json!(now);
    claims["exp"] = json!(now.saturating_add_unsigned(lifetime.as_secs()));
    claims
}
