//! `/oauth/token`: codes, client credentials and refresh tokens become tokens.
//!
//! Source: "Get Token" in the Auth0 Authentication API; errors in the words of Auth0.

use std::{sync::Arc, time::Instant};

use aws_lc_rs::digest;
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};

use super::{
    client_auth::{self, Client},
    failures::{Endpoint, FailureMode},
    http::Parameters,
    keys::random_text,
    options::{MachineClient, WebClient},
    tenant::{Grant, RefreshToken, State as Everything, Tenant},
    tokens,
};

/// A refusal in Auth0's JSON.
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl Refusal {
    pub(super) fn new(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).expect("statuses here are written by hand");
        Self { status, error, description: description.into() }
    }

    fn invalid_grant(description: &str) -> Self {
        Self::new(403, "invalid_grant", description)
    }
}

/// `POST /oauth/token`
pub(super) async fn token(
    State(tenant): State<Arc<Tenant>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = parse(&headers, &body).and_then(|parameters| give(&tenant, &headers, &parameters));
    let no_store = [(CACHE_CONTROL, "no-store")];
    match answer {
        Ok(tokens) => (no_store, Json(tokens)).into_response(),
        Err(refusal) => {
            let body = json!({ "error": refusal.error, "error_description": refusal.description });
            (refusal.status, no_store, Json(body)).into_response()
        }
    }
}

/// Auth0 takes a form or a JSON object.
fn parse(headers: &HeaderMap, body: &Bytes) -> Result<Parameters, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        Parameters::parse_json(body)
            .ok_or_else(|| Refusal::new(400, "invalid_request", "Invalid JSON"))
    } else {
        Ok(Parameters::parse(body))
    }
}

fn give(tenant: &Tenant, headers: &HeaderMap, parameters: &Parameters) -> Result<Value, Refusal> {
    let Some(grant_type) = parameters.get("grant_type") else {
        return Err(missing("grant_type"));
    };
    let client = client_auth::authenticate(tenant, headers, parameters)?;
    match (grant_type, client) {
        ("authorization_code", Client::Web(client)) => exchange_code(tenant, client, parameters),
        ("refresh_token", Client::Web(client)) => refresh(tenant, client, parameters),
        ("client_credentials", Client::Machine(client)) => {
            client_credentials(tenant, client, parameters)
        }
        ("authorization_code" | "refresh_token" | "client_credentials", _) => Err(Refusal::new(
            403,
            "unauthorized_client",
            format!("Grant type '{grant_type}' not allowed for the client."),
        )),
        _ => Err(Refusal::new(
            403,
            "unsupported_grant_type",
            format!("Unsupported grant type: {grant_type}"),
        )),
    }
}

fn exchange_code(
    tenant: &Tenant,
    client: &WebClient,
    parameters: &Parameters,
) -> Result<Value, Refusal> {
    let code = parameters.get("code").ok_or_else(|| missing("code"))?;
    let everything = &mut *tenant.lock();
    let found = everything.codes.get_mut(code).filter(|code| code.grant.client_id == client.id);
    let Some(found) = found else {
        return Err(Refusal::invalid_grant("Invalid authorization code"));
    };
    if found.used {
        // Somebody has the code twice, so what it gave is in doubt (RFC 6749, section 4.1.2).
        let family = found.grant.family.clone();
        everything.revoke_family(&family);
        return Err(Refusal::invalid_grant("Invalid authorization code"));
    }
    // A code is for one attempt, also when the attempt fails.
    found.used = true;
    if found.issued.elapsed() >= tenant.options.code_lifetime {
        return Err(Refusal::invalid_grant("Invalid authorization code"));
    }
    let sent = parameters.get("redirect_uri").unwrap_or_default();
    if sent != found.redirect_uri {
        return Err(Refusal::invalid_grant(&format!(
            "The redirect URI is wrong. You sent {sent}, and we expected {}",
            found.redirect_uri
        )));
    }
    let verifier = parameters.get("code_verifier").unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
    if BASE64URL.encode(digest) != found.challenge {
        return Err(Refusal::invalid_grant("Failed to verify code verifier"));
    }
    let (grant, nonce) = (found.grant.clone(), found.nonce.clone());
    let tokens = tokens_for(tenant, everything, &grant, nonce.as_deref());
    let lifetime = tenant.options.code_lifetime;
    everything.codes.retain(|_, code| code.issued.elapsed() < lifetime.saturating_mul(10));
    Ok(tokens)
}

