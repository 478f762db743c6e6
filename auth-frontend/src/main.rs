//! The process: configuration, log, signals. It knows nothing of pages.

use std::process::ExitCode;

use auth_frontend::{
    app,
    config::{self, Config, VARIABLES},
    preflight,
};
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use service_kit::{
    config::{Environment, Mistakes},
    healthcheck, shutdown,
    telemetry::{self, Chain, Exporter},
};
use tokio::runtime::Runtime;

/// A page is some thousands of small allocations, often freed by another thread than the one that
/// made them, which this allocator is better at than the C library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit code for mistakes in the configuration, as for those on the command line.
const MISCONFIGURED: u8 = 2;

/// The web pages of Org Records. Without a command it serves them; the environment configures it.
#[derive(Parser)]
#[command(version, after_help = VARIABLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check that the frontend has all it needs, without changing anything
    ///
    /// Run it with the environment and the rights (role, service account) of the frontend. It looks at
    /// configuration, credentials, the table of sessions, every right by a call that changes nothing,
    /// issuer and clock, whether Auth0 knows this application, and records-service, for 20 seconds at
    /// most, and prints what is wrong and what mends it. Auth0's log shows a failed silent login and a
    /// failed exchange of a code.
    ///
    /// Exits with 0 if the frontend can run, with 1 if not, and with 2 for mistakes in the
    /// configuration.
    Preflight,
    /// Ask whether the process in this container is ready: exits with 0 or 1
    Healthcheck,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before any thread starts, because it may set variables.
    let env = Environment::of_process();
    match arguments.command {
        None => serve(env),
        Some(Command::Preflight) => check(env),
        Some(Command::Healthcheck) => healthcheck(env),
    }
}

fn serve(mut env: Environment) -> ExitCode {
    let exporter = Exporter::from_environment(&mut env, "frontend");
    let config = match Config::from_environment(env) {
        Ok(config) => config,
        Err(mistakes) => return misconfigured(&mistakes),
    };
    telemetry::init(&config.log);
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    block_on(runtime, async {
        let ended = run(config).await;
        exporter.shut_down().await;
        ended
    })
}

/// Its report is for people, and says what the log would.
fn check(mut env: Environment) -> ExitCode {
    let _exporter = Exporter::from_environment(&mut env, "frontend");
    let config = match Config::from_environment(env) {
        Ok(config) => config,
        Err(mistakes) => return misconfigured(&mistakes),
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = block_on(runtime, preflight(&config));
    println!("{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looking up a name blocks a thread, for a minute where DNS does not answer. Nobody waits for that.
fn block_on<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

async fn run(config: Config) -> ExitCode {
    let stopping = match shutdown::on_signal() {
        Ok(stopping) => stopping,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return ExitCode::FAILURE;
        }
    };
    let app = match stopping.run_until_cancelled(Box::pin(app::bind(config))).await {
        Some(Ok(app)) => app,
        Some(Err(error)) => {
            tracing::error!(error = %Chain(&error), "cannot start");
            return ExitCode::FAILURE;
        }
        None => return ExitCode::SUCCESS,
    };
    match app.run(stopping).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            ExitCode::FAILURE
        }
    }
}

fn healthcheck(env: Environment) -> ExitCode {
    let address = match config::ops_address(env) {
        Ok(address) => address,
        Err(mistakes) => return misconfigured(&mistakes),
    };
    match healthcheck::run(address, None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(unready) => {
            // Container engines keep what is printed.
            println!("not ready: {}", Chain(&unready));
            ExitCode::FAILURE
        }
    }
}

fn misconfigured(mistakes: &Mistakes) -> ExitCode {
    eprintln!("{mistakes}");
    ExitCode::from(MISCONFIGURED)
}
