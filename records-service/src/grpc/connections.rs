//! The connections of the gRPC port: how many there may be, how old they get, and how they end. It
//! does not know what is asked on them.
//!
//! This is not tonic's own server because that one closes connections at the end of their age and
//! grace without telling the client before, all at the same age, and takes any number of them.

use std::{
    future::Future, io, net::SocketAddr, num::NonZeroU32, pin::pin, sync::Arc, time::Duration,
};

use axum::Router;
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use service_kit::shutdown::CancellationToken;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::deadline::LONGEST_TIMEOUT;
use crate::jitter::jittered;

/// What a connection may have under way to us, over all its calls and for each. With these, what
/// was sent and not yet read takes at most 256 KiB a connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;
const CALL_WINDOW: u32 = 64 * 1024;
/// The headers of a call: an access token of 16 KiB, which is the longest that is looked at, and
/// room for the rest.
const HEADER_BYTES: u32 = 24 * 1024;
/// A peer that went away without a word is noticed after these two together.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// After the last new call, a connection stays for the longest call. What is left on it then is
/// somebody who does not read.
const GRACE: Duration = LONGEST_TIMEOUT.saturating_add(Duration::from_secs(5));
/// How long nothing is accepted after the operating system refused, for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Connection = http2::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>, TokioExecutor>;

/// What connections may be and do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// How many there may be. One more is closed at once, which its client notices, and tries
    /// another replica: in a queue it would wait for somebody to leave.
    pub(crate) open: NonZeroU32,
    /// When clients are told to open another one (GOAWAY), so that they come to know new replicas.
    /// Each is told at half of this or later, lest they all come back at the same moment.
    pub(crate) age: Duration,
    /// How many calls one may have under way. More wait at the client, where nobody sees them, so
    /// this should be more than are let in at all.
    pub(crate) calls: u32,
}

/// The port, bound and not yet served.
pub(crate) struct Connections {
    listener: TcpListener,
    limits: ConnectionLimits,
    open: Gauge,
}

impl Connections {
    /// Connections to this listener. They are counted in `registry`.
    pub(crate) fn new(
        listener: TcpListener,
        limits: ConnectionLimits,
        registry: &mut Registry,
    ) -> Self {
        let open = Gauge::default();
        registry.register("grpc_server_connections", "Open connections", open.clone());
        Self { listener, limits, open }
    }

    /// Where they are accepted.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves connections until `stopping`. Then it takes no more, tells the clients of those there
    /// are (GOAWAY), and ends when their last calls have been answered.
    pub(crate) async fn serve(self, router: Router, stopping: impl Future<Output = ()>) {
        let Self { listener, limits, open } = self;
        let http = http_of(limits);
        let room = Arc::new(Semaphore::new(limits.open.get() as usize));
        let closing = CancellationToken::new();
        let mut stopping = pin!(stopping);
        let mut full = false;
        loop {
            let stream = tokio::select! {
                stream = accept(&listener) => stream,
                () = &mut stopping => break,
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                if !full {
                    tracing::warn!(
                        connections = limits.open,
                        "closing new connections: too many are open"
                    );
                }
                full = true;
                continue;
            };
            full = false;
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let carried = carry(connection, jittered(limits.age), closing.clone());
            let open = open.clone();
            tokio::spawn(async move {
                open.inc();
                carried.await;
                open.dec();
                drop(place);
            });
        }
        // From here on clients that connect are refused, and try another replica.
        drop(listener);
        closing.cancel();
        let _ = room.acquire_many(limits.open.get()).await;
    }
}

/// Answers what comes on a connection, until its client has enough, or it was told (GOAWAY), at this
/// age or because of `closing`, and its last call has ended.
async fn carry(connection: Connection, age: Duration, closing: CancellationToken) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = sleep(age) => {}
        () = closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    if timeout(GRACE, connection).await.is_err() {
        tracing::info!("closed a connection whose client did not take its answers");
    }
}

fn http_of(limits: ConnectionLimits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    // The bounds on streams that are reset as soon as they are opened are the library's own.
    http.timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(CALL_WINDOW)
        .max_concurrent_streams(limits.calls)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
