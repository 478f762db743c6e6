//! The HTTP client for the identity provider. It does not know what is fetched.

use std::time::Duration;

/// A client that follows no redirect (a redirecting provider could lead it into the private
/// network; RFC 9700 §4.11) and gives up after three seconds.
///
/// # Errors
/// When the machine's certificates cannot be loaded.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // reqwest takes the process-wide TLS provider. A second call finds it set, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(1))
        .timeout(Duration::from_secs(3))
        .user_agent(concat!("org-records/", env!("CARGO_PKG_VERSION")))
        .build()
}
