//! The answer that shows a page, and the room that it takes until it is read. It does not know who
//! asked for what.

use axum::response::Html;
use bytes::Bytes;

use crate::{
    error::Error,
    pages::{Login, Page},
    session::Session,
    site::Site,
};

impl Site {
    /// The answer that shows a page to who is logged in.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many large pages wait to be taken, of all, of the organization or of
    /// the person, and [`Error::Internal`] where template and page do not fit, which the tests rule
    /// out.
    pub(crate) fn show(&self, session: &Session, page: &impl Page) -> Result<Html<Bytes>, Error> {
        let html = self.pages.render(page).map_err(|error| Error::Internal(Box::new(error)))?;
        let held = self.untaken.page(html, Some(session.person()));
        held.map(Html).ok_or_else(|| self.admission.refuse())
    }

    /// The answer that shows the Login page. It is small, so the number of connections bounds it, and
    /// nothing that others leave unread keeps anybody from it.
    ///
    /// # Errors
    /// [`Error::Internal`] as above.
    pub(crate) fn show_login(&self, page: &Login) -> Result<Html<Bytes>, Error> {
        let html = self.pages.render(page).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(Html(html.into()))
    }
}
