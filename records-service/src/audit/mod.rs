//! The way of an event from the outbox to the audit trail: the relay sends it, the queue carries
//! it, the worker stores it.

mod app;
mod metrics;
mod pause;
pub(crate) mod queue;
pub(crate) mod relay;
mod sender;
mod sweeper;
pub(crate) mod worker;

pub use app::AuditApp;
pub(crate) use metrics::RelayMetrics;
