//! The private ops port of a process: `/livez` and `/readyz`. It is not reachable from outside and
//! asks for no login. It knows whether the process is ready only from what it is told.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::shutdown::CancellationToken;

/// Whether the process takes work. It begins as not ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says from now on whether the process takes work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The ops port, bound and not yet served.
pub struct OpsPort {
    listener: TcpListener,
    readiness: Readiness,
}

impl OpsPort {
    /// Takes the port. Port 0 takes any free one.
    ///
    /// # Errors
    /// When the address cannot be bound; the error names it.
    pub async fn bind(address: SocketAddr, readiness: Readiness) -> io::Result<Self> {
        let listener = bind(address).await?;
        Ok(Self { listener, readiness })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stopped`, which should be the last thing to stop: a probe that gets no
    /// answer looks like a crash.
    pub async fn run(self, stopped: CancellationToken) {
        let router = Router::new()
            .route("/livez", get(|| async { "live\n" }))
            .route("/readyz", get(readyz))
            .with_state(self.readiness);
        let served = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { stopped.cancelled().await })
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "ops port failed");
        }
    }
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Takes a TCP port.
///
/// # Errors
/// When it cannot be taken; the error names the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}
