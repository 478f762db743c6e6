//! What every request goes through: it gets a trace, its errors become pages, its answer the
//! headers, and the log one line. It does not know what is asked.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts, uri::PathAndQuery},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use service_kit::trace::{self, Span, TraceContext};
use tokio::time::error::Elapsed;

use crate::{
    deadline::Deadline,
    error::Error,
    form_body::Inputs,
    metrics::method_name,
    pages::{ErrorPage, Problem, RenderError},
    present,
    records_client::OnBehalfOf,
    return_path::ReturnPath,
    room::Place,
    session::{Reason, Session},
    site::Site,
};

/// How long a page may take from when all that was sent for it has arrived. Whatever is asked for
/// its sake, sessions, the provider or records-service, has what is left of it: more than all of them
/// take on a bad day, less than what makes people leave.
const PAGE: Duration = Duration::from_secs(6);
/// The most that is taken of a request's head, in bytes. Cookies of one session and of logins under
/// way are up to 7 KiB of it.
const HEAD_BYTES: usize = 32 * 1024;
/// How long a whole request may take, with its body, which may come over a bad mobile connection.
const LONGEST: Duration = Duration::from_secs(20);
/// How old a session is before its access token can be found not to be good. Signing keys are looked
/// for every half minute at most, and may be newer than that until then.
const KEY_IS_KNOWN_AFTER: Duration = Duration::from_mins(1);

/// One request, as far as all parts of its answer need to know.
#[derive(Debug)]
pub(crate) struct Visit {
    trace: TraceContext,
    deadline: OnceLock<Deadline>,
    session: OnceLock<Arc<Session>>,
    sent: OnceLock<Arc<Inputs>>,
    places: OnceLock<Vec<Place>>,
}

impl Visit {
    fn new(trace: TraceContext) -> Self {
        let (deadline, session) = <(OnceLock<_>, OnceLock<_>)>::default();
        let (sent, places) = <(OnceLock<_>, OnceLock<_>)>::default();
        Self { trace, deadline, session, sent, places }
    }

    /// What the request is called in the log.
    pub(crate) fn trace_id(&self) -> String {
        self.trace.trace_id()
    }

    /// Begins the time that the page may take, unless it has begun.
    pub(crate) fn begin_page(&self) {
        self.deadline();
    }

    /// When everything that the page needs must have come about. The time begins when this is
    /// first asked, if it has not begun.
    pub(crate) fn deadline(&self) -> Deadline {
        *self.deadline.get_or_init(|| Deadline::after(PAGE))
    }

    /// Remembers a form that was sent, so that a page that tells of a failure can keep what was
    /// typed.
    pub(crate) fn keep(&self, inputs: Arc<Inputs>) {
        // A request has one form.
        let _ = self.sent.set(inputs);
    }

    /// Keeps the places of the form that was sent for as long as it may be repeated.
    pub(crate) fn occupy(&self, places: Vec<Place>) {
        let _ = self.places.set(places);
    }
}

/// Somebody who is logged in. A handler that takes it is not reached by anybody else.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn {
    session: Arc<Session>,
    trace: TraceContext,
    deadline: Deadline,
}

impl LoggedIn {
    /// The session.
    #[must_use]
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The same person, for whose sake nothing is waited for longer than this.
    #[must_use]
    pub(crate) fn in_a_hurry(&self, patience: Duration) -> Self {
        Self { deadline: self.deadline.or_after(patience), ..self.clone() }
    }

