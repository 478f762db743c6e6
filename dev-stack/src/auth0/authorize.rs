//! `/authorize`: checks what an application asks for, and takes the browser through the login
//! pages back to the application with a code or an error.
//!
//! Source: "Authorization Code Flow with PKCE" and "Organizations" in the Auth0 docs, RFC 6749
//! section 4.1 and RFC 7636.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    failures::{Endpoint, FailureMode},
    http::{self, DEVICE_COOKIE, Parameters, SESSION_COOKIE},
    keys::random_text,
    options::{Organization, WebClient},
    pages::{self, Problem},
    tenant::{
        AuthorizationRequest, Code, Grant, SsoSession, State as Everything, Tenant, Transaction,
    },
    tokens,
};

/// The length of a SHA-256 digest in base64url without padding.
const CHALLENGE_LENGTH: usize = 43;

/// An error for the application, which the browser carries there.
pub(super) struct Refusal {
    pub(super) error: &'static str,
    pub(super) description: String,
}

impl Refusal {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }
}

/// The beginning of a login.
pub(super) async fn begin(
    State(tenant): State<Arc<Tenant>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    let (client, redirect_uri) = match destination(&tenant, &parameters) {
        Ok(destination) => destination,
        Err(problem) => return problem.render(),
    };
    let state = parameters.get("state");
    if let Some(FailureMode::OAuthError { error, description }) =
        tenant.failure(Endpoint::Authorize)
    {
        return send_back(redirect_uri, state, &error, &description);
    }
    let (request, organization) = match parse(&tenant, &parameters, client, redirect_uri) {
        Ok(parsed) => parsed,
        Err(refusal) => return send_back(redirect_uri, state, refusal.error, &refusal.description),
    };

    let everything = &mut *tenant.lock();
    let session = http::cookie(&headers, SESSION_COOKIE)
        .and_then(|value| everything.sessions.get(value))
        .filter(|session| is_fresh_enough(session, &request))
        .cloned();
    let prompts_nothing = parameters.get("prompt") == Some("none");
    match (session, organization) {
        (Some(session), Some(organization)) => {
            complete(&tenant, everything, &request, &organization, &session)
        }
        (Some(_), None) if prompts_nothing => {
            send_back(redirect_uri, state, "interaction_required", "Organization required")
        }
        (None, _) if prompts_nothing => {
            send_back(redirect_uri, state, "login_required", "Login required")
        }
        (_, organization) => {
            let known = http::cookie(&headers, DEVICE_COOKIE).filter(|value| !value.is_empty());
            let device = known.map_or_else(|| random_text(24), str::to_owned);
            let page = if organization.is_some() { "login" } else { "organization" };
            let id = everything.begin(Transaction {
                device: device.clone(),
                request,
                organization,
                authenticated: false,
                began: Instant::now(),
            });
            let mut response = http::found(&format!("/u/{page}?state={id}"));
            http::set_cookie(&mut response, DEVICE_COOKIE, &device);
            response
        }
    }
}

/// The end of a login: the browser comes here from the login page.
pub(super) async fn resume(
    State(tenant): State<Arc<Tenant>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    let id = parameters.get("state").unwrap_or_default();
    let everything = &mut *tenant.lock();
    let session = http::cookie(&headers, SESSION_COOKIE)
        .and_then(|value| everything.sessions.get(value))
        .cloned();
    let Some(transaction) = own_transaction(everything, id, &headers) else {
        return pages::no_transaction(&tenant);
    };
    match (session, transaction.organization) {
        (Some(session), Some(organization))
            if transaction.authenticated || is_fresh_enough(&session, &transaction.request) =>
        {
            everything.transactions.remove(id);
            complete(&tenant, everything, &transaction.request, &organization, &session)
        }
        (_, Some(_)) => http::found(&format!("/u/login?state={id}")),
        (_, None) => http::found(&format!("/u/organization?state={id}")),
    }
}

/// The login under way of this name, if this browser began it.
pub(super) fn own_transaction(
    everything: &Everything,
    id: &str,
    headers: &HeaderMap,
) -> Option<Transaction> {
    let device = http::cookie(headers, DEVICE_COOKIE)?;
    everything.transactions.get(id).filter(|transaction| transaction.device == device).cloned()
}

/// Who asks and where the answer may go; without both nothing is ever redirected.
fn destination<'a>(
    tenant: &'a Tenant,
    parameters: &'a Parameters,
) -> Result<(&'a WebClient, &'a str), Problem> {
    let required = |name: &str| {
        let missing = || Problem::invalid_request(format!("Missing required parameter: {name}"));
        parameters.get(name).ok_or_else(missing)
    };
    let client_id = required("client_id")?;
    let unknown = || Problem::invalid_request(format!("Unknown client: {client_id}"));
    let client = tenant.web_client(client_id).ok_or_else(unknown)?;
    let redirect_uri = required("redirect_uri")?;
    if !client.callbacks.iter().any(|allowed| allowed == redirect_uri) {
        return Err(Problem {
            status: StatusCode::FORBIDDEN,
            headline: "Callback URL mismatch.",
            detail: format!(
                "The provided redirect_uri is not in the list of allowed callback URLs: \
                 {redirect_uri}"
            ),
        });
    }
    Ok((client, redirect_uri))
}

