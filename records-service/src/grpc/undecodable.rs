//! Requests that tonic refuses before any method sees them: they get an answer of our vocabulary as
//! well.

use std::sync::Arc;

use axum::response::Response;
use tonic::{Code, Status};

use crate::error::Error;

/// Names what is wrong with a request that could not be decoded. Whatever our methods answer has
/// details, so an error without any is tonic's own.
pub(super) fn name_undecodable(response: Response) -> Response {
    let Some(status) = response.extensions().get::<Status>() else { return response };
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
    let cause = status.clone();
    let mut status = error.into_status();
    status.set_source(Arc::new(cause));
    status.into_http()
}
