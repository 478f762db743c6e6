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
    form_body::Inputs,
    login_attempt::LoginWish,
    oidc,
    pages::LoginProblem,
    return_path::ReturnPath,
    site::Site,
    visit::{LoggedIn, Visit},
};

use super::{MaybeQuery, parsed, switch};

/// Longer than names (50) and ids (24) of Auth0's organizations are, in bytes.
const ORGANIZATION_LIMIT: usize = 100;
/// Longer than Auth0's invitation tickets are, in bytes.
const INVITATION_LIMIT: usize = 512;
/// The value of `prompt` that asks for the password in any case (OpenID Connect Core §3.1.2.1).
const ASK_PASSWORD: &str = "login";
/// The value of `renew` that begins a login for who is logged in to that organization already.
const RENEW: &str = "true";

/// What a login can be begun with. Invitations of Auth0 also bring `organization_name`, which is
/// for the eyes only and not passed on.
#[derive(Debug, Deserialize)]
pub(crate) struct LoginQuery {
    organization: Option<String>,
    invitation: Option<String>,
    return_to: Option<String>,
    prompt: Option<String>,
    renew: Option<String>,
    /// The provider, where it is that who sends the person here (OpenID Connect Core §4). Auth0
    /// does so when a login was left open there for too long.
    iss: Option<String>,
}

/// `GET /auth/login`
///
/// # Errors
/// [`Error::Login`], [`Error::Invalid`], and [`Error::Unavailable`] where it cannot be found out
/// whether somebody is logged in.
pub(crate) async fn login(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    person: Option<LoggedIn>,
    headers: HeaderMap,
    query: MaybeQuery<LoginQuery>,
) -> Result<Response, Error> {
    let query = parsed(query)?;
    let is_sent_back = query.iss.as_deref().is_some_and(|iss| site.oidc.is_issuer(iss));
    let mut wish = query.wish()?;
    // The provider does not know what was asked for, and their browser does.
    if is_sent_back
        && wish == LoginWish::default()
        && let Some(last) = site.attempts.last_wish(&headers)
    {
        wish = last;
    }
    match person {
        Some(person) if !switch::begins_anew(person.session(), &wish) => {
            switch::follow(&site, person.session(), wish)
        }
        _ => begin(&site, &visit, &headers, wish).await,
    }
}

/// Sends the browser to the provider, with what it must bring back.
///
/// # Errors
/// [`Error::Login`].
pub(super) async fn begin(
    site: &Site,
    visit: &Visit,
    headers: &HeaderMap,
    wish: LoginWish,
) -> Result<Response, Error> {
    let begun = visit.deadline().bound(site.oidc.begin(wish.clone())).await;
    let (url, attempt) = begun.map_err(|error| Error::Login {
        problem: LoginProblem::ServiceDown,
        wish: Box::new(wish),
        source: Some(Box::new(error)),
    })?;
    let mut response = Redirect::to(url.as_str()).into_response();
    for cookie in site.attempts.keep(headers, &attempt) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

impl LoginQuery {
    /// From a form.
    pub(super) fn sent(inputs: &Inputs) -> Self {
        let input = |name| inputs.get(name).map(ToOwned::to_owned);
        Self {
            organization: input("organization"),
            invitation: input("invitation"),
            return_to: input("return_to"),
            prompt: input("prompt"),
            renew: None,
            iss: None,
        }
    }

    /// What it asks for.
    ///
    /// # Errors
    /// [`Error::Login`] for an organization or an invitation that cannot be one.
    pub(super) fn wish(self) -> Result<LoginWish, Error> {
        let return_to = self.return_to.as_deref().and_then(ReturnPath::parse);
        let organization = trimmed(self.organization).map(as_auth0_writes_it);
        let mut wish =
            LoginWish { return_to: return_to.unwrap_or_default(), ..LoginWish::default() };
        if organization.as_deref().is_some_and(is_no_organization) {
            let problem = LoginProblem::UnknownOrganization;
            return Err(Error::Login { problem, wish: Box::new(wish), source: None });
        }
        wish.organization = organization;
        wish.asks_password = self.prompt.as_deref() == Some(ASK_PASSWORD);
        wish.renews = self.renew.as_deref() == Some(RENEW);
        let invitation = trimmed(self.invitation);
        if invitation.as_deref().is_some_and(is_no_invitation) {
            let problem = LoginProblem::BadInvitation;
            return Err(Error::Login { problem, wish: Box::new(wish), source: None });
        }
        wish.invitation = invitation;
        Ok(wish)
    }
}

/// Whether no organization can be called this.
pub(super) fn is_no_organization(name: &str) -> bool {
    name.len() > ORGANIZATION_LIMIT || name.chars().any(char::is_control)
}

/// Whether no ticket can be this.
fn is_no_invitation(ticket: &str) -> bool {
    ticket.len() > INVITATION_LIMIT || !ticket.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Auth0's names of organizations are in lower case, and people type "Acme". Ids are kept as they
/// are.
fn as_auth0_writes_it(organization: String) -> String {
    if oidc::is_id(&organization) { organization } else { organization.to_ascii_lowercase() }
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