/// The rest of the request, whose mistakes the application hears of.
fn parse(
    tenant: &Tenant,
    parameters: &Parameters,
    client: &WebClient,
    redirect_uri: &str,
) -> Result<(AuthorizationRequest, Option<Organization>), Refusal> {
    match parameters.get("response_type") {
        Some("code") => {}
        None => return Err(missing("response_type")),
        Some(other) => {
            let description = format!("Unsupported response type: {other}");
            return Err(Refusal::new("unsupported_response_type", description));
        }
    }
    if let Some(mode) = parameters.get("response_mode").filter(|mode| *mode != "query") {
        let description = format!("Unsupported response mode: {mode}");
        return Err(Refusal::new("invalid_request", description));
    }
    let challenge = parameters.get("code_challenge").ok_or_else(|| missing("code_challenge"))?;
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(Refusal::new("invalid_request", "code_challenge_method must be S256"));
    }
    if challenge.len() != CHALLENGE_LENGTH {
        return Err(Refusal::new("invalid_request", "Invalid code_challenge length"));
    }
    let audience = parameters.owned("audience");
    if let Some(audience) = audience.as_ref().filter(|known| **known != tenant.options.api.audience)
    {
        return Err(Refusal::new("access_denied", format!("Service not found: {audience}")));
    }
    let organization = parse_organization(tenant, parameters)?;
    let request = AuthorizationRequest {
        client: client.clone(),
        redirect_uri: redirect_uri.to_owned(),
        state: parameters.owned("state"),
        nonce: parameters.owned("nonce"),
        scope: parameters.owned("scope").unwrap_or_else(|| "openid profile email".to_owned()),
        audience,
        challenge: challenge.to_owned(),
        invitation: parameters.owned("invitation"),
        login_hint: parameters.owned("login_hint"),
        asks_password: parameters.get("prompt").is_some_and(|all| tokens::has_scope(all, "login")),
        max_age: parameters.get("max_age").and_then(|seconds| seconds.parse().ok()),
    };
    Ok((request, organization))
}

fn parse_organization(
    tenant: &Tenant,
    parameters: &Parameters,
) -> Result<Option<Organization>, Refusal> {
    let named = parameters.get("organization");
    let organization = named.map(|named| {
        tenant.organization(named).cloned().ok_or_else(|| {
            let problem = format!("organization {named} does not exist");
            Refusal::new("invalid_request", format!("parameter organization is invalid: {problem}"))
        })
    });
    let organization = organization.transpose()?;
    if let Some(ticket) = parameters.get("invitation") {
        let known = organization
            .as_ref()
            .is_some_and(|organization| tenant.lock().invitation(ticket, organization).is_some());
        if !known {
            return Err(Refusal::new("invalid_request", "invitation not found or already used"));
        }
    }
    Ok(organization)
}

fn missing(parameter: &str) -> Refusal {
    Refusal::new("invalid_request", format!("Missing required parameter: {parameter}"))
}

/// Whether the session may answer the request without a password. An invitation is accepted by
/// whoever logs in with it, never by who happens to be logged in.
fn is_fresh_enough(session: &SsoSession, request: &AuthorizationRequest) -> bool {
    let age = tokens::now() - session.logged_in_at;
    !request.asks_password
        && request.invitation.is_none()
        && request.max_age.is_none_or(|most| age < most)
}

/// Sends the browser back with a code, or with the error of who does not belong there.
fn complete(
    tenant: &Tenant,
    everything: &mut Everything,
    request: &AuthorizationRequest,
    organization: &Organization,
    session: &SsoSession,
) -> Response {
    if let Some(ticket) = &request.invitation
        && everything.invitation(ticket, organization).is_some()
    {
        everything.accept(ticket, &session.user);
        if let Err(error) = tenant.save(everything) {
            tracing::error!(error = %error.chain(), "membership not written to disk");
        }
    }
    let state = request.state.as_deref();
    if everything.membership(&session.user, organization).is_none() {
        let description =
            format!("user {} is not part of the {} organization", session.user.id, organization.id);
        return send_back(&request.redirect_uri, state, "access_denied", &description);
    }
    let code = random_text(32);
    let issued = Code {
        grant: Grant {
            client_id: request.client.id.clone(),
            user: session.user.clone(),
            organization: organization.clone(),
            scope: request.scope.clone(),
            audience: request.audience.clone(),
            sid: session.sid.clone(),
            auth_time: request.max_age.map(|_| session.logged_in_at),
            family: random_text(16),
        },
        redirect_uri: request.redirect_uri.clone(),
        challenge: request.challenge.clone(),
        nonce: request.nonce.clone(),
        issued: Instant::now(),
        used: false,
    };
    everything.codes.insert(code.clone(), issued);
    let ours = everything.sessions.values_mut().find(|known| known.sid == session.sid);
    if let Some(ours) = ours {
        ours.clients.insert(request.client.id.clone());
    }
    http::found(&http::with_query(
        &request.redirect_uri,
        &[("code", Some(&code)), ("state", state)],
    ))
}

fn send_back(redirect_uri: &str, state: Option<&str>, error: &str, description: &str) -> Response {
    http::found(&http::with_query(
        redirect_uri,
        &[("error", Some(error)), ("error_description", Some(description)), ("state", state)],
    ))
}
