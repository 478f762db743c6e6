//! What a failed AWS call means for the caller. DynamoDB and SQS share the SDK's error types, and
//! their codes do not contradict each other.

use std::error::Error as StdError;

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use service_kit::aws::is_throttle;

use crate::error::Error;

/// For errors that are no answer to a condition.
pub(crate) fn of<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match &error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            Error::Unavailable(Some(error.into()))
        }
        SdkError::ServiceError(answer) => match answer.err().code() {
            Some(code) if is_throttle(code) => Error::Throttled(error.into()),
            // Our own attempt before this one is still being carried out.
            Some("TransactionInProgressException") => Error::Unavailable(Some(error.into())),
            Some(_) if !answer.raw().status().is_server_error() => Error::internal(error),
            // A failure of AWS, or no answer of AWS at all but of something on the way to it.
            _ => Error::Unavailable(Some(error.into())),
        },
        _ => Error::internal(error),
    }
}
