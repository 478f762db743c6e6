//! The command line of records-service.

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};
use records_service::{
    App, AuditApp,
    config::{self, AuditConfig, ProvisionConfig, ServeConfig},
    provision,
};
use service_kit::{
    config::{Environment, Mistakes},
    healthcheck, shutdown,
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
    /// Ask whether the process in this container is ready: exits with 0 or 1
    Healthcheck,
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut env = Environment::of_process();
    telemetry::init(&LogSettings::from_environment(&mut env));
    let _failpoints = fail::FailScenario::setup();
    match run(&arguments.command, env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if matches!(arguments.command, Command::Healthcheck) => {
            // Container engines know 0 and 1, and keep what is printed.
            println!("not ready: {}", Chain(failure.as_ref()));
            ExitCode::FAILURE
        }
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
                let app = App::bind(config).await?;
                let outcome = app.run(shutdown::on_signal()?).await;
                exporter.shut_down().await;
                Ok(outcome?)
            })
        }
        Command::Audit => {
            let exporter = Exporter::from_environment(&mut env, "audit");
            let config = AuditConfig::read(env)?;
            block_on(async {
                let app = AuditApp::bind(config).await?;
                let outcome = app.run(shutdown::on_signal()?).await;
                exporter.shut_down().await;
                Ok(outcome?)
            })
        }
        Command::Provision => {
            let config = ProvisionConfig::read(env)?;
            block_on(async {
                println!("AUDIT_QUEUE_URL={}", provision(&config).await?);
                Ok(())
            })
        }
        Command::Healthcheck => Ok(healthcheck::run(config::ops_address(env)?)?),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
