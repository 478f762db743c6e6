//! From one organization to another: ends the session here and begins a login there, which asks for
//! no password where the provider still knows the person.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use bytes::Bytes;

use crate::{
    error::Error,
    login_attempt::LoginWish,
    oidc,
    pages::{Switch, SwitchReason},
    present,
    sent_form::{self, SentForm},
    session::{Reason, Session},
    site::Site,
    visit::{LoggedIn, Visit},
};

use super::{
    MaybeQuery,
    login::{self, LoginQuery},
    parsed,
};

/// `GET /auth/switch`
///
/// # Errors
/// [`Error::Login`], [`Error::Unauthenticated`] and [`Error::Invalid`].
pub(crate) async fn ask(
    State(site): State<Arc<Site>>,
    person: LoggedIn,
    query: MaybeQuery<LoginQuery>,
) -> Result<Html<Bytes>, Error> {
    let wish = parsed(query)?.wish()?;
    let session = person.session();
    site.show(session, &page(session, wish, SwitchReason::Choice))
}

/// `POST /auth/switch`
///
/// The login begins before the session ends: while the provider is down, people stay where they
/// are. The provider is not logged out of, or it would ask for the password.
///
/// # Errors
/// [`Error::ForeignForm`], [`Error::Login`], [`Error::Invalid`], and [`Error::Unavailable`] where
/// the session may still be there.
pub(crate) async fn switch(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Result<Response, Error> {
    let headers = request.headers().clone();
    let (person, inputs) = sent_form::read(request, &site).await?;
    let mut wish = LoginQuery::sent(&inputs).wish()?;
    let Some(person) = person else {
        // The session has ended by itself, and what is left to do is to log in.
        return login::begin(&site, &visit, &headers, wish).await;
    };
    let person = match SentForm::new(person, inputs).confirm() {
        Ok((person, _)) => person,
        Err(stale) => {
            // They may be somewhere else by now than the page said.
            let session = stale.person.session();
            let page = Switch { is_stale: true, ..page(session, wish, SwitchReason::Choice) };
            return Ok((StatusCode::FORBIDDEN, site.show(session, &page)?).into_response());
        }
    };
    let session = person.session();
    if is_here(session, &wish) == Some(true) && wish.invitation.is_none() && !wish.asks_password {
        return Ok(Redirect::to(wish.return_to.as_str()).into_response());
    }
    wish.instead_of = Some(session.person().organization_name.clone());
    let mut response = login::begin(&site, &visit, &headers, wish).await?;
    visit.deadline().bound(site.sessions.end(session, Reason::Switched)).await?;
    response.headers_mut().append(header::SET_COOKIE, site.sessions.forget());
    Ok(response)
}

/// Whether a link with this wish begins a login though somebody is logged in: because they want to be
/// known as somebody else, whose password is asked for, or to log in once more where they are. Their
/// session goes on until the new one begins.
pub(super) fn begins_anew(session: &Session, wish: &LoginWish) -> bool {
    let may = match is_here(session, wish) {
        Some(true) => wish.asks_password || wish.renews,
        None => wish.asks_password,
        Some(false) => false,
    };
    may && wish.invitation.is_none()
}

/// What any other link does for somebody who is logged in: it leads on to where it points
/// in their own organization, and asks them before it leads to another. Nobody is moved by a link.
pub(super) fn follow(site: &Site, session: &Session, wish: LoginWish) -> Result<Response, Error> {
    let reason = match (&wish.invitation, is_here(session, &wish)) {
        (None, None | Some(true)) => {
            return Ok(Redirect::to(wish.return_to.as_str()).into_response());
        }
        (None, Some(false)) => SwitchReason::Link,
        (Some(_), None | Some(false)) => SwitchReason::Invitation,
        (Some(_), Some(true)) => SwitchReason::InvitationHere,
    };
    Ok(site.show(session, &page(session, wish, reason))?.into_response())
}

/// Whether a wish is for the organization of this session, where it names one.
fn is_here(session: &Session, wish: &LoginWish) -> Option<bool> {
    let person = session.person();
    let is_meant = |asked: &str| {
        oidc::is_meant(asked, &person.organization_id, Some(&person.organization_name))
    };
    wish.organization.as_deref().map(is_meant)
}

fn page(session: &Session, wish: LoginWish, reason: SwitchReason) -> Switch {
    let organization = wish.organization.unwrap_or_default();
    Switch {
        chrome: present::chrome(session),
        reason,
        is_named: !organization.is_empty() && !oidc::is_id(&organization),
        organization,
        invitation: wish.invitation,
        // Whom the provider knows is who is here already.
        asks_password: wish.asks_password || reason == SwitchReason::InvitationHere,
        return_to: wish.return_to.into(),
        is_stale: false,
    }
}
