//! The beginning of a login: from the Login page, a deep link or an invitation to the provider.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use crate::{
    error::Error,
    oidc::{LoginWish, OidcError},
    pages::Problem,
    return_path::ReturnPath,
    site::Site,
    visit::Visit,
};

use super::{MaybeQuery, parsed};

/// Longer than names (50) and ids (24) of Auth0's organizations are.
const ORGANIZATION_LIMIT: usize = 100;
/// Longer than Auth0's invitation tickets are.
const INVITATION_LIMIT: usize = 512;

/// What a login can be begun with. Invitations of Auth0 also bring `organization_name`, which is
/// for the eyes only and not passed on.
#[derive(Debug, Deserialize)]
pub(crate) struct LoginQuery {
    organization: Option<String>,
    invitation: Option<String>,
    return_to: Option<String>,
}

/// `GET /auth/login`
///
/// # Errors
/// [`Error::Login`] and [`Error::Invalid`].
pub(crate) async fn login(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    headers: HeaderMap,
    query: MaybeQuery<LoginQuery>,
) -> Result<Response, Error> {
    let query = parsed(query)?;
    let return_to = query.return_to.as_deref().and_then(ReturnPath::parse);
    let return_to = return_to.unwrap_or_else(ReturnPath::home);
    let organization = trimmed(query.organization).map(as_auth0_writes_it);
    if let Some(name) = &organization
        && (name.chars().count() > ORGANIZATION_LIMIT || name.chars().any(char::is_control))
    {
        let problem = Problem::UnknownOrganization(None);
        return Err(Error::Login { problem, return_to, source: None });
    }
    let invitation = trimmed(query.invitation);
    if invitation.as_ref().is_some_and(|ticket| ticket.len() > INVITATION_LIMIT) {
        return Err(Error::Invalid("the invitation is too long"));
    }
    let wish = LoginWish { organization, invitation };
    let (url, attempt) =
        match visit.deadline().bound(site.oidc.begin(wish, return_to.clone())).await {
            Ok(begun) => begun,
            Err(error) => return Err(not_begun(error, return_to)),
        };
    let mut response = Redirect::to(url.as_str()).into_response();
    for cookie in site.attempts.keep(&headers, &attempt) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn not_begun(error: OidcError, return_to: ReturnPath) -> Error {
    let problem = Problem::LoginServiceDown;
    Error::Login { problem, return_to, source: Some(Box::new(error)) }
}

/// Auth0's names of organizations are in lower case, and people type "Acme". Ids are kept as they
/// are.
fn as_auth0_writes_it(organization: String) -> String {
    if organization.starts_with("org_") { organization } else { organization.to_ascii_lowercase() }
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
