//! A form that somebody who is logged in has sent. A handler gets at the inputs only by asking
//! whether the form is from a page of the same session.

use std::sync::Arc;

use axum::{
    body,
    extract::{FromRequest, Request},
    http::request::Parts,
};

use crate::{
    arrival, csrf,
    error::Error,
    form_body::Inputs,
    site::Site,
    visit::{self, LoggedIn, Visit},
};

/// A form from a page of this origin, whose token is not looked at yet.
#[derive(Debug)]
pub(crate) struct SentForm {
    person: LoggedIn,
    inputs: Arc<Inputs>,
}

/// A form from a page of this origin, but of another session: the person has logged in again since
/// it was opened. Nothing must be done on its word; it may be shown again.
#[derive(Debug)]
pub(crate) struct StaleForm {
    /// Who sent it.
    pub person: LoggedIn,
    /// What was typed.
    pub inputs: Arc<Inputs>,
}

/// Where nothing is there to be shown again, a form of another session is none.
impl From<StaleForm> for Error {
    fn from(_: StaleForm) -> Self {
        Self::ForeignForm("its token is not the session's")
    }
}

impl SentForm {
    /// A form that somebody who is logged in has sent.
    pub(crate) fn new(person: LoggedIn, inputs: Arc<Inputs>) -> Self {
        Self { person, inputs }
    }

    /// Who sent the form and what was typed, once it is sure that it was meant.
    ///
    /// # Errors
    /// [`StaleForm`].
    pub(crate) fn confirm(self) -> Result<(LoggedIn, Arc<Inputs>), StaleForm> {
        if self.person.session().is_form_token(self.inputs.get(csrf::TOKEN_INPUT)) {
            Ok((self.person, self.inputs))
        } else {
            Err(StaleForm { person: self.person, inputs: self.inputs })
        }
    }
}

impl FromRequest<Arc<Site>> for SentForm {
    type Rejection = Error;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Error> {
        let (person, inputs) = read(request, site).await?;
        Ok(Self::new(person.ok_or(Error::Unauthenticated)?, inputs))
    }
}

/// A form from a page of this origin, and who is logged in, if anybody.
///
/// # Errors
/// [`Error::ForeignForm`], [`Error::Invalid`] or [`Error::Unavailable`].
pub(crate) async fn read(
    request: Request,
    site: &Site,
) -> Result<(Option<LoggedIn>, Arc<Inputs>), Error> {
    let (parts, body) = request.into_parts();
    // It has arrived already.
    let body = body::to_bytes(body, arrival::LARGE).await;
    let body = body.map_err(|error| Error::Internal(Box::new(error)))?;
    let visit = visit::of(&parts)?;
    let inputs = receive(&parts, &body, site, &visit)?;
    // From now on it is there once, and not twice.
    drop(body);
    let person = LoggedIn::find(site, &parts.headers, &visit).await?;
    Ok((person, inputs))
}

/// The inputs of a form from a page of this origin. If somebody may be logged in who sent it, they
/// are kept for the page that says why it was not taken, should there be one; what a stranger sends
/// is not given back.
///
/// # Errors
/// [`Error::ForeignForm`] or [`Error::Invalid`].
pub(crate) fn receive(
    parts: &Parts,
    body: &[u8],
    site: &Site,
    visit: &Visit,
) -> Result<Arc<Inputs>, Error> {
    if !csrf::is_same_origin(&parts.headers, &site.origin) {
        return Err(Error::ForeignForm("it was sent by another site"));
    }
    let inputs = Arc::new(Inputs::read(&parts.headers, body)?);
    if site.sessions.is_claimed(&parts.headers) {
        visit.keep(Arc::clone(&inputs));
    }
    Ok(inputs)
}
