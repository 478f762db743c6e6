//! Everything that can go wrong in a call, named for what the caller can do about it, and its one
//! mapping to a gRPC status.

use std::{collections::HashMap, error::Error as StdError, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::domain::record::Violation;

const DOMAIN: &str = "org-records";

/// The cause of an error, for the log only.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// Too much at once: try again after a while.
    #[error("too many requests at once")]
    Throttled(#[source] Option<Cause>),
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
    pub fn invalid(path: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { path: path.to_owned(), reason, message: message.into() }])
    }

    /// A fault of the service with this cause.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// The code that callers see.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::Conflict => Code::Aborted,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Forbidden(_) => Code::PermissionDenied,
            Self::Throttled(_) => Code::ResourceExhausted,
            Self::Unavailable(_) => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Forbidden(_) => "PERMISSION_DENIED",
            Self::Throttled(_) => "THROTTLED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// The status with its details. Causes stay here.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let mut metadata = HashMap::new();
        if let Self::Forbidden(permission) = self {
            metadata.insert("permission".to_owned(), (*permission).to_owned());
        }
        let mut details = ErrorDetails::with_error_info(self.reason(), DOMAIN, metadata);
        match self {
            Self::Invalid(violations) => {
                let violations = violations.iter().map(|violation| FieldViolation {
                    field: violation.path.clone(),
                    description: violation.message.clone(),
                    reason: violation.reason.to_owned(),
                    localized_message: None,
                });
                details.set_bad_request(violations.collect::<Vec<_>>());
            }
            Self::Throttled(_) | Self::Unavailable(_) => {
                details.set_retry_info(Some(Duration::from_secs(1)));
            }
            _ => {}
        }
        Status::with_error_details(self.code(), self.to_string(), details)
    }
}
