//! What a request for a page goes through before its handler. It does not know which page it is.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use crate::{admission::Admitted, arrival, error::Error, sent_form, site::Site, visit};

/// The way in to a route.
#[derive(Clone)]
pub(super) struct Entrance {
    pub site: Arc<Site>,
    /// How many bytes of a form are taken.
    pub largest_form: usize,
    /// Whether a request counts among those for pages that are worked on at once.
    pub is_counted: bool,
}

impl Entrance {
    fn enter(&self) -> Result<Option<Admitted>, Error> {
        self.is_counted.then(|| self.site.admission.enter()).transpose()
    }
}

/// The middleware around every route: waits until a form has arrived, lets the request in, and begins
/// the time that its page may take.
pub(super) async fn admit(
    State(entrance): State<Entrance>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let site = &entrance.site;
    let (parts, body) = request.into_parts();
    let visit = visit::of(&parts)?;
    if parts.method != Method::POST {
        let _admitted = entrance.enter()?;
        visit.begin_page();
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let (form, places) = arrival::arrive(body, entrance.largest_form, &parts.headers, site).await?;
    visit.occupy(places);
    let _admitted = entrance.enter().inspect_err(|_| {
        // It is not lost on whom we refuse; whether it is a form at all matters no more.
        let _ = sent_form::receive(&parts, &form, site, &visit);
    })?;
    visit.begin_page();
    Ok(next.run(Request::from_parts(parts, form.into())).await)
}
