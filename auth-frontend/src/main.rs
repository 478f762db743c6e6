//! The process: configuration, log, signals. It knows nothing of pages.

use std::process::ExitCode;

use auth_frontend::{
    app,
    config::{Config, VARIABLES},
};
use clap::Parser;
use mimalloc::MiMalloc;
use service_kit::{
    config::Environment,
    shutdown,
    telemetry::{self, Chain},
};

/// A page is some thousands of small allocations, often freed by another thread than the one that
/// made them, which this allocator is better at than the C library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit code for mistakes in the configuration, as for those on the command line.
const MISCONFIGURED: u8 = 2;

/// The web pages of Org Records. It takes no arguments; the environment configures it.
#[derive(Parser)]
#[command(version, after_help = VARIABLES)]
struct Arguments {}

fn main() -> ExitCode {
    Arguments::parse();
    // Before any thread starts, because it may set variables.
    let config = match Config::from_environment(Environment::of_process()) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(MISCONFIGURED);
        }
    };
    telemetry::init(&config.log);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> ExitCode {
    let app = match app::bind(config).await {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let served = match shutdown::on_signal() {
        Ok(stopping) => app.run(stopping).await,
        Err(error) => Err(error),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            ExitCode::FAILURE
        }
    }
}
