//! The whole system: the outside world in this process, and the services as their real binaries.
//! The command and whole-system tests start it the same way.

mod emulators;
mod keeper;
mod log;
mod ports;
mod process;
mod programs;
mod readiness;
mod secrets;
mod seed;
mod service;

use std::{net::Ipv4Addr, path::PathBuf, process::ExitStatus, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedSender;

pub use emulators::{AUDIT_QUEUE, EmulatorOptions, Emulators, Variable};
pub use log::LogLine;
pub use ports::StackPorts;
pub use service::{Replica, Service};

use crate::{Auth0, DynamoDb, Error, Sqs, Storage};
use keeper::Keeper;
use log::Log;
use process::{Condition, Process, Way};
use programs::{Binaries, Ports};

/// How a system is put up.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Ports, addresses and storage.
    pub emulators: EmulatorOptions,
    /// The folder with the binaries of the services.
    pub binaries: PathBuf,
    /// How many processes of `records-service serve` there are.
    pub records_replicas: usize,
    /// How many processes of auth-frontend there are.
    pub frontend_replicas: usize,
    /// Whether to create the sample records, once for each folder.
    pub samples: bool,
    /// Whether a service that dies is started again.
    pub restarts: bool,
    /// `LOG_FORMAT` of the services, "json" or "text".
    pub log_format: String,
    /// How long each service may take to become ready.
    pub patience: Duration,
    /// Variables for single services, in place of or besides their own.
    pub variables: Vec<(Service, String, String)>,
    /// Who gets every line of every service.
    pub log: Option<UnboundedSender<LogLine>>,
}

impl StackOptions {
    /// For a test: any free ports of loopback, in memory, without sample records, nothing
    /// restarted, logs as JSON, and the binaries that were built with the test itself.
    ///
    /// # Errors
    /// [`Error::NoFreePort`], or [`Error::MissingBinary`] where the running program is in no
    /// Cargo target folder.
    pub fn for_test() -> Result<Self, Error> {
        Ok(Self {
            emulators: EmulatorOptions {
                ports: StackPorts::free()?,
                bind: Ipv4Addr::LOCALHOST.into(),
                storage: Storage::Memory,
                open_controls: false,
                issuer: None,
                app_url: None,
                app_url_here: None,
            },
            binaries: binaries_beside_this_program()?,
            records_replicas: 1,
            frontend_replicas: 1,
            samples: false,
            restarts: false,
            log_format: "json".to_owned(),
            patience: Duration::from_secs(30),
            variables: Vec::new(),
            log: None,
        })
    }
}

/// A running system. Dropping it kills its processes; [`Stack::stop`] asks them to stop.
pub struct Stack {
    emulators: Emulators,
    patience: Duration,
    members: Vec<Member>,
}

/// A replica, where it listens, and its process.
struct Member {
    replica: Replica,
    ports: Ports,
    process: Process,
}

impl Stack {
    /// Starts everything, and returns when every service is ready.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::MissingBinary`], and [`Error::Ended`] or
    /// [`Error::NotReady`] with the last lines of the process in question.
    pub async fn start(options: StackOptions) -> Result<Self, Error> {
        let EmulatorOptions { ports, bind, storage, .. } = options.emulators.clone();
        let binaries = Binaries::of(&options.binaries)?;
        ports.check(bind, true)?;
        let emulators = Emulators::start(options.emulators.clone()).await?;
        let keeper = Arc::new(Keeper::start()?);
        let log = |name| Log::new(name, options.log.clone());

        let format = &options.log_format;
        programs::provision(&emulators, &binaries, format, log("provision"), &keeper).await?;
        let replicas = programs::replicas(&options)?;
        let member = |&(replica, ports): &(Replica, Ports)| {
            let program = programs::program(replica, &replicas, &binaries, &emulators, &options);
            let process = Process::new(program, log(replica.service.name()), keeper.clone());
            Member { replica, ports, process }
        };
        let members = replicas.iter().map(member).collect();
        let stack = Self { emulators, patience: options.patience, members };
        for member in &stack.members {
            member.process.start(Vec::new()).await?;
        }
        for member in &stack.members {
            stack.ready(member).await?;
        }
        if options.restarts {
            for member in &stack.members {
                member.process.keep_alive().await;
            }
        }
        if options.samples {
            seed::create_once(&storage, &stack.emulators.auth0, &stack.grpc_url()).await?;
        }
        Ok(stack)
    }

