//! SQS on this machine: awsim's queues behind one endpoint, which is one account and one region as
//! an AWS endpoint is. How it differs from bare awsim is in `standard`; nothing here knows which
//! queues there are.

mod kept;
mod limits;
mod standard;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use awsim_core::{AppState, ServiceHandler};
use axum::{Router, extract::DefaultBodyLimit};
use tokio::{sync::Mutex, task::AbortHandle};

use crate::{Error, Storage, ports, server::Server};
use standard::StandardSqs;

const PURPOSE: &str = "the local SQS";

/// The account every queue belongs to; it is part of a queue's URL and ARN.
pub const ACCOUNT: &str = "000000000000";

/// The region of both local AWS services.
pub const REGION: &str = "us-east-1";

/// Room for a batch of 1 MiB in which every character is escaped in JSON.
const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

/// The shortest time between two snapshots.
const PAUSE: Duration = Duration::from_millis(50);

/// Of the time, writing them takes at most one part in this many, however full the queues are.
const SHARE: u32 = 10;

/// An SQS that listens on this machine.
///
/// It keeps its queues and messages when it is stopped and resumed. In a folder they outlive the
/// process, however it ends: what it has acknowledged is there afterwards. A message may be
/// delivered once more, if it was received or deleted a moment before.
pub struct Sqs {
    address: SocketAddr,
    queues: Arc<StandardSqs>,
    saver: AbortHandle,
    server: Mutex<Option<Server>>,
}

impl Sqs {
    /// Starts it on loopback; port 0 means any free one.
    ///
    /// # Errors
    /// [`Error::PortTaken`], or what the folder says.
    pub async fn start(storage: Storage, port: u16) -> Result<Self, Error> {
        Self::start_at(storage, (Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// Starts it on any address of this machine.
    ///
    /// # Errors
    /// As [`Sqs::start`].
    pub async fn start_at(storage: Storage, address: SocketAddr) -> Result<Self, Error> {
        let (listener, address) = ports::listen(address, PURPOSE).await?;
        let queues = Arc::new(StandardSqs::open(url(address), &storage)?);
        let saver = tokio::spawn(save_changes(queues.clone())).abort_handle();
        let server = Mutex::new(Some(Server::start(listener, app(&queues))));
        Ok(Self { address, queues, saver, server })
    }

    /// The endpoint, for `AWS_ENDPOINT_URL_SQS`, such as `http://localhost:9324`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// The URL that a queue of this name has or will have, such as
    /// `http://localhost:9324/000000000000/audit-events`.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        standard::queue_url(&self.url(), name)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the port and cuts every connection, waiting receivers too, and keeps the queues.
    /// Stopping twice does nothing.
    pub async fn stop(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await;
        }
        save(&self.queues).await;
    }

    /// Listens on the same port again with the same queues. Resuming what runs does nothing.
    ///
    /// # Errors
    /// [`Error::PortTaken`] when somebody took the port meanwhile.
    pub async fn resume(&self) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            let (listener, _) = ports::listen(self.address, PURPOSE).await?;
            *server = Some(Server::start(listener, app(&self.queues)));
        }
        Ok(())
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        self.saver.abort();
    }
}

async fn save_changes(queues: Arc<StandardSqs>) {
    loop {
        let started = Instant::now();
        save(&queues).await;
        tokio::time::sleep(PAUSE.max(started.elapsed() * SHARE)).await;
        queues.changed().await;
    }
}

async fn save(queues: &StandardSqs) {
    if let Err(error) = queues.save().await {
        tracing::error!(error = %error.chain(), "queues not written to disk");
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://localhost:{}", address.port())
}

fn app(queues: &Arc<StandardSqs>) -> Router {
    let mut state = AppState::new(REGION.to_owned(), ACCOUNT.to_owned());
    let handler: Arc<dyn ServiceHandler> = queues.clone();
    state.register(handler, Vec::new());
    Router::new()
        .fallback(awsim_core::gateway::handle_request)
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(state)
}
