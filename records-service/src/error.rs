//! Everything that can go wrong in a call, named for what the caller can do about it, and its one
//! mapping to a gRPC status.

use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::Duration};

use service_kit::trace::{CURRENT, TraceContext};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::domain::record::Violation;

const DOMAIN: &str = "org-records";
/// How many bytes the violations of an answer may take.
const DETAILS_BYTES: usize = 4096;
/// How many characters of a path or a message an answer repeats.
const TEXT_LENGTH: usize = 160;

/// The limit that somebody has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitedBy {
    /// The rate of one caller.
    Caller,
    /// The rate of all callers of one organization together.
    Organization,
    /// The places that one organization may have at a time, for calls or for large answers.
    Places,
}

impl LimitedBy {
    pub(crate) const ALL: [Self; 3] = [Self::Caller, Self::Organization, Self::Places];

    /// What it is called in metrics.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Organization => "organization",
            Self::Places => "places",
        }
    }

    /// What callers are told. Only of places another process has as many again.
    fn reason(self) -> &'static str {
        match self {
            Self::Caller | Self::Organization => "RATE_LIMITED",
            Self::Places => "OVER_SHARE",
        }
    }

    /// Whose requests are too many, and in which way.
    fn whose(self) -> &'static str {
        match self {
            Self::Caller => "of this caller in a short time",
            Self::Organization => "of this organization in a short time",
            Self::Places => "of this organization at once",
        }
    }
}

/// The cause of an error, for the log only.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request must change before it is tried again.
    #[error("the request is not valid")]
    Invalid(Vec<Violation>),
    /// There is no such thing in the caller's organization.
    #[error("not found")]
    NotFound,
    /// Somebody changed the same thing at the same time: read again, then try again.
    #[error("changed by somebody else at the same time")]
    Conflict,
    /// The caller must get a valid access token of an organization.
    #[error("a valid access token of an organization is needed")]
    Unauthenticated(#[source] Option<Cause>),
    /// The caller must be given a permission.
    #[error("the permission {0} is needed")]
    Forbidden(&'static str),
    /// This process has as many calls in flight as it takes, or keeps as many large answers: try
    /// another, or this one after a while.
    #[error("too many requests at once")]
    Full,
    /// Something that we need has too much to do: try again after a while.
    #[error("too many requests at once")]
    Throttled(#[source] Cause),
    /// This caller, or its organization, calls too often or too much at a time: go on after a while,
    /// more slowly, or where it is too much at a time try another process.
    #[error("too many requests {}", .0.whose())]
    Limited(LimitedBy),
    /// Something that we need does not answer: try again after a while.
    #[error("the service is not available at the moment")]
    Unavailable(#[source] Option<Cause>),
    /// The time of the call ran out.
    #[error("the deadline was exceeded")]
    DeadlineExceeded,
    /// A fault of the service.
    #[error("an internal error occurred")]
    Internal(#[source] Cause),
}

impl Error {
    /// The request has this one fault.
    #[must_use]
    pub(crate) fn invalid(path: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { path: path.to_owned(), reason, message: message.into() }])
    }

    /// A fault of the service with this cause.
    pub(crate) fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// The code that callers see.
    #[must_use]
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::Conflict => Code::Aborted,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Forbidden(_) => Code::PermissionDenied,
            Self::Full | Self::Throttled(_) | Self::Limited(_) => Code::ResourceExhausted,
            Self::Unavailable(_) => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The limit that the caller or its organization has reached, if that is the error.
    #[must_use]
    pub(crate) fn limited_by(&self) -> Option<LimitedBy> {
        match self {
            Self::Limited(by) => Some(*by),
            _ => None,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Forbidden(_) => "PERMISSION_DENIED",
            Self::Full => "FULL",
            Self::Throttled(_) => "THROTTLED",
            Self::Limited(by) => by.reason(),
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// The status with its details. The error goes along as its source, for the log: a source is
    /// not sent.
    #[must_use]
    pub(crate) fn into_status(self) -> Status {
        let mut metadata = HashMap::new();
        if let Self::Forbidden(permission) = &self {
            metadata.insert("permission".to_owned(), (*permission).to_owned());
        }
        let mut details = ErrorDetails::with_error_info(self.reason(), DOMAIN, metadata);
        match &self {
            Self::Invalid(violations) => {
                details.set_bad_request(to_field_violations(violations));
            }
            Self::Full | Self::Throttled(_) | Self::Limited(_) | Self::Unavailable(_) => {
                details.set_retry_info(Some(Duration::from_secs(1)));
            }
            // The log has the cause under the id of the trace, and it only.
            Self::Internal(_) => {
                if let Ok(reference) = CURRENT.try_with(TraceContext::trace_id) {
                    details.set_request_info(reference, "");
                }
            }
            _ => {}
        }
        let mut status = Status::with_error_details(self.code(), self.to_string(), details);
        status.set_source(Arc::new(self));
        status
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.into_status()
    }
}

/// What fits an answer. Details travel in a trailer, and many clients take no more than 8 KiB of
/// those in base64, so an endless list would reach nobody.
fn to_field_violations(violations: &[Violation]) -> Vec<FieldViolation> {
    let mut room = DETAILS_BYTES;
    let mut named = Vec::new();
    for violation in violations {
        let field = shortened(&violation.path);
        let description = shortened(&violation.message);
        let bytes = field.len() + description.len() + violation.reason.len();
        if bytes > room {
            let description = format!("There are {} more.", violations.len() - named.len());
            named.push(FieldViolation::new("", description));
            break;
        }
        room -= bytes;
        let reason = violation.reason.to_owned();
        named.push(FieldViolation { field, description, reason, localized_message: None });
    }
    named
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_of_any_number_of_violations_fit_a_trailer() {
        let long = Violation::of_field(&"🎉".repeat(10_000), "UNKNOWN_FIELD", "x".repeat(10_000));

        let status = Error::Invalid(vec![long; 1000]).into_status();

        let details = status.get_error_details();
        let named = &details.bad_request().expect("it has violations").field_violations;
        assert!(status.details().len() < 6000, "{} bytes", status.details().len());
        assert!(named.len() > 3);
        let more = format!("There are {} more.", 1000 - (named.len() - 1));
        assert_eq!(named.last().map(|last| last.description.as_str()), Some(more.as_str()));
    }
}
