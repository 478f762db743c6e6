//! The command line of records-service.

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use records_service::{
    App, AuditApp,
    config::{self, AuditConfig, ProvisionConfig, ServeConfig},
    preflight_audit, preflight_serve, provision,
};
use service_kit::{
    config::{Environment, Mistakes},
    healthcheck,
    preflight::Report,
    shutdown,
    telemetry::{self, Chain, Exporter, LogSettings},
};

/// Much of a call is many small allocations, which this allocator makes cheaper than glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Owns access to the records of every organization, and publishes every change for auditing.
///
/// Configuration comes from the environment; the README has the table of variables.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve gRPC and send committed events to the queue
    Serve,
    /// Store the events of the queue in the audit trail
    Audit,
    /// Make the tables, the queue and its dead-letter queue where they are missing
    Provision,
    /// Check that a process has all it needs, without changing anything
    ///
    /// Run it with the environment and the rights (role, service account) of the process. It looks at
    /// configuration, credentials, tables, queue, every right by a call that changes nothing, issuer
    /// and clock, for 20 seconds at most, and prints what is wrong and what mends it.
    ///
    /// Exits with 0 if the process can run, with 1 if not, and with 2 for mistakes in the
    /// configuration.
    Preflight {
        /// The process to check for
        process: Process,
    },
    /// Ask whether the process in this container is ready: exits with 0 or 1
    Healthcheck,
}

/// What `preflight` checks for.
#[derive(Clone, Copy, ValueEnum)]
enum Process {
    /// `records-service serve`
    Serve,
    /// `records-service audit`
    Audit,
}

/// The report of `preflight`, which has been printed, is bad.
#[derive(Debug, thiserror::Error)]
#[error("the process cannot run")]
struct Grounded;

/// What was begun can be run again.
#[derive(Debug, thiserror::Error)]
#[error("stopped before everything was there; run it again")]
struct Stopped;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut env = Environment::of_process();
    let log = LogSettings::from_environment(&mut env);
    // The report of a preflight is for people, and says what the log would.
    if !matches!(arguments.command, Command::Preflight { .. }) {
        telemetry::init(&log);
    }
    let _failpoints = fail::FailScenario::setup();
    match run(&arguments.command, env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if matches!(arguments.command, Command::Healthcheck) => {
            // Container engines know 0 and 1, and keep what is printed.
            println!("not ready: {}", Chain(failure.as_ref()));
            ExitCode::FAILURE
        }
        Err(failure) if failure.is::<Grounded>() => ExitCode::FAILURE,
        Err(failure) if failure.is::<Mistakes>() => {
            eprintln!("records-service: {failure}");
            ExitCode::from(2)
        }
        Err(failure) => {
            tracing::error!(error = %Chain(failure.as_ref()), "cannot go on");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command, mut env: Environment) -> Result<(), Failure> {
    match command {
        Command::Serve => {
            let exporter = Exporter::from_environment(&mut env, "serve");
            let config = ServeConfig::read(env)?;
            block_on(async {
                // Before anything else: the first process of a container ignores the signals that
                // it does not handle, and one that came now would be lost.
                let stopping = shutdown::on_signal()?;
                let app = App::bind(config).await?;
                let outcome = app.run(stopping).await;
                exporter.shut_down().await;
                Ok(outcome?)
            })
        }
        Command::Audit => {
            let exporter = Exporter::from_environment(&mut env, "audit");
            let config = AuditConfig::read(env)?;
            block_on(async {
                let stopping = shutdown::on_signal()?;
                let app = AuditApp::bind(config).await?;
                let outcome = app.run(stopping).await;
                exporter.shut_down().await;
                Ok(outcome?)
            })
        }
        Command::Provision => {
            let config = ProvisionConfig::read(env)?;
            block_on(async {
                let stopping = shutdown::on_signal()?;
                let url = tokio::select! {
                    url = provision(&config) => url?,
                    () = stopping.cancelled() => return Err(Stopped.into()),
                };
                println!("AUDIT_QUEUE_URL={url}");
                Ok(())
            })
        }
        Command::Preflight { process: Process::Serve } => {
            let _exporter = Exporter::from_environment(&mut env, "serve");
            let config = ServeConfig::read(env)?;
            block_on(async { print(&preflight_serve(&config).await) })
        }
        Command::Preflight { process: Process::Audit } => {
            let _exporter = Exporter::from_environment(&mut env, "audit");
            let config = AuditConfig::read(env)?;
            block_on(async { print(&preflight_audit(&config).await) })
        }
        Command::Healthcheck => {
            let (address, otherwise) = config::ops_addresses(env)?;
            Ok(healthcheck::run(address, otherwise)?)
        }
    }
}

fn print(report: &Report) -> Result<(), Failure> {
    println!("{report}");
    if report.is_good() { Ok(()) } else { Err(Grounded.into()) }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // Looking up a name blocks a thread, for a minute where DNS does not answer. Nobody waits for that.
    runtime.shutdown_background();
    outcome
}
