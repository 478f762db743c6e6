//! records-service through its front door: the real binary on fresh tables, a fresh queue and a
//! fresh identity provider, called over gRPC.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod app;
mod audit;
mod backstage;
mod connections;
mod failures;
mod guard;
mod identity;
mod isolation;
mod issuer;
mod metrics;
mod overload;
mod rates;
mod records;
mod reflection;
mod shares;
mod start;
mod tls;
mod tokens;
mod turns;
mod wire;
