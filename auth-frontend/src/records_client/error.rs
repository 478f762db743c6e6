//! Why a call to records-service did not succeed, named for what the person can do about it. It does
//! not know how calls are made.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The reasons by which records-service tells a caller or organization that asks too often, or has its
/// share of a replica, from what is too much for it.
const RATE_LIMITED: &str = "RATE_LIMITED";
pub(super) const OVER_SHARE: &str = "OVER_SHARE";

/// Whether this is the reason that records-service gives.
pub(super) fn has_reason(status: &Status, reason: &str) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == reason)
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The path of the field in the request, such as `record.fields[title]`.
    pub path: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// The access token is not accepted.
    #[error("records-service does not accept the access token")]
    Unauthenticated(#[source] Box<Status>),
    /// The access token lacks a permission.
    #[error("records-service denies the permission")]
    Forbidden(#[source] Box<Status>),
    /// There is no such thing in the person's organization.
    #[error("records-service does not find it")]
    NotFound(#[source] Box<Status>),
    /// What was sent is not valid. The status is no source, lest it bring what people typed into
    /// the log.
    #[error("records-service does not take what was sent")]
    Invalid {
        /// All that is wrong.
        violations: Vec<Violation>,
    },
    /// Somebody changed the same thing at the same time.
    #[error("records-service reports a conflict")]
    Conflict(#[source] Box<Status>),
    /// There is too much to do.
    #[error("records-service is throttling")]
    Throttled {
        /// How long to wait before the next attempt.
        retry_after: Option<Duration>,
        /// What it said.
        #[source]
        status: Box<Status>,
    },
    /// The person, or the whole organization, asks too often, or too much at a time.
    #[error("records-service takes no more of this person or organization for now")]
    RateLimited {
        /// How long to wait before the next attempt.
        retry_after: Option<Duration>,
        /// What it said.
        #[source]
        status: Box<Status>,
    },
    /// It cannot be reached, or cannot reach what it needs.
    #[error("records-service is unavailable")]
    Unavailable(#[source] Box<Status>),
    /// The deadline has passed.
    #[error("records-service did not answer in time")]
    TimedOut(#[source] Box<Status>),
    /// A fault of either side.
    #[error("records-service failed")]
    Internal(#[source] Box<Status>),
}

impl From<Status> for RecordsError {
    fn from(status: Status) -> Self {
        let status = Box::new(status);
        match status.code() {
            Code::Unauthenticated => Self::Unauthenticated(status),
            Code::PermissionDenied => Self::Forbidden(status),
            Code::NotFound => Self::NotFound(status),
            Code::InvalidArgument => Self::Invalid { violations: violations(&status) },
            Code::Aborted => Self::Conflict(status),
            Code::ResourceExhausted => {
                let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                if [RATE_LIMITED, OVER_SHARE].iter().any(|reason| has_reason(&status, reason)) {
                    Self::RateLimited { retry_after, status }
                } else {
                    Self::Throttled { retry_after, status }
                }
            }
            Code::Unavailable => Self::Unavailable(status),
            // The client cancels only what it has waited too long for.
            Code::DeadlineExceeded | Code::Cancelled => Self::TimedOut(status),
            _ => Self::Internal(status),
        }
    }
}

fn violations(status: &Status) -> Vec<Violation> {
    let found = status.get_details_bad_request().map(|details| details.field_violations);
    found
        .unwrap_or_default()
        .into_iter()
        .map(|violation| Violation { path: violation.field, message: violation.description })
        .collect()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn violations_come_with_their_paths() {
        let details =
            ErrorDetails::with_bad_request_violation("record.fields[title]", "Title is required.");
        let status = Status::with_error_details(Code::InvalidArgument, "not valid", details);

        let RecordsError::Invalid { violations } = RecordsError::from(status) else {
            panic!("expected violations");
        };

        assert_eq!(
            violations,
            [Violation {
                path: "record.fields[title]".to_owned(),
                message: "Title is required.".to_owned()
            }]
        );
    }

    #[test]
    fn throttling_says_how_long_to_wait() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::ResourceExhausted, "later", details);

        let error = crate::error::Error::from(RecordsError::from(status));

        assert!(matches!(error, crate::error::Error::Throttled(Some(2), _)));
    }
}
