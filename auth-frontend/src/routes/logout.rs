//! Logging out: here first and for certain, then at the provider.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Redirect, Response},
};

use service_kit::telemetry::Chain;

use crate::{
    deadline::Deadline,
    error::Error,
    notice::Word,
    pages::{Login, Notice},
    sent_form::{self, SentForm},
    session::{Reason, Session},
    site::Site,
    visit::Visit,
};

/// `POST /auth/logout`
///
/// Nothing private is left for the Back button: pages are `no-store`, and browsers that keep such a
/// page for a while drop it when a cookie of the origin changes, as the session's does here. So
/// there is no `Clear-Site-Data`, which makes some browsers search their whole cache for seconds.
///
/// # Errors
/// [`Error::ForeignForm`], and [`Error::Unavailable`] where the session may still be there.
pub(crate) async fn logout(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Result<Response, Error> {
    let deadline = visit.deadline();
    let (person, inputs) = sent_form::read(request, &site).await?;
    let confirmed = person.map(|person| SentForm::new(person, inputs).confirm()).transpose()?;
    leave(&site, deadline, confirmed.as_ref().map(|(person, _)| person.session())).await
}

/// Ends the session, if there is one, and leads the browser to where the provider's is ended.
///
/// # Errors
/// [`Error::Unavailable`] where the session may still be there.
pub(super) async fn leave(
    site: &Site,
    deadline: Deadline,
    session: Option<&Session>,
) -> Result<Response, Error> {
    if let Some(session) = session {
        deadline.bound(site.sessions.end(session, Reason::Logout)).await?;
    }
    // Where our session has ended by itself, the provider may still know the person.
    let sid = session.and_then(|session| session.person().sid.as_deref());
    let mut response = match deadline.bound(site.oidc.logout_url(sid)).await {
        Ok(url) => Redirect::to(url.as_str()).into_response(),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "logged out here but not at the provider");
            let notice = Some(Notice::LoggedOutHereOnly);
            site.show_login(&Login { notice, ..Login::default() })?.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, site.sessions.forget());
    if headers.contains_key(header::LOCATION) {
        headers.append(header::SET_COOKIE, Word::LoggedOut.leave(site.cookies));
    }
    Ok(response)
}
