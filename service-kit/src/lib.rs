//! What both services need and neither owns: configuration, telemetry (log, metrics, traces),
//! shutdown, taking ports, the private ops port, AWS and HTTP client settings, files of certificates,
//! sealing, shares of what is scarce, and the verification of access tokens.
//! Nothing here names a record or a page.

pub mod aws;
pub mod config;
pub mod healthcheck;
pub mod http;
pub mod identity;
pub mod listening;
pub mod metrics;
pub mod ops;
pub mod pem;
pub mod preflight;
pub mod refreshed;
pub mod sealing;
pub mod shares;
pub mod shutdown;
pub mod tables;
pub mod telemetry;
pub mod trace;
