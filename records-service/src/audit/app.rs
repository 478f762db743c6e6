//! `audit`: runs the worker that stores events in the audit trail, with its ops port.

use std::{io, time::Duration};

use service_kit::{
    aws::{self, CallMetrics},
    metrics,
    ops::{OpsPort, Readiness},
    shutdown::{self, CancellationToken},
};

use super::{metrics::WorkerMetrics, queue::Queue, worker::Worker};
use crate::{app::StartError, config::AuditConfig, store::Store};

/// How long the worker may go on with the messages it has in hand.
const DRAIN: Duration = Duration::from_secs(10);
/// The worker with its ops port taken.
pub struct AuditApp {
    ops: OpsPort,
    readiness: Readiness,
    worker: Worker,
}

impl AuditApp {
    /// Takes the ops port and makes the clients. Nothing has to answer yet.
    ///
    /// # Errors
    /// When the ops port cannot be had, or AWS not be used.
    pub async fn bind(config: AuditConfig) -> Result<Self, StartError> {
        let readiness = Readiness::default();
        let mut registry = metrics::registry("audit");
        let sdk = aws::load().await?;
        let calls = CallMetrics::register(&mut registry);
        let store = Store::new(&sdk, config.tables, &calls, &mut registry);
        let queue = Queue::new(&sdk, &config.queue_url, &calls);
        let worker = Worker::new(store, queue, WorkerMetrics::register(&mut registry));
        let ops = OpsPort::bind(config.ops_address, readiness.clone(), registry)?;
        Ok(Self { ops, readiness, worker })
    }

    /// Works until `stopping`, then finishes what it has in hand under a deadline.
    ///
    /// # Errors
    /// When the operating system does not tell the ops port's address.
    pub async fn run(self, stopping: CancellationToken) -> io::Result<()> {
        tracing::info!(address = %self.ops.address()?, port = "ops", "listening");
        let ops_stopped = CancellationToken::new();
        let ops = tokio::spawn(self.ops.run(ops_stopped.clone()));
        self.readiness.set(true);
        let not_ready = async {
            stopping.cancelled().await;
            self.readiness.set(false);
        };
        let worked = shutdown::drain(self.worker.run(stopping.clone()), &stopping, DRAIN);
        tokio::join!(not_ready, worked);
        ops_stopped.cancel();
        let _ = ops.await;
        tracing::info!("stopped");
        Ok(())
    }
}
