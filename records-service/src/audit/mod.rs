//! The way of an event from the outbox to the audit trail: the relay sends it, the queue carries
//! it, the worker stores it.

mod app;
mod pause;
pub(crate) mod queue;
pub(crate) mod relay;
pub(crate) mod worker;

pub use app::AuditApp;
