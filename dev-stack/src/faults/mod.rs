//! A proxy that fails on demand, to stand between a service and what it talks to: DynamoDB, SQS,
//! Auth0, or a replica of records-service. What goes wrong is chosen while it runs. It knows TCP,
//! the beginning of an HTTP request, and how AWS words an error; it does not know what is asked for.

mod connection;
mod fault;
mod request;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use fault::{Answer, Fault};

use crate::{Error, ports};

const PURPOSE: &str = "a fault proxy";
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A proxy on a port of loopback in front of another port of loopback, at which nobody needs to
/// listen yet. It passes everything on until a fault is injected. Dropping it cuts its connections.
pub struct FaultProxy {
    address: SocketAddr,
    plan: watch::Sender<Plan>,
    passed: Passed,
    task: JoinHandle<()>,
}

/// What goes wrong now.
#[derive(Debug, Clone, Default)]
struct Plan {
    everything: Option<Fault>,
    operations: HashMap<String, Fault>,
}

impl Plan {
    /// What happens to a request, by the name of its AWS operation where it has one.
    fn fault(&self, operation: Option<&str>) -> Option<&Fault> {
        operation.and_then(|name| self.operations.get(name)).or(self.everything.as_ref())
    }
}

/// How many requests the server was given, by their operations.
#[derive(Debug, Clone, Default)]
struct Passed(Arc<Mutex<HashMap<String, u64>>>);

impl Passed {
    fn add(&self, operation: String) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(operation).or_default() += 1;
    }

    fn of(&self, operation: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(operation).copied().unwrap_or_default()
    }
}

impl FaultProxy {
    /// Starts one on any free port.
    ///
    /// # Errors
    /// [`Error::NoFreePort`], or [`Error::Bind`].
    pub async fn start(upstream_port: u16) -> Result<Self, Error> {
        let (listener, address) = ports::listen((Ipv4Addr::LOCALHOST, 0).into(), PURPOSE).await?;
        let (plan, planned) = watch::channel(Plan::default());
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port));
        let passed = Passed::default();
        let task = tokio::spawn(accept(listener, upstream, planned, passed.clone()));
        Ok(Self { address, plan, passed, task })
    }

    /// Where it listens, such as `http://localhost:15000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on this happens to everything, in place of what was injected for everything before.
    pub fn inject(&self, fault: Fault) {
        self.plan.send_modify(|plan| plan.everything = Some(fault));
    }

    /// From now on this happens to one operation of AWS, such as `PutItem`: to requests whose
    /// `X-Amz-Target` ends in a dot and this name.
    pub fn inject_for(&self, operation: &str, fault: Fault) {
        self.plan.send_modify(|plan| {
            plan.operations.insert(operation.to_owned(), fault);
        });
    }

    /// How many requests for an operation of AWS, named as for [`Self::inject_for`], were passed on.
    #[must_use]
    pub fn passed(&self, operation: &str) -> u64 {
        self.passed.of(operation)
    }

    /// Takes back everything that was injected. Connections that were silent stay so for ever.
    pub fn heal(&self) {
        self.plan.send_replace(Plan::default());
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    plan: watch::Receiver<Plan>,
    passed: Passed,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let (plan, passed) = (plan.clone(), passed.clone());
                    connections.spawn(connection::serve(client, upstream, plan, passed));
                }
                // Most often too many open files, which others must close first.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
