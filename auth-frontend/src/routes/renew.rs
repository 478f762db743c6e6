//! Logging in once more before the session ends, without leaving the organization.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};

use crate::{
    error::Error,
    oidc::LoginWish,
    pages::Problem,
    return_path::ReturnPath,
    site::Site,
    visit::{SignedIn, Visit},
};

/// `GET /auth/renew`
///
/// The provider asks for the password where its own session is over as well. The session here goes
/// on until the new one begins.
///
/// # Errors
/// [`Error::Login`], and [`Error::Unavailable`] where it cannot be found out who asks.
pub(crate) async fn renew(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    person: Option<SignedIn>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Some(person) = person else { return Ok(Redirect::to("/").into_response()) };
    let organization = Some(person.session().person().organization_id.clone());
    let wish = LoginWish { organization, invitation: None };
    let begun = visit.deadline().bound(site.oidc.begin(wish, ReturnPath::home())).await;
    let (url, attempt) = begun.map_err(|error| Error::Login {
        problem: Problem::LoginServiceDown,
        return_to: ReturnPath::home(),
        source: Some(Box::new(error)),
    })?;
    let mut response = Redirect::to(url.as_str()).into_response();
    for cookie in site.attempts.keep(&headers, &attempt) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
