//! gRPC: the port (`connections`), what every call goes through (`door`), and the services,
//! where each method authorizes, parses, makes one call below and replies.

mod answer;
mod arrival;
mod audit;
mod beside;
mod call;
mod connections;
mod convert;
mod deadline;
mod door;
mod forms;
mod health;
mod method;
mod metrics;
mod opening;
mod rates;
mod records;
mod routes;
mod tls;
mod turns;
mod undecodable;

pub(crate) use audit::Audit;
pub(crate) use connections::{ConnectionLimits, Connections};
pub(crate) use door::Door;
pub(crate) use health::Health;
pub(crate) use rates::Rates;
pub(crate) use records::Records;
pub(crate) use routes::routes;
pub(crate) use tls::Tls;
pub use tls::TlsError;
pub(crate) use turns::Turns;

use crate::{error::Error, page_token::PageTokenError};

const DEFAULT_PAGE_SIZE: usize = 25;
const MAX_PAGE_SIZE: usize = 100;

/// The page size that a caller gets (AIP-158).
fn page_size(wanted: i32) -> Result<usize, Error> {
    match usize::try_from(wanted) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Error::invalid("page_size", "NEGATIVE", "A page size is not negative.")),
    }
}

/// Where a page starts: `open` is asked only where there is a token.
fn page_start(
    token: &str,
    open: impl FnOnce(&str) -> Result<String, PageTokenError>,
) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    open(token).map(Some).map_err(|error| match error {
        PageTokenError::Invalid => {
            Error::invalid("page_token", "MALFORMED", "This page token is not valid here.")
        }
        PageTokenError::Expired => {
            Error::invalid("page_token", "EXPIRED", "This page token has expired.")
        }
    })
}
