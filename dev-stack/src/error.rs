//! What can go wrong when the outside world of the two services is put up on this machine.

use std::{io, path::PathBuf, process::ExitStatus};

/// Every failure of this crate, worded for the developer who started it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else listens where we were told to.
    #[error("port {port} is taken: it is for {purpose}. {remedy}")]
    PortTaken {
        /// The port.
        port: u16,
        /// What would have listened there.
        purpose: String,
        /// What to do about it.
        remedy: String,
    },
    /// An address cannot be listened on for another reason than being taken.
    #[error("cannot listen on {address} for {purpose}")]
    Bind {
        /// The address, as text.
        address: String,
        /// What would have listened there.
        purpose: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No free port was found in the range that outgoing connections leave alone.
    #[error("no free port was found")]
    NoFreePort,
    /// A file or folder cannot be read or written.
    #[error("cannot use {path}")]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process keeps its state in the same folder.
    #[error(
        "another dev-stack is using this folder ({path} is locked); stop it, or choose another with --data"
    )]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// A stored file is not what this version writes.
    #[error("{path} is not readable by this version ({problem}); delete it to start anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The embedded DynamoDB or SQS refuses to start.
    #[error("the local {name} does not start: {problem}")]
    Emulator {
        /// Which one.
        name: &'static str,
        /// What it says.
        problem: String,
    },
    /// An emulator of a running command gives no answer.
    #[error("the local {name} does not answer at {address}")]
    NoAnswer {
        /// Which one.
        name: &'static str,
        /// Where it was asked.
        address: String,
        /// What happened instead.
        #[source]
        source: io::Error,
    },
    /// The cryptographic library refuses to make or use a key.
    #[error("a signing key cannot be made or used")]
    Key,
    /// A name that the local Auth0 does not have.
    #[error("the local Auth0 has no {kind} {name:?}")]
    Unknown {
        /// "user", "organization", "client" or "member".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// A URL in the options is not one.
    #[error("{what} is not a usable URL: {value}")]
    Url {
        /// Which option.
        what: &'static str,
        /// What it holds.
        value: String,
    },
    /// A binary of the system is not where it is expected.
    #[error(
        "there is no {name} at {path}; build it first: cargo build --workspace, with the profile \
         of this program"
    )]
    MissingBinary {
        /// The name of the binary.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A process of the system cannot be started at all.
    #[error("{name} cannot be started")]
    Spawn {
        /// The name of the process.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A process ended before it was ready, or a one-off task failed.
    #[error("{name} ended with {status} before it was ready. Its last lines:\n{last_lines}")]
    Ended {
        /// The name of the process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        last_lines: String,
    },
    /// A process runs but does not become ready.
    #[error("{name} is not ready after {seconds} s. {seen}. Its last lines:\n{last_lines}")]
    NotReady {
        /// The name of the process.
        name: String,
        /// How long it was given.
        seconds: u64,
        /// What its readiness address answered last.
        seen: String,
        /// The end of its log.
        last_lines: String,
    },
    /// The sample records cannot be written.
    #[error("the sample records cannot be written: {0}")]
    Seed(String),
    /// `cargo build` of the services failed; it has said why itself.
    #[error("the services could not be built ({0})")]
    Build(String),
}

impl Error {
    /// The error and its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
