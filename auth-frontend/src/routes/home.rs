//! The start: the Login page for who is not logged in, and Home for who is.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use service_kit::telemetry::Chain;

use crate::{
    error::Error,
    notice::Word,
    pages::{Home, Login, Notice, RecentRecord},
    permission, present,
    records_client::RecordsError,
    return_path::ReturnPath,
    site::Site,
    visit::LoggedIn,
};

use super::{MaybeQuery, login::is_no_organization, parsed};

/// How many records Home shows.
const LATEST: i32 = 5;
/// How long Home waits for them, which is less than for a page that is about records.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What the Login page can be opened with.
#[derive(Debug, Deserialize)]
pub(crate) struct StartQuery {
    return_to: Option<String>,
    organization: Option<String>,
}

/// `GET /`
///
/// # Errors
/// [`Error::Unavailable`] where it cannot be found out who asks, and [`Error::Invalid`].
pub(crate) async fn start(
    State(site): State<Arc<Site>>,
    person: Option<LoggedIn>,
    headers: HeaderMap,
    query: MaybeQuery<StartQuery>,
) -> Result<Response, Error> {
    let query = parsed(query)?;
    let return_to = query.return_to.as_deref().and_then(ReturnPath::parse);
    if person.is_some() {
        let path = return_to.unwrap_or_else(ReturnPath::home);
        return Ok(Redirect::to(path.as_str()).into_response());
    }
    let logged_out = Word::LoggedOut.take(&headers, site.cookies);
    // Nobody is logged in, so what looks like a session is one that has ended.
    let ended = site.sessions.is_claimed(&headers).then(|| site.sessions.forget());
    let notice = if logged_out.is_some() {
        Some(Notice::LoggedOut)
    } else if ended.is_some() {
        Some(Notice::SessionExpired)
    } else {
        return_to.as_ref().map(|_| Notice::LoginNeeded)
    };
    let page = Login {
        organization: query
            .organization
            .filter(|name| !is_no_organization(name))
            .unwrap_or_default(),
        notice,
        return_to: return_to.map(String::from),
    };
    let mut response = site.show_login(&page)?.into_response();
    for cookie in logged_out.into_iter().chain(ended) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `GET /home`
///
/// # Errors
/// See [`Error`]. That records cannot be fetched keeps nobody from the rest of the page.
pub(crate) async fn home(
    State(site): State<Arc<Site>>,
    person: LoggedIn,
) -> Result<Html<Bytes>, Error> {
    let latest = if person.session().has(permission::READ_RECORDS) {
        match latest(&site, &person.in_a_hurry(PATIENCE)).await {
            Ok(latest) => Some(latest),
            Err(error @ RecordsError::Unauthenticated(_)) => return Err(error.into()),
            Err(error) => {
                let trace_id = person.caller().trace.trace_id();
                tracing::warn!(trace_id, error = %Chain(&error), "no records for Home");
                None
            }
        }
    } else {
        None
    };
    let session = person.session();
    site.show(session, &Home { chrome: present::chrome(session), latest })
}

async fn latest(site: &Site, person: &LoggedIn) -> Result<Vec<RecentRecord>, RecordsError> {
    let caller = person.caller();
    let (list, form) = tokio::try_join!(
        site.records.list_records(caller, LATEST, String::new()),
        site.forms.get(caller),
    )?;
    Ok(list.records.into_iter().map(|record| present::recent(record, &form)).collect())
}
