//! What can go wrong with a request, named for what the person can do about it. It knows which page
//! and which log level belongs to each; it does not know how pages are rendered.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use service_kit::telemetry::Chain;

use crate::{
    login_attempt::LoginWish,
    pages::{LoginProblem, Problem},
    records_client::RecordsError,
    return_path::ReturnPath,
    session::StoreError,
};

/// A cause, for the log only.
pub(crate) type Source = Box<dyn StdError + Send + Sync>;

/// How long who was refused for our having too much to do waits: most people load a page anew within
/// it anyway, and a burst is over.
const BUSY_SECONDS: u32 = 5;

/// Why a request is not answered with the page that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request makes no sense.
    #[error("the request is not valid: {0}")]
    Invalid(&'static str),
    /// The page token of a list is not valid; the list begins at this path.
    #[error("the page token is not valid")]
    InvalidPageToken(&'static str),
    /// A form was sent that is not from a page of this session.
    #[error("the form does not come from a page of this session: {0}")]
    ForeignForm(&'static str),
    /// Nobody is logged in.
    #[error("nobody is logged in")]
    Unauthenticated,
    /// Somebody is logged in with an access token that serves no longer.
    #[error("the access token is not accepted any more")]
    TokenRefused(#[source] RecordsError),
    /// The person lacks a permission.
    #[error("the permission {0} is missing")]
    Forbidden(&'static str),
    /// There is no such page.
    #[error("there is no such page")]
    PageNotFound,
    /// There is no such record in the person's organization.
    #[error("there is no such record")]
    RecordNotFound,
    /// The person has no such session, or not any more.
    #[error("there is no such session")]
    SessionNotFound,
    /// The path exists, but not for this method.
    #[error("the method is not allowed")]
    MethodNotAllowed,
    /// The body is too large.
    #[error("the body is too large")]
    TooLarge,
    /// The address or the headers are too long.
    #[error("the head of the request is too large")]
    HeadTooLarge,
    /// There is too much to do; how many seconds to wait, where known.
    #[error("too many requests")]
    Throttled(Option<u32>, #[source] Source),
    /// One address logs in more often than it may.
    #[error("too many logins from one address")]
    LoginsRateLimited {
        /// How many seconds to wait.
        seconds: u32,
        /// Where the person was going.
        return_to: ReturnPath,
    },
    /// The person, or the whole organization, asks more often, or more at a time, than records-service
    /// lets them; how many seconds to wait, where known.
    #[error("too many requests of one person or organization")]
    RateLimited(Option<u32>, #[source] Source),
    /// There is no room for it: as many requests are worked on as may be, or forms or untaken pages
    /// fill theirs.
    #[error("too many requests at once")]
    Busy,
    /// Something we need is down.
    #[error("something is unavailable")]
    Unavailable(#[source] Source),
    /// It took too long.
    #[error("the time ran out")]
    TimedOut(#[source] Option<Source>),
    /// A login did not come about.
    #[error("the login was not finished")]
    Login {
        /// What the person reads.
        problem: LoginProblem,
        /// What was asked for.
        wish: Box<LoginWish>,
        /// Why.
        #[source]
        source: Option<Source>,
    },
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] Source),
}

impl Error {
    /// The page that tells it.
    #[must_use]
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Invalid(_) => Problem::BadRequest,
            Self::InvalidPageToken(_) => Problem::BadPageToken,
            Self::ForeignForm(_) => Problem::FormExpired,
            Self::Unauthenticated | Self::TokenRefused(_) => Problem::LoginExpired,
            Self::Forbidden(_) => Problem::Forbidden,
            Self::PageNotFound => Problem::PageNotFound,
            Self::RecordNotFound => Problem::RecordNotFound,
            Self::SessionNotFound => Problem::SessionNotFound,
            Self::MethodNotAllowed => Problem::MethodNotAllowed,
            Self::TooLarge => Problem::TooLarge,
            Self::HeadTooLarge => Problem::HeadTooLarge,
            Self::Throttled(seconds, _) => Problem::Busy(seconds.unwrap_or(BUSY_SECONDS)),
            Self::LoginsRateLimited { seconds, .. } => Problem::RateLimited(*seconds),
            Self::RateLimited(seconds, _) => Problem::RateLimited(seconds.unwrap_or(BUSY_SECONDS)),
            Self::Busy => Problem::Busy(BUSY_SECONDS),
            Self::Unavailable(_) => Problem::Unavailable,
            Self::TimedOut(_) => Problem::TimedOut,
            Self::Login { problem, .. } => Problem::Login(*problem),
            Self::Internal(_) => Problem::Internal,
        }
    }

    /// Writes it to the log under the reference that the person is given.
    pub(crate) fn log(&self, trace_id: &str) {
        let error = Chain(self);
        match self {
            Self::Internal(_) => tracing::error!(trace_id, %error, "request failed"),
            Self::Throttled(..)
            | Self::Unavailable(_)
            | Self::TimedOut(_)
            | Self::TokenRefused(_)
            | Self::ForeignForm(_)
            | Self::Login { source: Some(_), .. } => {
                tracing::warn!(trace_id, %error, "request failed");
            }
            // There are many of them just when there is no time to write, and the line of the
            // request says it too.
            Self::Busy => {}
            _ => tracing::info!(trace_id, %error, "request refused"),
        }
    }
}

/// The answer is only a note of the error: the page needs to know who asks, which `visit` does.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<RecordsError> for Error {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Unauthenticated(_) => Self::TokenRefused(error),
            RecordsError::Forbidden(_) => Self::Forbidden("that records-service asks for"),
            RecordsError::NotFound(_) => Self::RecordNotFound,
            RecordsError::Throttled { retry_after, .. } => {
                Self::Throttled(retry_after.map(whole_seconds), Box::new(error))
            }
            RecordsError::RateLimited { retry_after, .. } => {
                Self::RateLimited(retry_after.map(whole_seconds), Box::new(error))
            }
            // Sending the same again is right for both, and safe.
            RecordsError::Unavailable(_) | RecordsError::Conflict(_) => {
                Self::Unavailable(Box::new(error))
            }
            RecordsError::TimedOut(_) => Self::TimedOut(Some(Box::new(error))),
            RecordsError::Invalid { .. } | RecordsError::Internal(_) => {
                Self::Internal(Box::new(error))
            }
        }
    }
}

/// As `Retry-After` has it: not less than was asked for.
pub(crate) fn whole_seconds(delay: Duration) -> u32 {
    u32::try_from(delay.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}
