//! What is run for each replica: binary, arguments, environment and ports. Provisioning, which runs
//! once, is here too.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Emulators, Replica, Service, StackOptions,
    emulators::Variable,
    keeper::Keeper,
    log::Log,
    process::{Process, Program},
};
use crate::{Error, ports};

/// Where a replica listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// Its pages or its gRPC; the audit worker serves neither.
    pub(super) service: Option<u16>,
    pub(super) ops: u16,
}

/// The binaries of both services.
pub(super) struct Binaries {
    records: PathBuf,
    frontend: PathBuf,
}

impl Binaries {
    /// # Errors
    /// [`Error::MissingBinary`]
    pub(super) fn of(folder: &Path) -> Result<Self, Error> {
        let find = |name: &str| {
            let path = folder.join(name);
            let missing = || Error::MissingBinary { name: name.to_owned(), path: path.clone() };
            if path.is_file() { Ok(path.clone()) } else { Err(missing()) }
        };
        Ok(Self { records: find("records-service")?, frontend: find("auth-frontend")? })
    }
}

/// Every replica with its ports: the first of each service has those of the options, the others any
/// free ones.
///
/// # Errors
/// [`Error::NoFreePort`]
pub(super) fn replicas(options: &StackOptions) -> Result<Vec<(Replica, Ports)>, Error> {
    let first = options.emulators.ports;
    let counted = [
        (Service::Records, options.records_replicas, Some(first.grpc), first.records_ops),
        (Service::Audit, 1, None, first.audit_ops),
        (Service::Frontend, options.frontend_replicas, Some(first.app), first.app_ops),
    ];
    let mut all = Vec::new();
    for (service, count, port, ops) in counted {
        all.push((service.replica(0), Ports { service: port, ops }));
        for number in 1..count {
            let ports = Ports { service: Some(ports::free_port()?), ops: ports::free_port()? };
            all.push((service.replica(number), ports));
        }
    }
    Ok(all)
}

/// What to run for a replica, one of `all`.
pub(super) fn program(
    replica: Replica,
    all: &[(Replica, Ports)],
    binaries: &Binaries,
    emulators: &Emulators,
    options: &StackOptions,
) -> Program {
    let service = replica.service;
    let ports = all.iter().find(|(known, _)| *known == replica).map(|(_, ports)| ports);
    let ports = ports.expect("a program is asked for of a known replica");
    let at = |port: u16| listening_at(options.emulators.bind, port);
    let (binary, arguments, mut own): (_, _, Vec<Variable>) = match service {
        Service::Records => (&binaries.records, vec!["serve"], emulators.records_variables()),
        Service::Audit => (&binaries.records, vec!["audit"], emulators.records_variables()),
        Service::Frontend => (&binaries.frontend, Vec::new(), emulators.frontend_variables()),
    };
    own.extend(emulators.shared_variables());
    own.push(("OPS_ADDRESS", at(ports.ops)));
    match (service, ports.service) {
        (Service::Records, Some(port)) => own.push(("RECORDS_ADDRESS", at(port))),
        (Service::Frontend, Some(port)) => own.push(("APP_ADDRESS", at(port))),
        _ => {}
    }
    let variables = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut program =
        Program { name: service.name(), binary: binary.clone(), arguments, variables };

    let mut replaced = vec![("LOG_FORMAT".to_owned(), options.log_format.clone())];
    if service == Service::Frontend {
        replaced.push(("RECORDS_SERVICE_URL".to_owned(), urls_of_records(all)));
    }
    let given = options.variables.iter().filter(|(of, ..)| *of == service);
    let given: Vec<_> = given.map(|(_, name, value)| (name.clone(), value.clone())).collect();
    program.replace(replaced);
    program.replace(given);
    program
}

/// The gRPC addresses of all replicas, as the frontend takes them.
fn urls_of_records(all: &[(Replica, Ports)]) -> String {
    let of_records = all.iter().filter(|(replica, _)| replica.service == Service::Records);
    let urls = of_records.filter_map(|(_, ports)| Some(url(ports.service?)));
    urls.collect::<Vec<_>>().join(",")
}

/// A port of this machine as a URL.
pub(super) fn url(port: u16) -> String {
    format!("http://localhost:{port}")
}

fn listening_at(bind: IpAddr, port: u16) -> String {
    SocketAddr::new(bind, port).to_string()
}

/// Makes tables and queues, and waits for that.
pub(super) async fn provision(
    emulators: &Emulators,
    binaries: &Binaries,
    log_format: &str,
    log: Log,
    keeper: &Arc<Keeper>,
) -> Result<(), Error> {
    let variables = emulators.shared_variables().into_iter().chain(emulators.records_variables());
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let program = Program {
        name: "provision",
        binary: binaries.records.clone(),
        arguments: vec!["provision"],
        variables: variables.chain([("LOG_FORMAT".to_owned(), log_format.to_owned())]).collect(),
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
