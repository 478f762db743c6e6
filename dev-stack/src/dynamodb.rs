//! DynamoDB on this machine: dynoxide over its HTTP server. Nothing here knows a table.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use dynoxide::Database;
use tokio::{
    net::TcpListener,
    sync::{Mutex, oneshot},
    task::JoinHandle,
};

use crate::{Error, Storage, ports};

const PURPOSE: &str = "the local DynamoDB";

/// How long requests under way may finish when the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// How often expired items are deleted; AWS takes up to days.
const SWEEP_INTERVAL: Duration = Duration::from_mins(5);

/// A DynamoDB that listens on this machine.
///
/// It keeps its tables when it is stopped and resumed; in a folder they outlive the process too.
pub struct DynamoDb {
    address: SocketAddr,
    database: Database,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), String>>,
    sweeper: JoinHandle<()>,
}

impl DynamoDb {
    /// Starts it on loopback; port 0 means any free one.
    ///
    /// # Errors
    /// [`Error::PortTaken`], or what the folder or the database says.
    pub async fn start(storage: Storage, port: u16) -> Result<Self, Error> {
        Self::start_at(storage, (Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// Starts it on any address of this machine.
    ///
    /// # Errors
    /// As [`DynamoDb::start`].
    pub async fn start_at(storage: Storage, address: SocketAddr) -> Result<Self, Error> {
        let database = open(&storage)?;
        let (listener, address) = ports::listen(address, PURPOSE).await?;
        let running = Mutex::new(Some(Running::start(listener, &database)));
        Ok(Self { address, database, running })
    }

    /// The endpoint, for `AWS_ENDPOINT_URL_DYNAMODB`, such as `http://localhost:8000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the port and the connections, and keeps the data. Stopping twice does nothing.
    pub async fn stop(&self) {
        let Some(running) = self.running.lock().await.take() else { return };
        running.stop().await;
    }

    /// Listens on the same port again with the same data. Resuming what runs does nothing.
    ///
    /// # Errors
    /// [`Error::PortTaken`] when somebody took the port meanwhile.
    pub async fn resume(&self) -> Result<(), Error> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let (listener, _) = ports::listen(self.address, PURPOSE).await?;
            *running = Some(Running::start(listener, &self.database));
        }
        Ok(())
    }
}

impl Running {
    fn start(listener: TcpListener, database: &Database) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(dynoxide::server::serve_with_shutdown(
            listener,
            database.clone(),
            // A dropped sender stops the server as well.
            async {
                let _ = stopped.await;
            },
        ));
        Self { stop, server, sweeper: tokio::spawn(sweep(database.clone())) }
    }

    async fn stop(self) {
        self.sweeper.abort();
        let _ = self.stop.send(());
        let server = self.server.abort_handle();
        if tokio::time::timeout(STOP_DEADLINE, self.server).await.is_err() {
            server.abort();
        }
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut().take() {
            running.sweeper.abort();
        }
    }
}

fn open(storage: &Storage) -> Result<Database, Error> {
    let refused = |error: dynoxide::DynoxideError| Error::Emulator {
        name: "DynamoDB",
        problem: error.to_string(),
    };
    let Some(path) = storage.file("dynamodb.sqlite")? else {
        return Database::memory().map_err(refused);
    };
    let path = path.to_str().ok_or_else(|| Error::Emulator {
        name: "DynamoDB",
        problem: format!("the path {} is not UTF-8", path.display()),
    })?;
    let database = Database::new(path).map_err(refused)?;
    // Besides ending a bulk load this sets SQLite's `synchronous` to NORMAL: with its write-ahead
    // log a crash of this process still loses nothing, and a commit does not wait for the disk.
    database.disable_bulk_loading().map_err(refused)?;
    Ok(database)
}

/// Deletes what has expired by a table's TTL attribute, for as long as the server runs.
async fn sweep(database: Database) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(deleted)) => tracing::debug!(deleted, "expired items deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "expired items not deleted"),
            // The runtime is going away.
            Err(_) => return,
        }
    }
}
