//! A form that somebody who is logged in has sent. A handler gets at the inputs only by asking
//! whether the form is from a page of the same session.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};

use crate::{
    csrf,
    error::Error,
    form_body::Inputs,
    site::Site,
    visit::{self, SignedIn},
};

/// A form from a page of this origin, whose token is not looked at yet.
#[derive(Debug)]
pub(crate) struct SentForm {
    person: SignedIn,
    inputs: Arc<Inputs>,
}

/// A form from a page of this origin, but of another session: the person has logged in again since
/// it was opened. Nothing must be done on its word; it may be shown again.
#[derive(Debug)]
pub(crate) struct StaleForm {
    /// Who sent it.
    pub person: SignedIn,
    /// What was typed.
    pub inputs: Arc<Inputs>,
}

impl SentForm {
    /// Who sent the form and what was typed, once it is sure that it was meant.
    ///
    /// # Errors
    /// [`StaleForm`].
    pub(crate) fn confirm(self) -> Result<(SignedIn, Arc<Inputs>), StaleForm> {
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
        Ok(Self { person: person.ok_or(Error::Unauthenticated)?, inputs })
    }
}

/// A form from a page of this origin, and who is logged in, if anybody.
///
/// # Errors
/// [`Error::ForeignForm`], [`Error::TooLarge`], [`Error::Invalid`] or [`Error::Unavailable`].
pub(crate) async fn read(
    request: Request,
    site: &Site,
) -> Result<(Option<SignedIn>, Arc<Inputs>), Error> {
    let (parts, body) = request.into_parts();
    if !csrf::is_same_origin(&parts.headers, &site.origin) {
        return Err(Error::ForeignForm("it was sent by another site"));
    }
    // The body comes first even where it is of no use: browsers show an answer only when they
    // could send all they had to say.
    let inputs = Arc::new(Inputs::read(&parts.headers, body).await?);
    let visit = visit::of(&parts)?;
    // What a stranger sends is not given back.
    if site.sessions.is_claimed(&parts.headers) {
        visit.keep(Arc::clone(&inputs));
    }
    let person = SignedIn::find(site, &parts.headers, &visit).await?;
    Ok((person, inputs))
}
