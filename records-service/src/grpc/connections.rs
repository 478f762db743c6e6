//! The connections of the gRPC port: how many there may be, how old they get, and how they end. It
//! does not know how they open, nor what is asked on them.
//!
//! This is not tonic's own server because that one closes connections at the end of their age and
//! grace without telling the client before, all at the same age, and takes any number of them.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    num::NonZeroU32,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use service_kit::{
    metrics::Tally,
    shutdown::CancellationToken,
    telemetry::{Chain, Lines},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tonic::codegen::Service;

use super::{
    answer::HangUp,
    deadline::LONGEST_TIMEOUT,
    opening::{Opened, Opening},
    tls::Tls,
};
use crate::jitter::jittered;

/// What a connection may have under way to us, over all its calls and for each. HTTP/2 as we have it
/// closes a connection of which more than half of this is waiting to be read, and counts each small
/// message as some 250 bytes: with less, as many calls as a connection may have, at a moment when all
/// are turned away, would look like an attack. What nobody wants is read at once, so memory is taken
/// by the calls in flight alone.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const CALL_WINDOW: u32 = 64 * 1024;
/// What of an answer may wait to be sent, of each call.
const CALL_SEND_BYTES: usize = 64 * 1024;
/// The headers of a call: an access token of 16 KiB, which is the longest that is looked at, and
/// room for the rest.
const HEADER_BYTES: u32 = 24 * 1024;
/// A peer that went away without a word is noticed after these two together.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new client may take to say that it speaks HTTP/2, and how long once we are stopping.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
const LAST_OPEN_WITHIN: Duration = Duration::from_secs(1);
/// After the last new call, a connection stays for the longest call. What is left on it then is
/// somebody who watches our health.
const GRACE: Duration = LONGEST_TIMEOUT.saturating_add(Duration::from_secs(5));
/// How often it is logged that there are too many connections.
const FULL_INTERVAL: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the operating system refused, for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    tls: Option<Tls>,
    opening: Opening,
    open: Gauge,
}

impl Connections {
    /// Connections to this listener, in plain text where there is no TLS. They are counted in
    /// `registry`.
    pub(crate) fn new(
        listener: TcpListener,
        limits: ConnectionLimits,
        tls: Option<Tls>,
        registry: &mut Registry,
    ) -> Self {
        let open = Gauge::default();
        registry.register("grpc_server_connections", "Open connections", open.clone());
        let opening = Opening::new(tls.as_ref().map(Tls::current), registry);
        Self { listener, limits, tls, opening, open }
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
        let Self { listener, limits, tls, opening, open } = self;
        let http = http_of(limits);
        let room = Arc::new(Semaphore::new(limits.open.get() as usize));
        let closing = CancellationToken::new();
        let full = Lines::new(1, FULL_INTERVAL);
        let begin = |stream: TcpStream| {
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                if let Some(unlogged) = full.next() {
                    let connections = limits.open;
                    tracing::warn!(connections, unlogged, "closed a new connection: too many");
                }
                return;
            };
            let _ = stream.set_nodelay(true);
            let opened = open_before(stream, opening.clone(), closing.clone());
            let carrier = Carrier {
                http: http.clone(),
                router: router.clone(),
                age: limits.age,
                closing: closing.clone(),
            };
            let open = open.clone();
            tokio::spawn(async move {
                let _counted = Tally::of(&open);
                match opened.await {
                    Some(Opened::Plaintext(stream)) => carrier.carry(TokioIo::new(stream)).await,
                    Some(Opened::Tls(stream)) => carrier.carry(TokioIo::new(stream)).await,
                    None => {}
                }
                // Whoever sees fewer open finds a place.
                drop(place);
            });
        };
        let mut stopping = pin!(stopping);
        let mut renewing = pin!(async {
            match tls {
                Some(tls) => tls.renew().await,
                None => pending().await,
            }
        });
        loop {
            tokio::select! {
                stream = accept(&listener) => begin(stream),
                () = &mut stopping => break,
                () = &mut renewing => {}
            }
        }
        for stream in let_in_already(listener) {
            begin(stream);
        }
        closing.cancel();
        let _ = room.acquire_many(limits.open.get()).await;
    }
}

/// Opens a connection, if its client is quick enough.
async fn open_before(
    stream: TcpStream,
    opening: Opening,
    closing: CancellationToken,
) -> Option<Opened> {
    let no_more = async {
        closing.cancelled().await;
        sleep(LAST_OPEN_WITHIN).await;
    };
    tokio::select! {
        // Where this process is late itself, who has spoken in time is heard.
        biased;
        opened = timeout(OPEN_WITHIN, opening.open(stream)) => opened.ok().flatten(),
        () = no_more => None,
    }
}

/// What every connection is carried by.
struct Carrier {
    http: http2::Builder<TokioExecutor>,
    router: Router,
    age: Duration,
    closing: CancellationToken,
}

impl Carrier {
    /// Answers what comes on a connection, until its client has enough, or it was told (GOAWAY), at
    /// about this age or because of `closing`, and its last call has ended.
    async fn carry(self, stream: impl Read + Write + Send + Unpin + 'static) {
        let Self { http, router, age, closing } = self;
        let hang_up = HangUp(CancellationToken::new());
        let untaken = hang_up.0.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(hang_up.clone());
            router.clone().call(request)
        });
        let mut connection = pin!(http.serve_connection(stream, service));
        let served = async {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %Chain(&error), "a connection broke off");
                    }
                    return;
                }
                () = sleep(jittered(age)) => {}
                () = closing.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GRACE, connection).await;
        };
        tokio::select! {
            () = served => {}
            () = untaken.cancelled() => {
                tracing::info!("closed a connection whose client did not take an answer");
            }
        }
    }
}

fn http_of(limits: ConnectionLimits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    // The bounds on streams that are reset as soon as they are opened are the library's own.
    http.timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(CALL_WINDOW)
        .max_concurrent_streams(limits.calls)
        .max_send_buf_size(CALL_SEND_BYTES)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// Closes the port, so that clients that connect from here on are refused and try another replica.
/// Whom the operating system has let in by then believes to be connected, and is told as well. It is
/// asked itself, because the runtime would not know of all of them yet, and hands over only so many
/// at a time.
fn let_in_already(listener: TcpListener) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    let Ok(listener) = listener.into_std() else { return streams };
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let stream =
                    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                streams.extend(stream);
            }
            // The client has left already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Nobody is left, or no more can be had.
            Err(_) => return streams,
        }
    }
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
