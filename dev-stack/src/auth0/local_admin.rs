//! `/local`: what a developer does to the local Auth0 by hand, with a browser or with curl. Nothing
//! of it exists at the real one, and it answers this machine alone unless it is told otherwise.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, HOST, ORIGIN},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::json;
use url::Url;

use super::{
    Auth0Options, Endpoint, FailureMode, Membership, backchannel,
    controls::{expire_invitations, find_organization, find_user, invite, revoke},
    http::Parameters,
    pages::{self, Escaped},
    tenant::Tenant,
};
use crate::Error;

/// The addresses, open to this machine alone unless the options say otherwise.
pub(super) fn routes(tenant: &Arc<Tenant>) -> Router<Arc<Tenant>> {
    Router::new()
        .route("/", get(overview))
        .route("/local", get(overview))
        .route("/local/{action}", post(act))
        .layer(from_fn_with_state(tenant.clone(), this_machine_only))
}

/// Refuses other machines, where these are not let in, other sites in a browser on this machine, and names that some other
/// site gave to this machine (DNS rebinding).
async fn this_machine_only(
    State(tenant): State<Arc<Tenant>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let may_ask = tenant.options.open_controls || peer.ip().to_canonical().is_loopback();
    if may_ask && is_own_page(&tenant, request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "Only for this machine").into_response()
    }
}

fn is_own_page(tenant: &Tenant, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    let name = Url::parse(&format!("http://{host}"))
        .ok()
        .and_then(|url| Some(url.host_str()?.trim_matches(['[', ']']).to_owned()));
    let Some(name) = name else { return false };
    let issuer = Url::parse(&tenant.issuer).ok();
    let is_ours = name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || issuer.is_some_and(|issuer| issuer.host_str() == Some(name.as_str()));
    is_ours && text(ORIGIN).is_none_or(|origin| origin == format!("http://{host}"))
}

/// Does one thing; every parameter comes from a form.
async fn act(
    State(tenant): State<Arc<Tenant>>,
    axum::extract::Path(action): axum::extract::Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Parameters::parse(&body);
    let done = match action.as_str() {
        "invite" => with_organization(&form, |organization| {
            invite(&tenant, organization, permissions(&form, &tenant.options))
        }),
        "expire-invitations" => expire_invitations(&tenant)
            .map(|()| "No invitation is good any more".to_owned())
            .map_err(|error| error.chain()),
        "add-member" => add_member(&tenant, &form),
        "remove-member" => remove_member(&tenant, &form),
        "rotate-keys" => change_keys(&tenant, true),
        "revoke-old-keys" => change_keys(&tenant, false),
        "token-lifetime" => set_lifetime(&tenant, &form),
        "fail" => fail(&tenant, &form),
        "recover" => {
            tenant.lock().failures.clear();
            Ok("Every endpoint works again".to_owned())
        }
        "end-sessions" => end_sessions(&tenant, &form),
        _ => return (StatusCode::NOT_FOUND, "There is no such action; see /local").into_response(),
    };
    let (status, text) = match done {
        Ok(text) => (StatusCode::OK, text),
        Err(problem) => (StatusCode::BAD_REQUEST, problem),
    };
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        let linked = if text.starts_with("http") {
            format!(r#"<a href="{0}">{0}</a>"#, Escaped(&text))
        } else {
            Escaped(&text).to_string()
        };
        let body = format!(r#"<h1>Done</h1><p>{linked}</p><p><a href="/local">Back</a></p>"#);
        let failed = format!(r#"<h1>Not done</h1><p>{linked}</p><p><a href="/local">Back</a></p>"#);
        let html = if status.is_success() { body } else { failed };
        pages::page(status, "Local controls", "", &html)
    } else {
        (status, Json(json!({ "result": text }))).into_response()
    }
}

fn with_organization(
    form: &Parameters,
    act: impl FnOnce(&str) -> Result<String, Error>,
) -> Result<String, String> {
    let organization = required(form, "organization")?;
    act(organization).map_err(|error| error.chain())
}

fn add_member(tenant: &Tenant, form: &Parameters) -> Result<String, String> {
    let username = required(form, "username")?;
    with_organization(form, |organization| {
        let membership = Membership {
            username: find_user(tenant, username)?.username.clone(),
            organization: find_organization(tenant, organization)?.id.clone(),
            permissions: permissions(form, &tenant.options),
        };
        let mut state = tenant.lock();
        state.add_member(membership);
        tenant.save(&state)?;
        Ok(format!("{username} is a member of {organization}"))
    })
}

fn remove_member(tenant: &Tenant, form: &Parameters) -> Result<String, String> {
    let username = required(form, "username")?;
    with_organization(form, |organization| {
        let user = find_user(tenant, username)?;
        let found = find_organization(tenant, organization)?;
        let mut state = tenant.lock();
        state.memberships.retain(|membership| {
            membership.username != user.username || membership.organization != found.id
        });
        tenant.save(&state)?;
        Ok(format!("{username} is not a member of {organization}"))
    })
}

fn end_sessions(tenant: &Tenant, form: &Parameters) -> Result<String, String> {
    let username = form.get("username");
    if let Some(username) = username {
        find_user(tenant, username).map_err(|error| error.chain())?;
    }
    let notices = revoke(tenant, username);
    let told = notices.len();
    backchannel::send_later(notices);
    Ok(format!("Their login sessions here are over; applications are told of {told}"))
}

fn change_keys(tenant: &Tenant, rotates: bool) -> Result<String, String> {
    let mut state = tenant.lock();
    if rotates {
        state.keys.rotate().map_err(|error| error.chain())?;
    } else {
        state.keys.revoke_previous();
    }
    tenant.save(&state).map_err(|error| error.chain())?;
    Ok(format!("Signing with key {}", state.keys.kid()))
}

fn set_lifetime(tenant: &Tenant, form: &Parameters) -> Result<String, String> {
    let seconds = number(form, "seconds")?.ok_or("the parameter seconds is missing")?;
    tenant.lock().token_lifetime = Duration::from_secs(seconds);
    Ok(format!("Access tokens are good for {seconds} s from now on"))
}

fn fail(tenant: &Tenant, form: &Parameters) -> Result<String, String> {
    let name = required(form, "endpoint")?;
    let endpoint = Endpoint::parse(name).ok_or_else(|| format!("there is no endpoint {name}"))?;
    let mode = if let Some(error) = form.owned("error") {
        let description =
            form.owned("description").unwrap_or_else(|| "Failure on demand".to_owned());
        FailureMode::OAuthError { error, description }
    } else if let Some(milliseconds) = number(form, "delay_ms")? {
        FailureMode::Delay(Duration::from_millis(milliseconds))
    } else {
        let status = number(form, "status")?.unwrap_or(500);
        FailureMode::Status(u16::try_from(status).unwrap_or(500))
    };
    tenant.lock().failures.insert(endpoint, mode);
    Ok(format!("The {name} endpoint fails until recover"))
}

/// Permissions by a form, all of them where it names none.
fn permissions(form: &Parameters, options: &Auth0Options) -> Vec<String> {
    match form.get("permissions") {
        Some(named) => named.split_ascii_whitespace().map(str::to_owned).collect(),
        None => options.api.permissions.clone(),
    }
}

fn required<'a>(form: &'a Parameters, name: &str) -> Result<&'a str, String> {
    form.get(name).ok_or_else(|| format!("the parameter {name} is missing"))
}

