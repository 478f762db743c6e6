//! HTTP clients for the identity provider and the trace collector, and their bounded answers. It
//! does not know what is fetched or sent.

use std::time::Duration;

/// More than an identity provider has to say; a longer answer is refused.
const ANSWER_LIMIT: usize = 256 * 1024;

/// The answer was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed on the way.
    #[error("the answer broke off")]
    Broken(#[from] reqwest::Error),
    /// It has too much to say.
    #[error("the answer is longer than {ANSWER_LIMIT} bytes")]
    TooLong,
}

/// The whole body of an answer of at most 256 KiB.
///
/// # Errors
/// See [`BodyError`].
pub async fn body_of(mut response: reqwest::Response) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A client that follows no redirect (a redirecting provider could lead it into the private
/// network; RFC 9700 §4.11) and gives up after three seconds.
///
/// # Errors
/// When the machine's certificates cannot be loaded.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    builder().timeout(Duration::from_secs(3)).build()
}

/// A client with our settings, as far as they do not depend on whom it is for.
pub fn builder() -> reqwest::ClientBuilder {
    // reqwest takes the process-wide TLS provider. A second call finds it set, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(1))
        .user_agent(concat!("org-records/", env!("CARGO_PKG_VERSION")))
}
