//! What a failed AWS call means for the caller. DynamoDB and SQS share the SDK's error types, and
//! their codes do not contradict each other.

use std::error::Error as StdError;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::Error;

/// For errors that are no answer to a condition.
pub(crate) fn of<E, R>(error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match &error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            Error::Unavailable(Some(error.into()))
        }
        SdkError::ServiceError(answer) => match answer.err().code() {
            Some(code) if is_throttle(code) => Error::Throttled(Some(error.into())),
            Some(
                "InternalServerError"
                | "InternalError"
                | "ServiceUnavailable"
                | "InternalFailure"
                // Our own attempt before this one is still being carried out.
                | "TransactionInProgressException",
            ) => {
                Error::Unavailable(Some(error.into()))
            }
            _ => Error::internal(error),
        },
        _ => Error::internal(error),
    }
}

/// Whether a code, of an error or of a transaction's cancellation reason, says "too fast".
pub(crate) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "ThrottlingError"
            | "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            | "RequestLimitExceeded"
            | "RequestThrottled"
    )
}