fn number(form: &Parameters, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = form.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("the parameter {name} is not a whole number"))
}

/// The page: who exists, and a form for everything that can be done.
async fn overview(State(tenant): State<Arc<Tenant>>) -> Response {
    let state = tenant.lock();
    let mut body = format!(
        "<h1>Local Auth0</h1><p class=\"soft\">Issuer <code>{}</code>. Everything under \
         <code>/local</code> is for development and has no counterpart at Auth0; each form works \
         with <code>curl -d name=value</code> too. Endpoints are {}.</p><h2>Members</h2><table><thead><tr>\
         <th>Organization</th><th>Username</th><th>Permissions</th></tr></thead><tbody>",
        Escaped(&tenant.issuer),
        Endpoint::ALL.map(|(name, _)| name).join(", "),
    );
    for membership in &state.memberships {
        let organization = tenant.organization(&membership.organization);
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(organization.map_or("", |found| &found.display_name)),
            Escaped(&membership.username),
            Escaped(&membership.permissions.join(" ")),
        );
    }
    body.push_str("</tbody></table>");
    for (endpoint, mode) in &state.failures {
        let mode = format!("{mode:?}");
        let _ = write!(
            body,
            "<p class=\"error\">The {} endpoint fails: {}</p>",
            endpoint.name(),
            Escaped(&mode)
        );
    }
    let _ = write!(body, "<h2>Token lifetime</h2><p>{} s</p>", state.token_lifetime.as_secs());
    for (action, label, fields) in FORMS {
        let _ = write!(body, r#"<h2>{label}</h2><form method="post" action="/local/{action}">"#);
        for field in *fields {
            let _ = write!(
                body,
                r#"<div><label for="{action}-{field}">{field}</label><input id="{action}-{field}" name="{field}"></div>"#
            );
        }
        let _ = write!(body, r#"<button type="submit">{label}</button></form>"#);
    }
    pages::page(StatusCode::OK, "Local controls", "wide", &body)
}

/// Action, label and fields.
const FORMS: &[(&str, &str, &[&str])] = &[
    ("invite", "Invite to an organization", &["organization", "permissions"]),
    ("expire-invitations", "Make all invitations too old", &[]),
    ("add-member", "Add a member", &["username", "organization", "permissions"]),
    ("remove-member", "Remove a member", &["username", "organization"]),
    ("fail", "Make an endpoint fail", &["endpoint", "status", "delay_ms", "error", "description"]),
    ("recover", "End all failures", &[]),
    ("token-lifetime", "Set the token lifetime", &["seconds"]),
    ("rotate-keys", "Rotate the signing key", &[]),
    ("revoke-old-keys", "Stop publishing old keys", &[]),
    ("end-sessions", "End the login sessions of a person, or of everybody", &["username"]),
];
