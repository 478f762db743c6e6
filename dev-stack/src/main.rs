//! The command: reads the command line, starts the system or its outside world, and stops it on a
//! signal.

mod cli;
mod compile;
mod console;
mod healthcheck;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use cli::{Arguments, Command};
use dev_stack::{Emulators, Error, Stack, StackOptions, binaries_beside_this_program};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// How long a service may take to become ready; the first start of a debug build is slow.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::init();
    let done = match arguments.command {
        Some(Command::Emulators) => emulators(&arguments).await,
        Some(Command::Healthcheck) => healthcheck::run(&arguments.emulators()).await,
        None => everything(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn everything(arguments: &Arguments) -> Result<(), Error> {
    let binaries = binaries_beside_this_program()?;
    let emulators = arguments.emulators();
    // Before the build, which may take minutes.
    emulators.ports.check(emulators.bind, true)?;
    if !arguments.no_build {
        compile::services(&binaries)?;
    }
    let mut signals = Signals::listen()?;
    let (log, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            console::print(&line);
        }
    });
    let starting = Stack::start(StackOptions {
        emulators,
        binaries,
        records_replicas: 1,
        frontend_replicas: 1,
        samples: !arguments.no_samples,
        restarts: true,
        log_format: std::env::var("LOG_FORMAT").unwrap_or_else(|_| "text".to_owned()),
        patience: PATIENCE,
        variables: Vec::new(),
        log: Some(log),
    });
    let stack = tokio::select! {
        started = starting => started?,
        // Dropping what has started kills it.
        () = signals.next() => return Ok(()),
    };
    println!("{}", console::welcome(&stack, &arguments.data()));

    signals.next().await;
    tracing::info!("stopping; once more to kill");
    tokio::select! {
        () = stack.stop() => tracing::info!("everything has stopped"),
        () = signals.next() => tracing::warn!("killed"),
    }
    Ok(())
}

async fn emulators(arguments: &Arguments) -> Result<(), Error> {
    let options = arguments.emulators();
    options.ports.check(options.bind, false)?;
    let mut signals = Signals::listen()?;
    let emulators = Emulators::start(options).await?;
    let variables = [
        emulators.shared_variables(),
        emulators.records_variables(),
        emulators.frontend_variables(),
    ];
    for (name, value) in variables.into_iter().flatten() {
        println!("{}", console::export(name, &value));
    }
    tracing::info!("Auth0, DynamoDB and SQS are up; Ctrl-C stops them");
    signals.next().await;
    emulators.stop().await;
    Ok(())
}

/// The signals that mean stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind)
                .map_err(|source| Error::Spawn { name: "signal handling".to_owned(), source })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
