//! `serve`: binds, runs and drains the gRPC service.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use records_proto::v1::{
    FILE_DESCRIPTOR_SET, audit_service_server::AuditServiceServer,
    forms_service_server::FormsServiceServer, records_service_server::RecordsServiceServer,
};
use service_kit::{
    aws::{self, CallMetrics},
    http,
    identity::Verifier,
    metrics,
    ops::{self, OpsPort, Readiness},
    refreshed::FetchMetrics,
    shutdown::{self, CancellationToken},
};
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::server::HealthReporter;
use tower::util::MapResponseLayer;

use crate::{
    audit::{
        queue::Queue,
        relay::{Outgoing, Relay},
    },
    config::ServeConfig,
    grpc::{Audit, Forms, Gate, Records, name_undecodable},
    page_token::PageTokens,
    store::Store,
};

/// The largest request: a record of 128 KiB in any encoding, with room for an answer that says that
/// one is too large.
const MAX_REQUEST_BYTES: usize = 512 * 1024;
/// The largest answer: a page of about 2 MB from DynamoDB, in protobuf.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// More calls than this at once on one connection wait at the client.
const CONCURRENT_STREAMS: u32 = 256;
/// How long a request may take to arrive and be answered, whatever its deadline.
const LONGEST_REQUEST: Duration = Duration::from_secs(65);
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
    /// The contract cannot be served by reflection.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server gave up.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
    /// The relay gave up, and with it the delivery of events.
    #[error("the relay failed")]
    Relay,
}

/// The service with its ports taken.
pub struct App {
    listener: TcpListener,
    ops: OpsPort,
    readiness: Readiness,
    relay: Relay,
    services: Services,
    reflection: bool,
    shutdown_pause: Duration,
    store: Store,
}

struct Services {
    records: RecordsServiceServer<Records>,
    forms: FormsServiceServer<Forms>,
    audit: AuditServiceServer<Audit>,
}

impl App {
    /// Takes the ports and makes the clients. Nothing has to answer yet.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn bind(config: ServeConfig) -> Result<Self, StartError> {
        let readiness = Readiness::default();
        let listener = ops::bind(config.address).await?;

        let sdk = aws::load().await?;
        let mut registry = metrics::registry("serve");
        let calls = CallMetrics::register(&mut registry);
        let fetches = FetchMetrics::register(&mut registry);
        let store = Store::new(&sdk, config.tables, &calls);
        let queue = Queue::new(&sdk, &config.queue_url, &calls);
        let (relay, outgoing) = Relay::new(store.clone(), queue);
        let gate = Gate::new(Verifier::new(config.verifier, http::client()?, fetches));
        let page_tokens = Arc::new(PageTokens::new(&config.page_token_secrets));
        let services = Services::new(&gate, &store, outgoing, &page_tokens);
        let ops = OpsPort::bind(config.ops_address, readiness.clone(), registry).await?;
        Ok(Self {
            listener,
            ops,
            readiness,
            relay,
            services,
            reflection: config.reflection,
            shutdown_pause: config.shutdown_pause,
            store,
        })
    }

    /// Where gRPC is served.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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

        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, true).await;
        let reflection = if self.reflection {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            Some(builder.build_v1()?)
        } else {
            None
        };
        let server = Server::builder()
            .layer(MapResponseLayer::new(name_undecodable))
            .timeout(LONGEST_REQUEST)
            .max_concurrent_streams(CONCURRENT_STREAMS)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(health_service)
            .add_optional_service(reflection)
            .add_service(self.services.records)
            .add_service(self.services.forms)
            .add_service(self.services.audit);
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let not_ready = {
            let (readiness, stopping) = (self.readiness.clone(), stopping.clone());
            let pause = self.shutdown_pause;
            async move {
                stopping.cancelled().await;
                readiness.set(false);
                set_health(&health, false).await;
                tokio::time::sleep(pause).await;
            }
        };
        let mut outcome = Ok(());
        let serving = async {
            if let Err(error) = server.serve_with_incoming_shutdown(incoming, not_ready).await {
                outcome = Err(error.into());
            }
        };

        self.readiness.set(true);
        let store = self.store;
        tokio::spawn(async move { store.warm_up().await });
        let relay_failed = tokio::select! {
            _ = shutdown::drain(serving, &stopping, self.shutdown_pause + DRAIN) => false,
            _ = &mut relay => true,
        };
        self.readiness.set(false);

        relay_stopping.cancel();
        if relay_failed {
            outcome = Err(StartError::Relay);
        } else {
            let finished = async { drop(relay.await) };
            shutdown::drain(finished, &relay_stopping, RELAY_DRAIN).await;
        }
        ops_stopped.cancel();
        let _ = ops.await;
        tracing::info!("stopped");
        outcome
    }
}

impl Services {
    fn new(gate: &Gate, store: &Store, outgoing: Outgoing, page_tokens: &Arc<PageTokens>) -> Self {
        let records = Records::new(gate.clone(), store.clone(), outgoing, Arc::clone(page_tokens));
        let audit = Audit::new(gate.clone(), store.clone(), Arc::clone(page_tokens));
        Self {
            records: RecordsServiceServer::new(records)
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_ANSWER_BYTES),
            forms: FormsServiceServer::new(Forms::new(gate.clone()))
                .max_decoding_message_size(MAX_REQUEST_BYTES),
            audit: AuditServiceServer::new(audit)
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_ANSWER_BYTES),
        }
    }
}

async fn set_health(health: &HealthReporter, serving: bool) {
    use tonic_health::ServingStatus::{NotServing, Serving};

    let status = if serving { Serving } else { NotServing };
    for service in ["", RECORDS, FORMS, AUDIT] {
        health.set_service_status(service, status).await;
    }
}

const RECORDS: &str = records_proto::v1::records_service_server::SERVICE_NAME;
const FORMS: &str = records_proto::v1::forms_service_server::SERVICE_NAME;
const AUDIT: &str = records_proto::v1::audit_service_server::SERVICE_NAME;
