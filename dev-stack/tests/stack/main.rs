//! The whole system as the command and as whole-system tests start it: real binaries, real ports.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod command;
mod library;
