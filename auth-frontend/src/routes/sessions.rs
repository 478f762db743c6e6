//! The sessions of the person who is logged in: seeing them, ending one, the others, or all.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};

use crate::{
    error::Error,
    notice::Word,
    pages::{SessionsDone, YourSessions},
    present,
    sent_form::SentForm,
    session::Ended,
    site::Site,
    visit::{LoggedIn, Visit},
};

use super::logout::leave;

const PATH: &str = "/sessions";

/// `GET /sessions`
///
/// # Errors
/// See [`Error`].
pub(crate) async fn list(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    person: LoggedIn,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let session = person.session();
    let found = visit.deadline().bound(site.sessions.of_person(session)).await?;
    let one = Word::SessionEnded.take(&headers, site.cookies);
    let others = Word::OthersEnded.take(&headers, site.cookies);
    let done = match (&one, &others) {
        (Some(_), _) => Some(SessionsDone::OneEnded),
        (None, Some(_)) => Some(SessionsDone::OthersEnded),
        (None, None) => None,
    };
    let mut sessions: Vec<_> = found.into_iter().map(present::session_entry).collect();
    sessions.sort_by_key(|entry| !entry.is_this);
    let chrome = present::chrome(session);
    let page = YourSessions { chrome, done, sessions };
    let mut response = site.show(session, &page)?.into_response();
    for said in one.into_iter().chain(others) {
        response.headers_mut().append(header::SET_COOKIE, said);
    }
    Ok(response)
}

/// `POST /sessions/{handle}/end`
///
/// # Errors
/// [`Error::SessionNotFound`], for a session of somebody else as for one that never was, and the
/// others of [`Error`].
pub(crate) async fn end_one(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    handle: Result<Path<String>, PathRejection>,
    sent: SentForm,
) -> Result<Response, Error> {
    let (person, _) = sent.confirm()?;
    let Path(handle) = handle.map_err(|_| Error::SessionNotFound)?;
    let ended = site.sessions.end_one(person.session(), &handle);
    match visit.deadline().bound(ended).await? {
        Ended::Done => Ok(back(&site, Word::SessionEnded)),
        Ended::This => leave(&site, visit.deadline(), Some(person.session())).await,
        Ended::NotFound => Err(Error::SessionNotFound),
    }
}

/// `POST /sessions/end-others`
///
/// # Errors
/// See [`Error`]; some may have ended then.
pub(crate) async fn end_others(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    sent: SentForm,
) -> Result<Response, Error> {
    let (person, _) = sent.confirm()?;
    visit.deadline().bound(site.sessions.end_others(person.session())).await?;
    Ok(back(&site, Word::OthersEnded))
}

/// `POST /sessions/end-all`: the others first, so that this one is there to try again where the store
/// does not answer.
///
/// # Errors
/// See [`Error`]; some may have ended then.
pub(crate) async fn end_all(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    sent: SentForm,
) -> Result<Response, Error> {
    let (person, _) = sent.confirm()?;
    visit.deadline().bound(site.sessions.end_others(person.session())).await?;
    leave(&site, visit.deadline(), Some(person.session())).await
}

fn back(site: &Site, word: Word) -> Response {
    ([(header::SET_COOKIE, word.leave(site.cookies))], Redirect::to(PATH)).into_response()
}