    /// In whose name calls are made.
    #[must_use]
    pub(crate) fn caller(&self) -> OnBehalfOf<'_> {
        let person = self.session.person();
        OnBehalfOf {
            access_token: &person.access_token,
            organization_id: &person.organization_id,
            trace: self.trace,
            deadline: self.deadline,
        }
    }

    /// The session, if it grants a permission.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub(crate) fn with(&self, permission: &'static str) -> Result<&Session, Error> {
        if self.session.has(permission) {
            Ok(&self.session)
        } else {
            Err(Error::Forbidden(permission))
        }
    }

    /// Whoever sent these headers, or `None` where nobody is logged in.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where that cannot be found out.
    pub(crate) async fn find(
        site: &Site,
        headers: &HeaderMap,
        visit: &Visit,
    ) -> Result<Option<Self>, Error> {
        let deadline = visit.deadline();
        let Some(session) = deadline.bound(site.sessions.find(headers)).await? else {
            return Ok(None);
        };
        let session = Arc::clone(visit.session.get_or_init(|| Arc::new(session)));
        Ok(Some(Self { session, trace: visit.trace, deadline }))
    }
}

impl OptionalFromRequestParts<Arc<Site>> for LoggedIn {
    type Rejection = Error;

    async fn from_request_parts(
        parts: &mut Parts,
        site: &Arc<Site>,
    ) -> Result<Option<Self>, Error> {
        let visit = of(parts)?;
        Self::find(site, &parts.headers, &visit).await
    }
}

impl FromRequestParts<Arc<Site>> for LoggedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Error> {
        let visit = of(parts)?;
        Self::find(site, &parts.headers, &visit).await?.ok_or(Error::Unauthenticated)
    }
}

/// The visit that a request is part of.
///
/// # Errors
/// Never in a router that goes through [`observe`].
pub(crate) fn of(parts: &Parts) -> Result<Arc<Visit>, Error> {
    let visit = parts.extensions.get::<Arc<Visit>>().cloned();
    visit.ok_or_else(|| Error::Internal("a route is not part of a visit".into()))
}

/// The middleware around every route.
pub(crate) async fn observe(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let method = method_name(request.method());
    // A trace begins here. Whoever is outside could otherwise choose the reference of a page.
    let mut span = Span::server(format!("{method} {route}"), None);
    let trace = span.context();
    let visit = Arc::new(Visit::new(trace));
    request.extensions_mut().insert(Arc::clone(&visit));

    let response = trace::CURRENT.scope(trace, answer(&site, &visit, request, next)).await;

    let (status, took) = (response.status(), began.elapsed());
    site.metrics.request(method, route, status, took);
    span.set("http.request.method", method);
    span.set("http.route", route.to_owned());
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail("");
    }
    tracing::info!(
        method,
        route,
        status = status.as_u16(),
        duration_ms = (took.as_secs_f64() * 10_000.0).round() / 10.0,
        trace_id = %trace.trace_id(),
        "request"
    );
    response
}

/// What comes of a request, as it goes out.
async fn answer(site: &Site, visit: &Visit, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let target = request.uri().path_and_query().cloned();
    let mut response = if head_bytes(&request) > HEAD_BYTES {
        Error::HeadTooLarge.into_response()
    } else {
        let answered = tokio::time::timeout(LONGEST, next.run(request)).await;
        answered.unwrap_or_else(|_| Error::TimedOut(None).into_response())
    };
    if let Some(error) = response.extensions_mut().remove::<Arc<Error>>() {
        let asked = Asked { method: &method, target: target.as_ref().map(PathAndQuery::as_str) };
        let mut page = site.explain(&error, visit, &asked).await;
        // Cookies that go whatever happens, and the methods that are allowed.
        for name in [header::SET_COOKIE, header::ALLOW] {
            for value in response.headers().get_all(&name) {
                page.headers_mut().append(&name, value.clone());
            }
        }
        response = page;
    }
    site.headers.add_to(response.headers_mut());
    response
}

/// How much of a request stands before its body, but for the separators.
fn head_bytes(request: &Request) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    target + lines.sum::<usize>()
}

struct Asked<'a> {
    method: &'a Method,
    target: Option<&'a str>,
}

impl Asked<'_> {
    fn is_read(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
    }

    fn path(&self) -> Option<ReturnPath> {
        self.target.and_then(ReturnPath::parse)
    }
}

