//! `/userinfo`: what the scopes of an access token tell about its person.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use super::{
    tenant::{Grant, State as Everything, Tenant},
    tokens,
};

/// `GET` and `POST /userinfo`
pub(super) async fn userinfo(State(tenant): State<Arc<Tenant>>, headers: HeaderMap) -> Response {
    let everything = tenant.lock();
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|header| header.to_str().ok())
        .and_then(|header| header.strip_prefix("Bearer "));
    let grant = token.and_then(|token| {
        opaque(&everything, token).or_else(|| signed(&tenant, &everything, token))
    });
    let Some(grant) = grant else {
        let header = [(WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)];
        return (StatusCode::UNAUTHORIZED, header, "Unauthorized").into_response();
    };
    Json(Value::Object(tokens::profile(&grant))).into_response()
}

fn opaque(everything: &Everything, token: &str) -> Option<Grant> {
    let (grant, issued) = everything.opaque_tokens.get(token)?;
    (issued.elapsed() < everything.token_lifetime).then(|| grant.clone())
}

/// The grant of a token for the API that is for this endpoint too.
fn signed(tenant: &Tenant, everything: &Everything, token: &str) -> Option<Grant> {
    let claims = everything.keys.verify(token)?;
    let userinfo = tenant.url("userinfo");
    let is_for_us = claims["aud"].as_array()?.iter().any(|audience| audience == userinfo.as_str());
    if !is_for_us
        || claims["iss"] != tenant.issuer.as_str()
        || claims["exp"].as_i64()? <= tokens::now()
    {
        return None;
    }
    let subject = claims["sub"].as_str()?;
    Some(Grant {
        client_id: claims["azp"].as_str()?.to_owned(),
        user: tenant.options.users.iter().find(|user| user.id == subject)?.clone(),
        organization: tenant.organization(claims["org_id"].as_str()?)?.clone(),
        scope: claims["scope"].as_str()?.to_owned(),
        audience: None,
        sid: String::new(),
        auth_time: None,
        family: String::new(),
    })
}
