//! The whole system: the outside world in this process, and the services as their real binaries.
//! The command and whole-system tests start it the same way.

mod emulators;
mod keeper;
mod log;
mod ports;
mod process;
mod readiness;
mod secrets;
mod seed;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc::UnboundedSender;

pub use emulators::{AUDIT_QUEUE, EmulatorOptions, Emulators, Variable};
pub use log::LogLine;
pub use ports::StackPorts;

use crate::{Auth0, DynamoDb, Error, Sqs, Storage};
use keeper::Keeper;
use log::Log;
use process::{Condition, Process, Program, Way};

/// A process of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `records-service serve`
    Records,
    /// `records-service audit`
    Audit,
    /// `auth-frontend`
    Frontend,
}

impl Service {
    /// All of them, in the order they start.
    pub const ALL: [Self; 3] = [Self::Records, Self::Audit, Self::Frontend];

    /// What it is called in logs and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records-service",
            Self::Audit => "records-audit",
            Self::Frontend => "auth-frontend",
        }
    }
}

/// How a system is put up.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Ports, addresses and storage.
    pub emulators: EmulatorOptions,
    /// The folder with the binaries of the services.
    pub binaries: PathBuf,
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
                issuer: None,
                app_url: None,
            },
            binaries: binaries_beside_this_program()?,
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
    ports: StackPorts,
    patience: Duration,
    processes: Vec<(Service, Process)>,
}

impl Stack {
    /// Starts everything, and returns when every service is ready.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::MissingBinary`], and [`Error::Ended`] or
    /// [`Error::NotReady`] with the last lines of the process in question.
    pub async fn start(options: StackOptions) -> Result<Self, Error> {
        let EmulatorOptions { ports, bind, storage, .. } = options.emulators.clone();
        let records = binary(&options.binaries, "records-service")?;
        let frontend = binary(&options.binaries, "auth-frontend")?;
        ports.check(bind, true)?;
        let emulators = Emulators::start(options.emulators.clone()).await?;
        let keeper = Arc::new(Keeper::start()?);
        let log = |name| Log::new(name, options.log.clone());

        let format = ("LOG_FORMAT".to_owned(), options.log_format.clone());
        provision(&emulators, &records, format.clone(), log("provision"), &keeper).await?;
        let processes = Service::ALL
            .into_iter()
            .map(|service| {
                let binary = if service == Service::Frontend { &frontend } else { &records };
                let mut program = program(service, binary, &emulators, &ports, bind);
                let own = options.variables.iter().filter(|(of, ..)| *of == service);
                let own = own.map(|(_, name, value)| (name.clone(), value.clone()));
                program.replace(std::iter::once(format.clone()).chain(own).collect());
                (service, Process::new(program, log(service.name()), keeper.clone()))
            })
            .collect();
        let stack = Self { emulators, ports, patience: options.patience, processes };
        for (_, process) in &stack.processes {
            process.start(Vec::new()).await?;
        }
        for service in Service::ALL {
            stack.ready(service).await?;
        }
        if options.restarts {
            for (_, process) in &stack.processes {
                process.keep_alive().await;
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

    /// The address of the gRPC services.
    #[must_use]
    pub fn grpc_url(&self) -> String {
        format!("http://localhost:{}", self.ports.grpc)
    }

    /// The private address of a service, with `/livez` and `/readyz`, without a slash at its end.
    #[must_use]
    pub fn ops_url(&self, service: Service) -> String {
        format!("http://localhost:{}", self.ops_port(service))
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
    pub fn logs(&self, service: Service) -> Vec<String> {
        self.process(service).log.all()
    }

    /// Waits until a service has ended by itself, as at a failpoint.
    pub async fn ended(&self, service: Service) -> ExitStatus {
        self.process(service).ended().await
    }

    /// The process id of a service, where it runs.
    #[must_use]
    pub fn pid(&self, service: Service) -> Option<u32> {
        match self.process(service).condition() {
            Condition::Running(pid) => Some(pid),
            Condition::Died(_) | Condition::Stopped => None,
        }
    }

    /// Kills a service without warning (SIGKILL); it stays dead.
    pub async fn kill(&self, service: Service) -> Option<ExitStatus> {
        self.process(service).stop(Way::Kill).await
    }

    /// Asks a service to stop (SIGTERM) and waits for that; it stays stopped.
    pub async fn stop_service(&self, service: Service) -> Option<ExitStatus> {
        self.process(service).stop(Way::Ask).await
    }

    /// Starts a service again, after stopping it where it runs, with these variables in place of
    /// or besides its own from now on, and returns when it is ready.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn restart(&self, service: Service, variables: &[(&str, &str)]) -> Result<(), Error> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        self.process(service).start(variables.iter().map(owned).collect()).await?;
        self.ready(service).await
    }

    /// Stops everything: the services first, then the outside world.
    pub async fn stop(self) {
        let [frontend, rest @ ..] = [Service::Frontend, Service::Audit, Service::Records];
        // The frontend first, so that its last pages still find the service behind it.
        self.process(frontend).stop(Way::Ask).await;
        let [audit, records] = rest.map(|service| self.process(service));
        tokio::join!(audit.stop(Way::Ask), records.stop(Way::Ask));
        self.emulators.stop().await;
    }

    async fn ready(&self, service: Service) -> Result<(), Error> {
        let process = self.process(service);
        readiness::wait(service.name(), process, self.ops_port(service), self.patience).await
    }

    fn ops_port(&self, service: Service) -> u16 {
        match service {
            Service::Records => self.ports.records_ops,
            Service::Audit => self.ports.audit_ops,
            Service::Frontend => self.ports.app_ops,
        }
    }

    fn process(&self, service: Service) -> &Process {
        let found = self.processes.iter().find(|(known, _)| *known == service);
        &found.expect("there is a process for every service").1
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

fn binary(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = folder.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::MissingBinary { name: name.to_owned(), path })
    }
}

/// Makes tables and queues, and waits for that.
async fn provision(
    emulators: &Emulators,
    binary: &Path,
    format: (String, String),
    log: Log,
    keeper: &Arc<Keeper>,
) -> Result<(), Error> {
    let variables = emulators.shared_variables().into_iter().chain(emulators.records_variables());
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let program = Program {
        name: "provision",
        binary: binary.to_owned(),
        arguments: vec!["provision"],
        variables: variables.chain([format]).collect(),
    };
    let process = Process::new(program, log, keeper.clone());
    process.start(Vec::new()).await?;
    let status = process.ended().await;
    if status.success() {
        return Ok(());
    }
    Err(Error::Ended {
        name: "records-service provision".to_owned(),
        status,
        last_lines: process.log.end(15),
    })
}

fn program(
    service: Service,
    binary: &Path,
    emulators: &Emulators,
    ports: &StackPorts,
    bind: IpAddr,
) -> Program {
    let at = |port: u16| std::net::SocketAddr::new(bind, port).to_string();
    let (arguments, own, ops) = match service {
        Service::Records => {
            let mut own = emulators.records_variables();
            own.push(("RECORDS_ADDRESS", at(ports.grpc)));
            (vec!["serve"], own, ports.records_ops)
        }
        Service::Audit => (vec!["audit"], emulators.records_variables(), ports.audit_ops),
        Service::Frontend => {
            let mut own = emulators.frontend_variables();
            own.push(("APP_ADDRESS", at(ports.app)));
            (Vec::new(), own, ports.app_ops)
        }
    };
    let mut variables = emulators.shared_variables();
    variables.extend(own);
    variables.push(("OPS_ADDRESS", at(ops)));
    Program {
        name: service.name(),
        binary: binary.to_owned(),
        arguments,
        variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