    /// The origin of the pages, without a slash at its end.
    #[must_use]
    pub fn app_url(&self) -> &str {
        self.emulators.app_url()
    }

    /// The address of the gRPC services, of the first replica.
    #[must_use]
    pub fn grpc_url(&self) -> String {
        self.url(Service::Records)
    }

    /// The address of one replica, of its pages or its gRPC, without a slash at its end.
    ///
    /// # Panics
    /// For the audit worker, which serves neither.
    #[must_use]
    pub fn url(&self, replica: impl Into<Replica>) -> String {
        let port = self.member(replica).ports.service;
        programs::url(port.expect("the audit worker serves nothing but its private port"))
    }

    /// The private address of a service, with `/livez`, `/readyz` and `/metrics`, without a slash
    /// at its end.
    #[must_use]
    pub fn ops_url(&self, replica: impl Into<Replica>) -> String {
        programs::url(self.member(replica).ports.ops)
    }

    /// The local Auth0.
    #[must_use]
    pub fn auth0(&self) -> &Auth0 {
        &self.emulators.auth0
    }

    /// The local DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.emulators.dynamodb
    }

    /// The local SQS.
    #[must_use]
    pub fn sqs(&self) -> &Sqs {
        &self.emulators.sqs
    }

    /// The outside world, with the environment of the services.
    #[must_use]
    pub fn emulators(&self) -> &Emulators {
        &self.emulators
    }

    /// The lines that a service has written so far, over all its lives.
    #[must_use]
    pub fn logs(&self, replica: impl Into<Replica>) -> Vec<String> {
        self.member(replica).process.log.all()
    }

    /// Waits until a service has ended by itself, as at a failpoint.
    pub async fn ended(&self, replica: impl Into<Replica>) -> ExitStatus {
        self.member(replica).process.ended().await
    }

    /// The process id of a service, where it runs.
    #[must_use]
    pub fn pid(&self, replica: impl Into<Replica>) -> Option<u32> {
        match self.member(replica).process.condition() {
            Condition::Running(pid) => Some(pid),
            Condition::Died(_) | Condition::Stopped => None,
        }
    }

    /// Kills a service without warning (SIGKILL); it stays dead.
    pub async fn kill(&self, replica: impl Into<Replica>) -> Option<ExitStatus> {
        self.member(replica).process.stop(Way::Kill).await
    }

    /// Asks a service to stop (SIGTERM) and waits for that; it stays stopped.
    pub async fn stop_service(&self, replica: impl Into<Replica>) -> Option<ExitStatus> {
        self.member(replica).process.stop(Way::Ask).await
    }

    /// Starts a service again, after stopping it where it runs, with these variables in place of
    /// or besides its own from now on, and returns when it is ready.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn restart(
        &self,
        replica: impl Into<Replica>,
        variables: &[(&str, &str)],
    ) -> Result<(), Error> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let member = self.member(replica);
        member.process.start(variables.iter().map(owned).collect()).await?;
        self.ready(member).await
    }

    /// Stops everything: the services first, then the outside world.
    pub async fn stop(self) {
        // The frontends first, so that their last pages still find the service behind them.
        let (frontends, others): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|member| member.replica.service == Service::Frontend);
        for together in [frontends, others] {
            join_all(together.into_iter().map(|member| member.process.stop(Way::Ask))).await;
        }
        self.emulators.stop().await;
    }

    async fn ready(&self, member: &Member) -> Result<(), Error> {
        let Member { replica, ports, process } = member;
        readiness::wait(replica.service.name(), process, ports.ops, self.patience).await
    }

    fn member(&self, replica: impl Into<Replica>) -> &Member {
        let replica = replica.into();
        let found = self.members.iter().find(|member| member.replica == replica);
        found.unwrap_or_else(|| panic!("there is no {replica:?}"))
    }
}

/// The folder of the running program's profile, `target/<profile>`; a test runs in `deps` below.
///
/// # Errors
/// [`Error::MissingBinary`] where the program cannot tell where it is.
pub fn binaries_beside_this_program() -> Result<PathBuf, Error> {
    let unknown =
        || Error::MissingBinary { name: "records-service".to_owned(), path: PathBuf::new() };
    let program = std::env::current_exe().map_err(|_| unknown())?;
    let folder = program.parent().ok_or_else(unknown)?;
    let is_test = folder.file_name().is_some_and(|name| name == "deps" || name == "examples");
    let folder = if is_test { folder.parent().ok_or_else(unknown)? } else { folder };
    Ok(folder.to_owned())
}
