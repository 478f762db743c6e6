//! The login pages: the organization, then username and password.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    authorize::own_transaction,
    http::{self, Parameters, SESSION_COOKIE},
    keys::random_text,
    options::User,
    pages::{self, LoginPage},
    tenant::{SsoSession, Tenant, Transaction},
    tokens,
};

/// So many wrong passwords in a row close an account for a while.
const MOST_FAILURES: u32 = 10;
const CLOSED_FOR: Duration = Duration::from_mins(1);

/// `GET /u/organization`
pub(super) async fn organization_page(
    State(tenant): State<Arc<Tenant>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some((id, transaction)) = open_transaction(&tenant, query, &headers) else {
        return pages::no_transaction(&tenant);
    };
    pages::organization(StatusCode::OK, &id, &transaction.request.client.name, "", None)
}

/// `POST /u/organization`
pub(super) async fn choose_organization(
    State(tenant): State<Arc<Tenant>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Parameters::parse(&body);
    let id = form.get("state").unwrap_or_default();
    let Some(transaction) = own_transaction(&tenant.lock(), id, &headers) else {
        return pages::no_transaction(&tenant);
    };
    let typed = form.get("organization").unwrap_or_default().trim();
    let Some(organization) = tenant.organization(typed) else {
        return pages::organization(
            StatusCode::BAD_REQUEST,
            id,
            &transaction.request.client.name,
            typed,
            Some("The organization you entered does not exist"),
        );
    };
    if let Some(transaction) = tenant.lock().transactions.get_mut(id) {
        transaction.organization = Some(organization.clone());
    }
    http::found(&format!("/authorize/resume?state={id}"))
}

/// `GET /u/login`
pub(super) async fn login_page(
    State(tenant): State<Arc<Tenant>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some((id, transaction)) = open_transaction(&tenant, query, &headers) else {
        return pages::no_transaction(&tenant);
    };
    let hint = transaction.request.login_hint.clone().unwrap_or_default();
    login(StatusCode::OK, &id, &transaction, &hint, None)
}

/// `POST /u/login`
pub(super) async fn log_in(
    State(tenant): State<Arc<Tenant>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Parameters::parse(&body);
    let id = form.get("state").unwrap_or_default();
    let Some(transaction) = own_transaction(&tenant.lock(), id, &headers) else {
        return pages::no_transaction(&tenant);
    };
    let username = form.get("username").unwrap_or_default().trim();
    let password = form.get("password").unwrap_or_default();
    let user = match check_password(&tenant, username, password) {
        Ok(user) => user,
        Err((status, problem)) => return login(status, id, &transaction, username, Some(problem)),
    };

    let everything = &mut *tenant.lock();
    // A cookie from before the login is worth nothing after it.
    if let Some(old) = http::cookie(&headers, SESSION_COOKIE) {
        everything.sessions.remove(old);
    }
    let cookie = random_text(32);
    let session = SsoSession {
        user,
        sid: random_text(24),
        logged_in_at: tokens::now(),
        confirmation: random_text(24),
        clients: BTreeSet::new(),
    };
    everything.sessions.insert(cookie.clone(), session);
    if let Some(transaction) = everything.transactions.get_mut(id) {
        transaction.authenticated = true;
    }
    let mut response = http::found(&format!("/authorize/resume?state={id}"));
    http::set_cookie(&mut response, SESSION_COOKIE, &cookie);
    response
}

fn open_transaction(
    tenant: &Tenant,
    query: Option<String>,
    headers: &HeaderMap,
) -> Option<(String, Transaction)> {
    let id = Parameters::parse(query?.as_bytes()).owned("state")?;
    let transaction = own_transaction(&tenant.lock(), &id, headers)?;
    Some((id, transaction))
}

fn login(
    status: StatusCode,
    id: &str,
    transaction: &Transaction,
    username: &str,
    error: Option<&str>,
) -> Response {
    let organization = transaction.organization.as_ref();
    LoginPage {
        transaction: id,
        client: &transaction.request.client.name,
        organization: organization.map_or("your organization", |found| &found.display_name),
        username,
        is_invitation: transaction.request.invitation.is_some(),
        error,
    }
    .render(status)
}

/// The user of this name and password. Nobody learns whether the name exists.
fn check_password(
    tenant: &Tenant,
    username: &str,
    password: &str,
) -> Result<User, (StatusCode, &'static str)> {
    let everything = &mut *tenant.lock();
    let name = username.to_lowercase();
    let (failures, since) =
        everything.failed_logins.get(&name).copied().unwrap_or((0, Instant::now()));
    if failures >= MOST_FAILURES && since.elapsed() < CLOSED_FOR {
        let problem = "This account is blocked for a minute after too many wrong passwords";
        return Err((StatusCode::TOO_MANY_REQUESTS, problem));
    }
    if let Some(user) = tenant.user(username).filter(|user| user.password == password) {
        everything.failed_logins.remove(&name);
        return Ok(user.clone());
    }
    let failures = if failures >= MOST_FAILURES { 1 } else { failures + 1 };
    everything.failed_logins.insert(name, (failures, Instant::now()));
    Err((StatusCode::BAD_REQUEST, "Wrong username or password"))
}