fn refresh(tenant: &Tenant, client: &WebClient, parameters: &Parameters) -> Result<Value, Refusal> {
    let token = parameters.get("refresh_token").ok_or_else(|| missing("refresh_token"))?;
    let everything = &mut *tenant.lock();
    let invalid = || Refusal::invalid_grant("Unknown or invalid refresh token.");
    let found = everything
        .refresh_tokens
        .get_mut(token)
        .filter(|token| token.grant.client_id == client.id)
        .ok_or_else(invalid)?;
    let grant = found.grant.clone();
    let is_replay = std::mem::replace(&mut found.used, true);
    if is_replay {
        everything.revoke_family(&grant.family);
        return Err(invalid());
    }
    if everything.membership(&grant.user, &grant.organization).is_none() {
        return Err(Refusal::new(
            403,
            "access_denied",
            format!(
                "user {} is not part of the {} organization",
                grant.user.id, grant.organization.id
            ),
        ));
    }
    Ok(tokens_for(tenant, everything, &grant, None))
}

/// The answer to a code or a refresh token.
fn tokens_for(
    tenant: &Tenant,
    everything: &mut Everything,
    grant: &Grant,
    nonce: Option<&str>,
) -> Value {
    let access_token = if grant.audience.is_some() {
        let claims = tokens::user_access(tenant, everything, grant);
        everything.keys.sign(&tokens::header(everything), &claims)
    } else {
        let token = random_text(32);
        everything.opaque_tokens.insert(token.clone(), (grant.clone(), Instant::now()));
        token
    };
    let mut answer = json!({
        "access_token": access_token,
        "scope": tokens::granted_scope(tenant, everything, grant),
        "expires_in": everything.token_lifetime.as_secs(),
        "token_type": "Bearer",
    });
    if tokens::has_scope(&grant.scope, "openid") {
        let claims = tokens::id(tenant, grant, nonce);
        answer["id_token"] = match everything.failures.get(&Endpoint::Token) {
            Some(FailureMode::IdToken(another)) => json!(another),
            _ => json!(everything.keys.sign(&tokens::header(everything), &claims)),
        };
    }
    if tokens::has_scope(&grant.scope, "offline_access") {
        let token = format!("v1.{}", random_text(48));
        let stored = RefreshToken { grant: grant.clone(), used: false };
        everything.refresh_tokens.insert(token.clone(), stored);
        answer["refresh_token"] = json!(token);
    }
    answer
}

fn client_credentials(
    tenant: &Tenant,
    client: &MachineClient,
    parameters: &Parameters,
) -> Result<Value, Refusal> {
    let denied = |description: String| Err(Refusal::new(403, "access_denied", description));
    let Some(audience) = parameters.get("audience") else {
        return denied("Non-global clients are not allowed access to APIv1".to_owned());
    };
    if audience != tenant.options.api.audience {
        return denied(format!("Service not found: {audience}"));
    }
    let Some(named) = parameters.get("organization") else {
        let description = "An organization is required for this client grant.";
        return Err(Refusal::new(400, "invalid_request", description));
    };
    let organization =
        tenant.organization(named).filter(|found| client.organizations.contains(&found.id));
    let Some(organization) = organization else {
        return denied(format!(
            "Client is not authorized to access resource server \"{audience}\" in organization \
             \"{named}\"."
        ));
    };
    let asked: Vec<String> = match parameters.get("scope") {
        None => client.scopes.clone(),
        Some(scope) => scope.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    let beyond: Vec<&str> =
        asked.iter().filter(|scope| !client.scopes.contains(scope)).map(String::as_str).collect();
    if !beyond.is_empty() {
        return denied(format!("Client has not been granted scopes: {}", beyond.join(", ")));
    }
    let everything = tenant.lock();
    let claims = tokens::machine_access(tenant, &everything, client, Some(organization), &asked);
    Ok(json!({
        "access_token": everything.keys.sign(&tokens::header(&everything), &claims),
        "scope": asked.join(" "),
        "expires_in": everything.token_lifetime.as_secs(),
        "token_type": "Bearer",
    }))
}

fn missing(parameter: &str) -> Refusal {
    Refusal::new(400, "invalid_request", format!("Missing required parameter: {parameter}"))
}
