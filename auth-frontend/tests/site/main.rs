//! The frontend through its front door: the real binaries of both services, a real login at a local
//! Auth0, DynamoDB and SQS over their wire protocols.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod app;
mod backchannel;
mod browser;
mod cookies;
mod csrf;
mod ended_at_provider;
mod expiry;
mod forms;
mod headers;
mod id_tokens;
mod isolation;
mod limits;
mod login;
mod login_limit;
mod logout;
mod organizations;
mod outages;
mod preflight;
mod process;
mod records;
mod rights;
mod sessions;
mod statuses;
mod tls;
mod untaken;
