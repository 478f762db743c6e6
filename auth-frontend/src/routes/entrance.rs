//! What a request for a page goes through before its handler. It does not know which page it is.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use crate::{arrival, error::Error, sent_form, site::Site, visit};

/// The middleware around the routes of pages: waits until a form has arrived, which may have so many
/// bytes, lets the request in, and begins the time that its page may take.
pub(super) async fn admit(
    State((site, largest_form)): State<(Arc<Site>, usize)>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let visit = visit::of(&parts)?;
    if parts.method != Method::POST {
        let _admitted = site.admission.enter()?;
        visit.begin_page();
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let (form, places) = arrival::arrive(body, largest_form, &parts.headers, &site).await?;
    visit.occupy(places);
    let _admitted = site.admission.enter().inspect_err(|_| {
        // It is not lost on whom we refuse; whether it is a form at all matters no more.
        let _ = sent_form::receive(&parts, &form, &site, &visit);
    })?;
    visit.begin_page();
    Ok(next.run(Request::from_parts(parts, form.into())).await)
}
