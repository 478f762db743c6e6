//! Requests that tonic refuses before any method sees them: they get an answer of our vocabulary as
//! well.

use http::Response;
use tonic::{Code, Status};

use crate::error::Error;

/// Names what is wrong with a request that could not be decoded. Whatever our methods answer has
/// details, so an error without any is tonic's own.
pub(crate) fn name_undecodable<B: Default>(response: Response<B>) -> Response<B> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if !status.details().is_empty() {
        return response;
    }
    let error = match status.code() {
        // Prost's errors name field and cause, which is for the log.
        Code::Internal => Error::invalid(
            "",
            "MALFORMED",
            "The request is not a well-formed message of this method; texts must be UTF-8.",
        ),
        Code::OutOfRange => Error::invalid("", "TOO_LARGE", "The request is too large."),
        _ => return response,
    };
    tracing::info!(code = ?status.code(), error = status.message(), "refused an undecodable request");
    error.to_status().into_http()
}
