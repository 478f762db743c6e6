//! records-service: owns access to the records of every organization, and publishes every change
//! for auditing. The binary is a thin door to this library.

mod app;
mod audit;
pub mod config;
mod domain;
mod error;
mod failure;
mod grpc;
mod jitter;
mod making;
mod page_token;
mod preflight;
mod provision;
mod request_hash;
mod store;

pub use app::{App, StartError};
pub use audit::AuditApp;
pub use grpc::TlsError;
pub use preflight::{preflight_audit, preflight_serve};
pub use provision::provision;
