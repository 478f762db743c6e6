//! Logging in once more before the session ends, without leaving the organization.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};

use crate::{
    error::Error,
    login_attempt::LoginWish,
    site::Site,
    visit::{LoggedIn, Visit},
};

use super::login;

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
    person: Option<LoggedIn>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Some(person) = person else { return Ok(Redirect::to("/").into_response()) };
    let organization = Some(person.session().person().organization_id.clone());
    let wish = LoginWish { organization, renews: true, ..LoginWish::default() };
    login::begin(&site, &visit, &headers, wish).await
}
