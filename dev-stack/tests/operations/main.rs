//! The whole system when something goes wrong or is being changed: bad networks, AWS that does not
//! answer, replicas that come, go and die, and more load than it can carry; and what it tells of
//! itself.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod balancer;
mod browser;
mod caller;
mod canary;
mod collector;
mod ends;
mod faults;
mod load;
mod metrics;
mod outbox;
mod overload;
mod replicas;
mod rolling;
mod traces;
