//! `/oidc/logout` and `/v2/logout`: the end of the login session, of which all applications hear
//! that were logged in to.
//!
//! Source: "Log Users Out of Auth0 with OIDC Endpoint" in the Auth0 docs.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    backchannel,
    http::{self, Parameters, SESSION_COOKIE},
    options::WebClient,
    pages::{self, Escaped, Problem},
    tenant::{SsoSession, Tenant},
};

/// `GET /oidc/logout`
pub(super) async fn oidc(
    State(tenant): State<Arc<Tenant>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    end(&tenant, &headers, &Parameters::parse(query.unwrap_or_default().as_bytes()))
}

/// `POST /oidc/logout`, from the confirmation page or from an application.
pub(super) async fn oidc_form(
    State(tenant): State<Arc<Tenant>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    end(&tenant, &headers, &Parameters::parse(&body))
}

/// `GET /v2/logout`, which asks nothing.
pub(super) async fn v2(
    State(tenant): State<Arc<Tenant>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    let client = parameters.get("client_id").and_then(|id| tenant.web_client(id));
    match allowed(&tenant, client, parameters.get("returnTo"), "returnTo") {
        Ok(destination) => finish(&tenant, &headers, destination, None),
        Err(problem) => problem.render(),
    }
}

fn end(tenant: &Tenant, headers: &HeaderMap, parameters: &Parameters) -> Response {
    // Whether the token has expired does not matter: it only says who and which session.
    let hint = parameters.get("id_token_hint").and_then(|token| tenant.lock().keys.verify(token));
    let of_hint = |claim: &str| hint.as_ref().and_then(|claims| claims[claim].as_str());
    let client =
        parameters.get("client_id").or(of_hint("aud")).and_then(|id| tenant.web_client(id));
    let asked = parameters.get("post_logout_redirect_uri");
    let destination = match allowed(tenant, client, asked, "post_logout_redirect_uri") {
        Ok(destination) => destination,
        Err(problem) => return problem.render(),
    };
    let session = http::cookie(headers, SESSION_COOKIE)
        .and_then(|value| tenant.lock().sessions.get(value).cloned());
    if let Some(session) = session {
        let hinted = parameters.get("logout_hint").or(of_hint("sid"));
        let is_meant = hinted == Some(session.sid.as_str());
        let is_confirmed = parameters.get("confirmation") == Some(session.confirmation.as_str());
        if !is_meant && !is_confirmed {
            return confirm(&session, parameters);
        }
    }
    finish(tenant, headers, destination, parameters.get("state"))
}

/// Where the browser may go afterwards.
fn allowed<'a>(
    tenant: &Tenant,
    client: Option<&WebClient>,
    asked: Option<&'a str>,
    parameter: &str,
) -> Result<Option<&'a str>, Problem> {
    let Some(asked) = asked else { return Ok(None) };
    let of_client = |client: &WebClient| client.logout_urls.iter().any(|known| known == asked);
    let is_allowed = match client {
        Some(client) => of_client(client),
        // Auth0 then looks at the tenant's own list.
        None => tenant.options.web_clients.iter().any(of_client),
    };
    if is_allowed {
        return Ok(Some(asked));
    }
    Err(Problem::invalid_request(format!(
        "The {parameter} parameter is not in the list of allowed logout URLs: {asked}"
    )))
}

fn finish(
    tenant: &Tenant,
    headers: &HeaderMap,
    destination: Option<&str>,
    state: Option<&str>,
) -> Response {
    if let Some(value) = http::cookie(headers, SESSION_COOKIE) {
        let mut state = tenant.lock();
        let ended = state.sessions.remove(value);
        let notices = backchannel::notices(tenant, &state, ended.as_slice());
        drop(state);
        backchannel::send_later(notices);
    }
    let mut response = match destination {
        Some(destination) => http::found(&http::with_query(destination, &[("state", state)])),
        None => pages::notice("You are logged out", "You can close this page."),
    };
    http::remove_cookie(&mut response, SESSION_COOKIE);
    response
}

/// Somebody is logged in and the request does not say it means that session, so a person decides:
/// otherwise any page of the web could log people out.
fn confirm(session: &SsoSession, parameters: &Parameters) -> Response {
    let mut fields = String::new();
    for name in ["client_id", "id_token_hint", "post_logout_redirect_uri", "state"] {
        if let Some(value) = parameters.get(name) {
            fields.push_str(&hidden(name, value));
        }
    }
    fields.push_str(&hidden("confirmation", &session.confirmation));
    let body = format!(
        r#"<h1>Do you want to log out?</h1>
<p>You are logged in as {}.</p>
<form method="post" action="/oidc/logout">
{fields}<button type="submit">Log out</button>
</form>"#,
        Escaped(&session.user.name),
    );
    pages::page(StatusCode::OK, "Log out", "", &body)
}

fn hidden(name: &str, value: &str) -> String {
    format!(r#"<input type="hidden" name="{name}" value="{}">"#, Escaped(value))
}