impl Site {
    /// The page of an error, or the way to the Login page where that is all that is missing.
    async fn explain(&self, error: &Error, visit: &Visit, asked: &Asked<'_>) -> Response {
        let reference = visit.trace.trace_id();
        error.log(&reference);
        let nobody = matches!(error, Error::Unauthenticated | Error::TokenRefused(_));
        if let (Error::TokenRefused(_), Some(session)) = (error, visit.session.get())
            && let Err(error) = self.end_refused(session, visit.deadline()).await
        {
            // The session would lead straight back here.
            error.log(&reference);
            return self.page_of(&error, visit, asked, &reference);
        }
        if nobody && asked.is_read() {
            let path = asked.path().map(|path| path.to_string()).unwrap_or_default();
            let path = utf8_percent_encode(&path, NON_ALPHANUMERIC);
            return Redirect::to(&format!("/?return_to={path}")).into_response();
        }
        self.page_of(error, visit, asked, &reference)
    }

    /// Ends a session whose access token records-service has refused. It may have been the one that
    /// was wrong, with keys that are older than the token: then nobody is logged out for it.
    async fn end_refused(&self, session: &Session, deadline: Deadline) -> Result<(), Error> {
        let refused =
            async { Ok::<_, Elapsed>(self.oidc.refuses(&session.person().access_token).await) };
        let is_over =
            session.age() > KEY_IS_KNOWN_AFTER && deadline.bound(refused).await.unwrap_or_default();
        if !is_over {
            return Err(Error::Unavailable("the access token may be good all the same".into()));
        }
        Ok(deadline.bound(self.sessions.end(session, Reason::Refused)).await?)
    }

    fn page_of(
        &self,
        error: &Error,
        visit: &Visit,
        asked: &Asked<'_>,
        reference: &str,
    ) -> Response {
        let problem = match error.problem() {
            Problem::LoginExpired if !asked.is_read() => Problem::LoginExpiredWhileSending,
            problem => problem,
        };
        let mut page = ErrorPage::new(&problem, reference);
        if let Error::Login { problem, wish, .. } = error {
            page = page.going_on(*problem, wish);
        } else if let Some(return_to) = match error {
            Error::LoginsRateLimited { return_to, .. } => Some(return_to.clone()),
            Error::InvalidPageToken(first) => ReturnPath::parse(first),
            _ => asked.path(),
        } {
            page = page.returning_to(return_to.as_str());
        }
        let is_over = matches!(error, Error::TokenRefused(_));
        if let Some(session) = visit.session.get().filter(|_| !is_over) {
            page = page.within(present::chrome(session));
        }
        let status =
            StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let repeating = visit.sent.get().zip(asked.path());
        let repeating = repeating
            .filter(|(inputs, _)| inputs.may_be_repeated())
            .and_then(|(inputs, path)| page.repeating(path.as_str(), inputs.iter()));
        let mut response = match self.html_of(&page, repeating, visit) {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(trace_id = reference, %error, "cannot render the error page");
                (status, format!("Something went wrong. Reference: {reference}\n")).into_response()
            }
        };
        let retry_after = match problem {
            Problem::Busy(seconds) | Problem::RateLimited(seconds) => Some(seconds),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// An error page: the one that repeats what was typed where there is one and room for it, else
    /// the one that does not, which is small and so takes none.
    fn html_of(
        &self,
        page: &ErrorPage,
        repeating: Option<ErrorPage>,
        visit: &Visit,
    ) -> Result<Bytes, RenderError> {
        if let Some(repeating) = repeating {
            let html = self.pages.render(&repeating)?;
            // Anybody can send what looks like somebody's form.
            let member = visit.session.get().map(|session| session.person());
            if let Some(held) = self.untaken.page(html, member) {
                return Ok(held);
            }
        }
        self.pages.render(page).map(Bytes::from)
    }
}

/// What becomes of a panic: a page like that of any other fault.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives it away")]
pub(crate) fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no message)");
    Error::Internal(format!("a handler panicked: {message}").into()).into_response()
}
