//! `serve`: binds, runs and drains the gRPC service.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use service_kit::{
    aws::{self, CallMetrics},
    http,
    identity::Verifier,
    listening, metrics,
    ops::{OpsPort, Readiness},
    refreshed::FetchMetrics,
    shutdown::{self, CancellationToken},
};

use crate::{
    audit::{RelayMetrics, queue::Queue, relay::Relay},
    config::{ServeConfig, Transport},
    grpc::{
        self, Audit, ConnectionLimits, Connections, Door, Health, Rates, Records, Tls, TlsError,
        Turns,
    },
    page_token::PageTokens,
    store::Store,
};

/// How long calls may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the relay may go on after the last call.
const RELAY_DRAIN: Duration = Duration::from_secs(5);
/// Why the service does not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// AWS cannot be used.
    #[error(transparent)]
    Aws(#[from] aws::NoRegion),
    /// A port cannot be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The machine's certificates cannot be loaded.
    #[error("cannot make an HTTP client")]
    Http(#[from] reqwest::Error),
    /// The gRPC port cannot be served as it is configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The relay gave up, and with it the delivery of events.
    #[error("the relay failed")]
    Relay,
}

/// The service with its ports taken.
pub struct App {
    connections: Connections,
    router: Router,
    health: Health,
    ops: OpsPort,
    readiness: Readiness,
    relay: Relay,
    shutdown_pause: Duration,
    store: Store,
}

impl App {
    /// Takes the ports and makes the clients. Nothing has to answer yet.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn bind(config: ServeConfig) -> Result<Self, StartError> {
        let readiness = Readiness::default();
        let mut registry = metrics::registry("serve");

        let sdk = aws::load().await?;
        let calls = CallMetrics::register(&mut registry);
        let store = Store::new(&sdk, config.tables, &calls, &mut registry);
        let queue = Queue::new(&sdk, &config.queue_url, &calls);
        let (relay, outgoing) =
            Relay::new(store.clone(), queue, RelayMetrics::register(&mut registry));

        let fetches = FetchMetrics::register(&mut registry);
        let verifier = Verifier::new(config.verifier, http::client()?, fetches);
        let rates = Rates::new(config.caller_rate, config.organization_rate);
        let door = Door::new(verifier, config.max_in_flight, rates, &mut registry);
        let page_tokens = Arc::new(PageTokens::new(&config.page_token_secrets));
        let turns = Turns::new(&mut registry);
        let tokens = Arc::clone(&page_tokens);
        let records = Records::new(store.clone(), outgoing, tokens, Arc::clone(&turns));
        let audit = Audit::new(store.clone(), page_tokens, turns);
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let router = grpc::routes(records, audit, door, health_service, config.reflection);

        let limits = ConnectionLimits {
            open: config.max_connections,
            age: config.max_connection_age,
            // On one connection as well, whoever is not let in must be told so, and health answers.
            calls: config.max_in_flight.get().saturating_mul(2),
        };
        let tls = match &config.transport {
            Transport::Plaintext => None,
            Transport::Tls(files) => Some(Tls::load(files)?),
        };
        let listener = listening::bind(config.address)?;
        let connections = Connections::new(listener, limits, tls, &mut registry);
        let ops = OpsPort::bind(config.ops_address, readiness.clone(), registry)?;
        Ok(Self {
            connections,
            router,
            health: Health::new(reporter),
            ops,
            readiness,
            relay,
            shutdown_pause: config.shutdown_pause,
            store,
        })
    }

    /// Where gRPC is served.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.connections.address()
    }

    /// Serves until `stopping`, then lets calls and relay finish under a deadline.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn run(self, stopping: CancellationToken) -> Result<(), StartError> {
        tracing::info!(address = %self.address()?, "listening");
        tracing::info!(address = %self.ops.address()?, port = "ops", "listening");
        let ops_stopped = CancellationToken::new();
        let ops = tokio::spawn(self.ops.run(ops_stopped.clone()));
        let relay_stopping = CancellationToken::new();
        let mut relay = tokio::spawn(self.relay.run(relay_stopping.clone()));

        self.health.set(true).await;
        let quiet = {
            let (readiness, health, pause) =
                (self.readiness.clone(), self.health, self.shutdown_pause);
            let stopping = stopping.clone();
            async move {
                stopping.cancelled().await;
                readiness.set(false);
                health.set(false).await;
                // Balancers look now and then only; whoever has not looked yet is still served.
                tokio::time::sleep(pause).await;
                health.end().await;
            }
        };
        let serving = self.connections.serve(self.router, quiet);

        self.readiness.set(true);
        let store = self.store;
        tokio::spawn(async move { store.warm_up().await });
        let relay_failed = tokio::select! {
            _ = shutdown::drain(serving, &stopping, self.shutdown_pause + DRAIN) => false,
            _ = &mut relay => true,
        };
        self.readiness.set(false);

        relay_stopping.cancel();
        if !relay_failed {
            let finished = async { drop(relay.await) };
            shutdown::drain(finished, &relay_stopping, RELAY_DRAIN).await;
        }
        ops_stopped.cancel();
        let _ = ops.await;
        tracing::info!("stopped");
        if relay_failed { Err(StartError::Relay) } else { Ok(()) }
    }
}
