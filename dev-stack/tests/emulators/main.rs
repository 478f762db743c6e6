//! The emulators through their front doors: DynamoDB and SQS with the real AWS SDKs, the local
//! Auth0 with an HTTP client that behaves as a browser or an application does.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod auth0_controls;
mod auth0_errors;
mod auth0_login;
mod auth0_logout;
mod auth0_tokens;
mod browser;
mod dynamodb;
mod faults;
mod lifecycle;
mod sqs;
